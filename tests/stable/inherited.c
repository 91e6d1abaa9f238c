/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests that the library leaves alone what is not its own: the leases of a parent, the descriptors of a host that has closed
 * those of the library, and a mutex that fork(2) holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "leases.h"

#define SIZE UINT64_C(200000)
#define NOBODY 65534

static mmg_handle handle;
static mmg_span span;
static char path[4096];

/** Opens a file STABLE. Returns false, and skips the case, where there is no lease. */
static bool
begin(uint32_t lock)
{
    mmg_options options = stable_options(MMG_BACKING_MAP);
    options.lock = lock;
    snprintf(path, sizeof path, "%s", check_file("file", SIZE));
    handle = check_open(path, &options);
    return has_lease(handle);
}

/** Returns the descriptor that the library has of a file. */
static int
descriptor_of(const char *name)
{
    struct stat wanted, found;
    REQUIRE(stat(name, &wanted) == 0);
    for (int fd = 3; fd < 1024; fd++) {
        if (fstat(fd, &found) == 0 && found.st_ino == wanted.st_ino && found.st_dev == wanted.st_dev) {
            return fd;
        }
    }
    check_give_up();
}

/** Closes a descriptor, and makes its number the lowest that is free. */
static void
free_number(int fd)
{
    int lower = 0;
    close(fd);
    while (lower < fd) {
        lower = dup(0);
        REQUIRE(lower >= 0);
    }
    close(lower);
}

/** The child closes what it has inherited, as daemons do. The library then gets the number of A for B, with a lease. */
static void
ask_about_a_closed_descriptor(void *unused)
{
    (void)unused;
    static const uint8_t zeros[SIZE];
    const mmg_options options = stable_options(MMG_BACKING_MAP);
    const int fd = descriptor_of(path);
    const char *other = check_file_with("other", zeros, sizeof zeros);
    free_number(fd);
    const mmg_handle own = check_open(other, &options);
    REQUIRE(descriptor_of(other) == fd && check_info(own).means == MMG_MEANS_LEASE);
    CHECK_STATUS(mmg_check(handle), MMG_E_UNSTABLE);
    CHECK(check_is_pattern(span.data, 0, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_E_UNSTABLE);
    CHECK_I64(fcntl(fd, F_GETLEASE), F_RDLCK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK_I64(fcntl(fd, F_GETLEASE), F_RDLCK);
    CHECK_STATUS(mmg_close(own, 0), MMG_OK);
}

static void
a_child_maps_no_other_file_in_the_place_of_one(void)
{
    if (begin(MMG_LOCK_AUTO)) {
        span = check_pin(handle, 0, MMG_TO_END); /* in the parent, so that the child asks after it has closed */
        CHECK_EXITED(check_child(ask_about_a_closed_descriptor, NULL));
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static bool
can_be_locked_alone(uint32_t lock)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    REQUIRE(fd >= 0);
    const int result = lock == MMG_LOCK_OFD ? fcntl(fd, F_OFD_SETLK, &whole) : flock(fd, LOCK_EX | LOCK_NB);
    CHECK(result == 0 || errno == EWOULDBLOCK);
    close(fd);
    return result == 0;
}

/** The child gives up its part of the lease, and with it the description of the file that has the lock of its parent. */
static void
a_child_keeps_the_lock_when_it_gives_up_the_lease(uint32_t lock)
{
    int asked[2], go[2], wait_status = 0;
    char byte = 0;
    if (!begin(lock)) {
        return;
    }
    REQUIRE(pipe2(asked, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
    fflush(NULL);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        close(go[1]);
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        CHECK_I64(fcntl(descriptor_of(path), F_GETLEASE), F_UNLCK);
        REQUIRE(write(asked[1], "x", 1) == 1 && read(go[0], &byte, 1) == 0);
        CHECK_U64(check_info(handle).lock, lock);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        check_child_end();
    }
    close(asked[1]);
    close(go[0]);
    CHECK(read(asked[0], &byte, 1) == 1);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    CHECK(!can_be_locked_alone(lock));
    close(go[1]);
    close(asked[0]);
    REQUIRE(waitpid(child, &wait_status, 0) == child);
    CHECK_EXITED(wait_status);
    CHECK(can_be_locked_alone(lock));
}

static void
a_child_keeps_a_lock_of_flock(void)
{
    a_child_keeps_the_lock_when_it_gives_up_the_lease(MMG_LOCK_SHARED);
}

static void
a_child_keeps_a_lock_of_its_description(void)
{
    a_child_keeps_the_lock_when_it_gives_up_the_lease(MMG_LOCK_OFD);
}

/** The host has given the number of the region's descriptor to a file of its own. */
static int
take_the_number(const char *own_file)
{
    const int fd = descriptor_of(path);
    const int own = open(own_file, O_RDONLY | O_CLOEXEC);
    REQUIRE(own >= 0 && dup3(own, fd, O_CLOEXEC) == fd && close(own) == 0);
    return fd;
}

CHECK_IN_A_CHILD(a_close_leaves_the_lease_of_the_host_alone)
{
    signal(SIGIO, SIG_IGN);
    if (begin(MMG_LOCK_AUTO)) {
        const int fd = take_the_number(check_file("of the host", SIZE));
        REQUIRE(fcntl(fd, F_SETLEASE, F_RDLCK) == 0);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        CHECK_I64(fcntl(fd, F_GETLEASE), F_RDLCK);
        close(fd);
    }
}

/**
 * To give up a lease on a file of another user takes a right of root. Only this thread loses that right, since the C library
 * would wake the thread of the library to take its right, too.
 */
CHECK_IN_A_CHILD(a_close_leaves_the_file_of_another_user_alone)
{
    char byte = 0;
    if (begin(MMG_LOCK_AUTO)) {
        const int fd = take_the_number(check_file("of the host", SIZE));
        REQUIRE(geteuid() != 0 || syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) == 0);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        CHECK(pread(fd, &byte, 1, 0) == 1);
        close(fd);
    }
}

/* -------------------------------------------------------------------------------- the first lease and a fork at once -- */

static atomic_bool is_armed, is_open;
static pthread_t opener;

static void *
open_stable(void *unused)
{
    const mmg_options options = stable_options(MMG_BACKING_MAP);
    CHECK_STATUS(mmg_close(check_open(path, &options), 0), MMG_OK);
    atomic_store(&is_open, true);
    return unused;
}

/** Runs within fork(2), after the hook of the library has locked what a fork must not catch half changed. */
static void
open_within_the_fork(void)
{
    if (atomic_exchange(&is_armed, false)) {
        REQUIRE(pthread_create(&opener, NULL, open_stable, NULL) == 0);
        for (int wait = 0; wait < 500 && !atomic_load(&is_open); wait++) {
            usleep(1000);
        }
        CHECK(!atomic_load(&is_open));
    }
}

/** Hooks run from the newest to the oldest before the fork, and the hooks of the library come later. */
__attribute__((constructor)) static void
add_hook(void)
{
    pthread_atfork(open_within_the_fork, NULL, NULL);
}

/** A child starts without a lease of its own, and its parent has told the C library the hooks. */
static void
open_while_another_thread_forks(void *unused)
{
    (void)unused;
    int wait_status = 0;
    atomic_store(&is_armed, true);
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        _exit(0);
    }
    REQUIRE(waitpid(child, &wait_status, 0) == child && wait_status == 0);
    REQUIRE(pthread_join(opener, NULL) == 0);
    CHECK(atomic_load(&is_open));
}

static void
the_first_lease_waits_for_a_fork(void)
{
    if (begin(MMG_LOCK_AUTO)) {
        CHECK_EXITED(check_child(open_while_another_thread_forks, NULL));
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static const struct check_case cases[] = {
    {"a child maps no other file in the place of one", a_child_maps_no_other_file_in_the_place_of_one, 0},
    {"a child keeps a lock of flock", a_child_keeps_a_lock_of_flock, 0},
    {"a child keeps a lock of its description", a_child_keeps_a_lock_of_its_description, 0},
    {"a close leaves the lease of the host alone", a_close_leaves_the_lease_of_the_host_alone, 0},
    {"a close leaves the file of another user alone", a_close_leaves_the_file_of_another_user_alone, 0},
    {"the first lease waits for a fork", the_first_lease_waits_for_a_fork, 0},
};

CHECK_MAIN(cases)
