/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests that every thread has a mutex that it gives back or waits with, and takes none that it has: in calls that share locks,
 * and in the thread that waits for the breaks of leases.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "check.h"
#include "os/thread.h"

void __real_mmgi_mutex_lock(os_mutex *mutex);
void __real_mmgi_mutex_unlock(os_mutex *mutex);
void __real_mmgi_condition_wait(os_condition *condition, os_mutex *mutex);
void __wrap_mmgi_mutex_lock(os_mutex *mutex);
void __wrap_mmgi_mutex_unlock(os_mutex *mutex);
void __wrap_mmgi_condition_wait(os_condition *condition, os_mutex *mutex);

#define MOST_HELD 8
#define REGIONS 16

/** The mutexes that a thread has. */
static _Thread_local const os_mutex *held[MOST_HELD];
static atomic_uint locks, wrong;

static const os_mutex **
place_of(const os_mutex *mutex)
{
    for (unsigned index = 0; index < MOST_HELD; index++) {
        if (held[index] == mutex) {
            return &held[index];
        }
    }
    return NULL;
}

/** Puts `to` in the place of `from` in what this thread has. */
static void
change(const os_mutex *from, const os_mutex *to)
{
    const os_mutex **place = place_of(from);
    if (place == NULL || (to != NULL && place_of(to) != NULL)) {
        atomic_fetch_add(&wrong, 1);
    } else {
        *place = to;
    }
}

void
__wrap_mmgi_mutex_lock(os_mutex *mutex)
{
    __real_mmgi_mutex_lock(mutex);
    change(NULL, mutex);
    atomic_fetch_add(&locks, 1);
}

void
__wrap_mmgi_mutex_unlock(os_mutex *mutex)
{
    change(mutex, NULL);
    __real_mmgi_mutex_unlock(mutex);
}

void
__wrap_mmgi_condition_wait(os_condition *condition, os_mutex *mutex)
{
    if (place_of(mutex) == NULL) {
        atomic_fetch_add(&wrong, 1);
    }
    __real_mmgi_condition_wait(condition, mutex);
}

/** Checks what was counted since the last call. */
static void
check_counts(void)
{
    CHECK(atomic_exchange(&locks, 0) > 0);
    CHECK_U64(atomic_exchange(&wrong, 0), 0);
    for (unsigned index = 0; index < MOST_HELD; index++) {
        CHECK(held[index] == NULL);
    }
}

static void
regions_of_one_file(void)
{
    mmg_handle handles[REGIONS];
    const char *path = check_file("file", 300000);
    for (unsigned index = 0; index < REGIONS; index++) {
        handles[index] = check_open(path, NULL);
    }
    for (unsigned index = 0; index < REGIONS; index++) {
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
    check_counts();
}

/** Opens two regions with leases, and breaks those of one. The other lease ends with its region. */
static void
a_break_of_a_lease(void)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    options.backing = MMG_BACKING_MAP;
    const mmg_handle other = check_open(check_file("other", 300000), &options);
    const char *path = check_file("file", 300000);
    const mmg_handle handle = check_open(path, &options);
    const bool has_lease = check_info(handle).means == MMG_MEANS_LEASE;
    CHECK(has_lease || !check_kernel_has_leases());
    const int file = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(file >= 0);
    close(file);
    while (check_stats().leases_breaking > 0) {
        usleep(100);
    }
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_STATUS(mmg_close(other, 0), MMG_OK);
    if (has_lease) {
        check_counts();
    } else {
        check_skip("the library can take no lease here");
    }
}

static const struct check_case cases[] = {
    {"regions of one file", regions_of_one_file, 0},
    {"a break of a lease", a_break_of_a_lease, CHECK_THREADS},
};

CHECK_MAIN(cases)
