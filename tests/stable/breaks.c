/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests breaks of leases while other things happen in the process: closes, forks, other breaks, opens of the same file,
 * and writers among the threads of the process. With ThreadSanitizer the cases check the data that the thread of the
 * library shares with its callers.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "leases.h"

#define SIZE ((UINT64_C(3) << 20) + 77)
#define LARGE (UINT64_C(192) << 20)
#define THREADS 4
#define LEAST_LEASES 50u

/** Opens a region with a lease. Where the file system has no leases, skips the case and returns 0. */
static mmg_handle
open_leased(const char *path)
{
    mmg_options options = stable_options(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    return has_lease(handle) ? handle : 0;
}

static void
overwrite(const char *path)
{
    static const uint8_t block[1 << 16];
    int file = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(file >= 0);
    REQUIRE(pwrite(file, block, sizeof block, 0) == (ssize_t)sizeof block);
    close(file);
}

static void *
overwrite_in_thread(void *path)
{
    overwrite(path);
    return NULL;
}

static uint64_t
now_ns(void)
{
    struct timespec now;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/** The counters tell how long the writer waited, which is a part of the time that has passed. */
static void
a_thread_of_the_process_itself_may_write(void)
{
    const char *path = check_file("file", SIZE);
    mmg_handle handle = open_leased(path);
    if (handle == 0) {
        return;
    }
    const mmg_stats before = check_stats();
    const uint64_t begun = now_ns();
    overwrite(path);
    check_stable(handle);
    CHECK(check_info(handle).means == MMG_MEANS_SNAPSHOT || check_info(handle).means == MMG_MEANS_REFLINK);
    await_keeper();
    const mmg_stats after = check_stats();
    const uint64_t passed = now_ns() - begun, waited = after.writer_wait_ns - before.writer_wait_ns;
    CHECK_U64(after.lease_breaks, before.lease_breaks + 1);
    CHECK(waited > 0 && waited < passed);
    CHECK_U64(after.writer_wait_max_ns, waited > before.writer_wait_max_ns ? waited : before.writer_wait_max_ns);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/* ------------------------------------------------------------------------------------------ closing in mid-break -- */

/** Returns true where a clone secures a file at once, so that nothing can happen during a break. */
static bool
are_breaks_short(const char *path)
{
    mmg_options options = stable_options(MMG_BACKING_MAP);
    options.flags = MMG_FLAG_NO_LEASE;
    const mmg_handle handle = check_open(path, &options);
    const bool result = check_info(handle).means == MMG_MEANS_REFLINK;
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    return result;
}

#define PAUSES 4u
static const useconds_t pauses[PAUSES] = {0, 100, 400, 1300}; /* after the start of the writer, in microseconds */
#define MOST_ROUNDS 100u
#define DURING 3u /* so many rounds must have met a break */

static void
a_close_during_the_break_ends_the_copy_and_lets_the_writer_in(void)
{
    const char *path = check_path("large");
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    REQUIRE(file >= 0 && ftruncate(file, (off_t)LARGE) == 0);
    close(file);
    unsigned during = 0;
    for (unsigned round = 0; round < PAUSES || (during < DURING && round < MOST_ROUNDS); round++) {
        pthread_t writer;
        mmg_handle handle = open_leased(path);
        if (handle == 0) {
            return;
        }
        REQUIRE(pthread_create(&writer, NULL, overwrite_in_thread, (void *)(uintptr_t)path) == 0);
        usleep(pauses[round % PAUSES]);
        during += check_stats().leases_breaking > 0;
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_E_HANDLE);
        REQUIRE(pthread_join(writer, NULL) == 0);
    }
    CHECK(during >= DURING || are_breaks_short(path));
}

/**
 * The keeper reads the copy through the region that was opened last. When that region is closed, the keeper begins a
 * new copy for the others.
 */
static void
a_close_during_the_break_leaves_the_other_regions_stable(void)
{
    const char *path = check_path("large");
    uint8_t first[4096];
    memset(first, 'A', sizeof first);
    unsigned during = 0;
    for (unsigned round = 0; round < PAUSES || (during < DURING && round < MOST_ROUNDS); round++) {
        pthread_t writer;
        mmg_span span = MMG_SPAN_INIT;
        int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        REQUIRE(file >= 0 && ftruncate(file, (off_t)LARGE) == 0);
        REQUIRE(pwrite(file, first, sizeof first, 0) == (ssize_t)sizeof first);
        close(file);
        mmg_handle stays = open_leased(path);
        if (stays == 0) {
            return;
        }
        mmg_handle ends = open_leased(path);
        REQUIRE(pthread_create(&writer, NULL, overwrite_in_thread, (void *)(uintptr_t)path) == 0);
        usleep(pauses[round % PAUSES]);
        during += check_stats().leases_breaking > 0;
        CHECK_STATUS(mmg_close(ends, 0), MMG_OK);
        REQUIRE(pthread_join(writer, NULL) == 0);
        if (was_time_too_short(stays)) {
            CHECK_STATUS(mmg_close(stays, 0), MMG_OK);
            continue;
        }
        REQUIRE_STATUS(mmg_pin(stays, 0, MMG_TO_END, &span), MMG_OK);
        CHECK(memcmp(span.data, first, sizeof first) == 0);
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_STATUS(mmg_check(stays), MMG_OK);
        CHECK_U64(check_info(stays).guarantee, MMG_GUARANTEE_STABLE);
        CHECK_STATUS(mmg_close(stays, 0), MMG_OK);
    }
    CHECK(during >= DURING || are_breaks_short(path));
}

static void
a_span_keeps_its_bytes_through_close_and_break(void)
{
    for (useconds_t pause = 0; pause <= 1000; pause = pause * 3 + 100) {
        const char *path = check_file("file", SIZE);
        mmg_span span = MMG_SPAN_INIT;
        pthread_t writer;
        mmg_handle handle = open_leased(path);
        if (handle == 0) {
            return;
        }
        REQUIRE_STATUS(mmg_pin(handle, 1, MMG_TO_END, &span), MMG_OK);
        REQUIRE(pthread_create(&writer, NULL, overwrite_in_thread, (void *)(uintptr_t)path) == 0);
        usleep(pause);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        CHECK(check_is_pattern(span.data, 1, SIZE - 1));
        REQUIRE(pthread_join(writer, NULL) == 0);
        CHECK(check_is_pattern(span.data, 1, SIZE - 1));
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    }
}

/* --------------------------------------------------------------------------------------------------- all at once -- */

static struct {
    char path[THREADS][256];
    _Atomic unsigned leases;
    uint64_t rounds;
    bool has_leases; /* the file system has leases */
} crowd;

/** Returns true as long as the threads have had fewer leases than the case is about. */
static bool
lacks_leases(void)
{
    return crowd.has_leases && atomic_load(&crowd.leases) < LEAST_LEASES;
}

/** Opens a file, writes to it, checks it and closes it, while other threads do the same with this file and others. */
static void *
live_in_a_crowd(void *number)
{
    unsigned self = (unsigned)(uintptr_t)number;
    uint64_t random = check_seed() + self;
    for (uint64_t round = 0; (round < crowd.rounds || lacks_leases()) && check_failures() == 0; round++) {
        mmg_options options = stable_options(MMG_BACKING_MAP);
        mmg_handle handle = 0;
        mmg_span span = MMG_SPAN_INIT;
        uint8_t first[512];
        mmg_status status = mmg_open(crowd.path[check_random_below(&random, THREADS)], &options, &handle, NULL);
        if (status == MMG_E_UNSTABLE) {
            continue; /* other threads wrote to the file during every attempt */
        }
        if (!CHECK_STATUS(status, MMG_OK)) {
            break;
        }
        atomic_fetch_add(&crowd.leases, check_info(handle).means == MMG_MEANS_LEASE);
        REQUIRE_STATUS(mmg_pin(handle, 0, sizeof first, &span), MMG_OK);
        memcpy(first, span.data, sizeof first);
        int file = open(crowd.path[check_random_below(&random, THREADS)], O_RDWR | O_CLOEXEC);
        REQUIRE(file >= 0);
        REQUIRE(pwrite(file, &random, sizeof random, (off_t)check_random_below(&random, 400)) == sizeof random);
        close(file);
        CHECK(memcmp(first, span.data, sizeof first) == 0);
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    return NULL;
}

static void
many_threads_may_open_break_and_close_at_once(void)
{
    pthread_t threads[THREADS];
    crowd.rounds = check_scaled(150);
    atomic_store(&crowd.leases, 0);
    for (unsigned index = 0; index < THREADS; index++) {
        char name[16];
        snprintf(name, sizeof name, "file%u", index);
        snprintf(crowd.path[index], sizeof crowd.path[index], "%s", check_file(name, 300000));
    }
    crowd.has_leases = check_kernel_has_leases();
    for (unsigned index = 0; index < THREADS; index++) {
        REQUIRE(pthread_create(&threads[index], NULL, live_in_a_crowd, (void *)(uintptr_t)index) == 0);
    }
    for (unsigned index = 0; index < THREADS; index++) {
        REQUIRE(pthread_join(threads[index], NULL) == 0);
    }
}

static pthread_barrier_t start;

/** Takes a lease at the same time as other threads. They are the first leases of the process. */
static void *
take_one_of_the_first(void *path)
{
    pthread_barrier_wait(&start);
    mmg_handle handle = open_leased(path);
    if (handle != 0) {
        overwrite(path);
        check_stable(handle);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    return NULL;
}

static void
the_first_leases_may_be_taken_by_several_threads_at_once(void)
{
    for (int round = 0; round < 12; round++) {
        pthread_t threads[THREADS];
        REQUIRE(pthread_barrier_init(&start, NULL, THREADS) == 0);
        for (unsigned index = 0; index < THREADS; index++) {
            char name[16];
            snprintf(name, sizeof name, "file%u", index);
            snprintf(crowd.path[index], sizeof crowd.path[index], "%s", check_path(name));
            (void)check_file(name, 300000);
        }
        usleep(150000); /* wait until the thread of the library has ended, which comes some time after the last lease */
        for (unsigned index = 0; index < THREADS; index++) {
            REQUIRE(pthread_create(&threads[index], NULL, take_one_of_the_first, crowd.path[index]) == 0);
        }
        for (unsigned index = 0; index < THREADS; index++) {
            REQUIRE(pthread_join(threads[index], NULL) == 0);
        }
        pthread_barrier_destroy(&start);
    }
}

/* --------------------------------------------------------------------------------------------------------- forks -- */

static void
look_as_a_child(void *argument)
{
    mmg_handle handle = *(mmg_handle *)argument;
    mmg_info info = check_info(handle);
    /* The fork came before the end of the break, or after it. */
    CHECK((info.guarantee == MMG_GUARANTEE_CONTAINED && info.shortfall == MMG_SHORT_FORKED) ||
          (info.guarantee == MMG_GUARANTEE_STABLE && info.means != MMG_MEANS_LEASE));
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_fork_during_the_break_disturbs_neither_side(void)
{
    const char *path = NULL;
    unsigned during = 0;
    for (unsigned round = 0; round < PAUSES || (during < DURING && round < MOST_ROUNDS); round++) {
        path = check_file("file", SIZE);
        pthread_t writer;
        mmg_handle handle = open_leased(path);
        if (handle == 0) {
            return;
        }
        REQUIRE(pthread_create(&writer, NULL, overwrite_in_thread, (void *)(uintptr_t)path) == 0);
        usleep(pauses[round % PAUSES]);
        during += check_stats().leases_breaking > 0;
        CHECK_EXITED(check_child(look_as_a_child, &handle));
        REQUIRE(pthread_join(writer, NULL) == 0);
        check_stable(handle);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    CHECK(during >= DURING || are_breaks_short(path));
}

/** In the child, the descriptor of the first lease has the lowest number that there is. */
static void
take_a_lease_with_descriptor_0(void *path)
{
    REQUIRE(close(0) == 0);
    mmg_handle handle = open_leased(path);
    REQUIRE(handle != 0);
    (void)overwrite_in_thread(path);
    check_stable(handle);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_child_has_leases_of_its_own(void)
{
    char path[4096];
    const int input = open("/dev/null", O_RDONLY | O_CLOEXEC); /* 0, where the program was started without one */
    const mmg_handle handle = open_leased(check_file("file", SIZE));
    if (handle == 0) {
        close(input);
        return;
    }
    snprintf(path, sizeof path, "%s", check_file("other", SIZE));
    CHECK_EXITED(check_child(take_a_lease_with_descriptor_0, path));
    CHECK_U64(check_info(handle).means, MMG_MEANS_LEASE);
    close(input);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_new_first_lease_may_follow_the_last_one_at_once(void)
{
    const char *path = check_file("file", 300000);
    uint64_t rounds = check_scaled(300);
    for (uint64_t round = 0; round < rounds; round++) {
        mmg_handle handle = open_leased(path);
        if (handle == 0) {
            return;
        }
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        if (round % 64 == 63) {
            usleep(99000 + (useconds_t)round * 10); /* about as long as the thread waits for another lease */
        }
    }
}

static const struct check_case cases[] = {
    {"a thread of the process itself may write", a_thread_of_the_process_itself_may_write, 0},
    {"a close during the break ends the copy and lets the writer in",
     a_close_during_the_break_ends_the_copy_and_lets_the_writer_in, CHECK_ONCE},
    {"a close during the break leaves the other regions stable",
     a_close_during_the_break_leaves_the_other_regions_stable, CHECK_ONCE},
    {"a span keeps its bytes through close and break", a_span_keeps_its_bytes_through_close_and_break, 0},
    {"the first leases may be taken by several threads at once",
     the_first_leases_may_be_taken_by_several_threads_at_once, CHECK_ONCE},
    {"many threads may open, break and close at once", many_threads_may_open_break_and_close_at_once, CHECK_ONCE},
    {"a child has leases of its own", a_child_has_leases_of_its_own, 0},
    {"a fork during the break disturbs neither side", a_fork_during_the_break_disturbs_neither_side, 0},
    /* Two keepers may overlap for a moment. The C library then keeps the memory of two threads, and the next time of one. */
    {"a new first lease may follow the last one at once", a_new_first_lease_may_follow_the_last_one_at_once,
     CHECK_THREADS},
};

CHECK_MAIN(cases)
