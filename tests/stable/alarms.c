/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests that an intact STABLE region never reports a loss, and that its bytes are never replaced, whatever happens
 * during the break: reads, signals that the host raises, or writers without a descriptor.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../fault/ring.h"
#include "check.h"
#include "leases.h"

#define SIZE ((UINT64_C(8) << 20) + 77)

static atomic_bool is_over;
static atomic_uint reads; /* of the whole file, that have ended */

/** Cuts the file in another process, which breaks its lease. */
static void
cut_elsewhere(const char *path, off_t size)
{
    int wait_status = 0;
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        _exit(truncate(path, size) == 0 ? 0 : 1);
    }
    REQUIRE(waitpid(child, &wait_status, 0) == child);
    CHECK_EXITED(wait_status);
}

/* ------------------------------------------------------------------------------------------------------- reading -- */

static void *
read_all_the_time(void *argument)
{
    mmg_handle handle = *(mmg_handle *)argument;
    uint8_t *copy = malloc(SIZE);
    REQUIRE(copy != NULL);
    do {
        uint64_t got = 0;
        CHECK_STATUS(mmg_read(handle, 0, copy, SIZE, &got), MMG_OK);
        CHECK_U64(got, SIZE);
        CHECK(check_is_pattern(copy, 0, got));
        atomic_fetch_add(&reads, 1);
    } while (!atomic_load(&is_over) && check_failures() == 0);
    free(copy);
    return NULL;
}

/** Waits until so many reads have ended, or a check has failed. */
static void
await_reads(unsigned count)
{
    while (atomic_load(&reads) < count && check_failures() == 0) {
        usleep(100);
    }
}

/**
 * The limit on file sizes forbids a snapshot file, so the bytes are secured in memory, and mmg_read() changes from the
 * file to the memory.
 */
static void
a_read_in_the_midst_of_a_break_is_whole(void)
{
    struct rlimit before;
    if (check_under_valgrind()) {
        check_skip("Valgrind does not allow memory to be moved over a mapped file");
        return;
    }
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    for (unsigned round = 0; round < 6; round++) {
        const char *path = check_file("file", SIZE);
        const struct rlimit small = {UINT64_C(1) << 20, before.rlim_max};
        mmg_options options = stable_options(MMG_BACKING_MAP);
        pthread_t reading;
        REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
        mmg_handle handle = 0;
        mmg_status status = mmg_open(path, &options, &handle, NULL);
        if (status == MMG_OK) {
            const uint64_t breaks = check_stats().lease_breaks;
            CHECK_U64(check_info(handle).means, MMG_MEANS_LEASE); /* nothing else is possible under the limit */
            atomic_store(&is_over, false);
            atomic_store(&reads, 0);
            REQUIRE(pthread_create(&reading, NULL, read_all_the_time, &handle) == 0);
            await_reads(2);
            usleep(round * 700);
            cut_elsewhere(path, 4096);
            await_reads(atomic_load(&reads) + 2);
            await_keeper();
            CHECK_U64(check_stats().lease_breaks, breaks + 1);
            atomic_store(&is_over, true);
            REQUIRE(pthread_join(reading, NULL) == 0);
            check_stable(handle);
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        }
        REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
        if (status != MMG_OK) {
            CHECK_STATUS(status, MMG_E_UNSTABLE);
            CHECK(!check_kernel_has_leases());
            check_skip("neither a lease nor a file in memory is possible");
            break;
        }
    }
    signal(SIGXFSZ, handler);
}

/* ------------------------------------------------------------------------------------------------------- signals -- */

static atomic_uint ignored;

static void
ignore_signal(int number)
{
    (void)number;
    atomic_fetch_add(&ignored, 1);
}

static void *
raise_all_the_time(void *unused)
{
    while (!atomic_load(&is_over)) {
        raise(SIGBUS);
    }
    return unused;
}

/**
 * A raised signal has no address, so the guard looks for mappings that have lost their tail. A mapping whose file was
 * cut, but that shows a snapshot, has lost nothing.
 */
static void
a_signal_that_the_host_raises_replaces_no_bytes(void)
{
    pthread_t raising;
#if defined(__SANITIZE_THREAD__)
    check_skip("ThreadSanitizer delivers signals late, and answers sigaction(2) from its own table");
    return;
#endif
    struct sigaction host = {.sa_handler = ignore_signal};
    struct sigaction before;
    REQUIRE(sigaction(SIGBUS, &host, &before) == 0);
    atomic_store(&is_over, false);
    mmg_options options = stable_options(MMG_BACKING_MAP);
    CHECK_STATUS(mmg_close(check_open(check_file("first", SIZE), &options), 0),
                 MMG_OK); /* this puts the guard on top */
    CHECK_STATUS(mmg_guard_state(), MMG_GUARD_TOP);
    REQUIRE(pthread_create(&raising, NULL, raise_all_the_time, NULL) == 0);
    for (unsigned round = 0; round < 24 && check_failures() == 0; round++) {
        const char *path = check_file("file", 256 << 10);
        mmg_handle handle = check_open(path, &options);
        const unsigned seen = atomic_load(&ignored);
        cut_elsewhere(path, 0);
        while (atomic_load(&ignored) < seen + 10) {
            usleep(100);
        }
        check_stable(handle);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    atomic_store(&is_over, true);
    REQUIRE(pthread_join(raising, NULL) == 0);
}

/* -------------------------------------------------------------------------------------------------- pinned pages -- */

/** The kernel holds the pages of the file for io_uring, although no descriptor and no mapping of a writer exists. */
static void
pages_that_io_uring_holds_change_no_bytes(void)
{
    const size_t size = 1 << 20;
    const char *path = check_file("file", size);
    struct ring ring;
    ring_start(&ring);
    if (ring.fd < 0) {
        check_skip("this system has no io_uring, or refuses it");
        return;
    }
    int file = open(path, O_RDWR | O_CLOEXEC);
    int source = memfd_create("source", MFD_CLOEXEC);
    uint8_t *other = malloc(size);
    REQUIRE(file >= 0 && source >= 0 && other != NULL);
    memset(other, 'B', size);
    REQUIRE(write(source, other, size) == (ssize_t)size);
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    REQUIRE(pages != MAP_FAILED);
    bool is_pinned = ring_pin(&ring, pages, size) == 0;
    munmap(pages, size);
    close(file);
    if (is_pinned) {
        mmg_options options = stable_options(MMG_BACKING_AUTO);
        options.copy_threshold = 1;
        mmg_handle handle = check_open(path, &options);
        bool may_be_seen = (check_info(handle).exceptions & MMG_EXCEPT_PINNED_PAGES) != 0;
        CHECK(ring_read(&ring, source, pages, size, 0, true) > 0);
        if (!may_be_seen) { /* otherwise the region lists this among its exceptions */
            check_stable(handle);
        }
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        ring_unpin(&ring);
    } else {
        check_skip("this kernel does not hold pages of this file system");
    }
    ring_end(&ring);
    close(source);
    free(other);
}

/* --------------------------------------------------------------------------------------------------- descriptors -- */

#define LONG_COPY (UINT64_C(96) << 20)
#define DESCRIPTORS 256

static mmg_stats
stats_now(void)
{
    mmg_stats stats = MMG_STATS_INIT;
    REQUIRE_STATUS(mmg_stats_get(&stats), MMG_OK);
    return stats;
}

static void *
cut_in_a_thread(void *path)
{
    cut_elsewhere(path, 0);
    return NULL;
}

/** The descriptors that a host has taken, so that no other is left. */
static struct {
    int taken[DESCRIPTORS];
    size_t count;
    _Atomic bool has_ended;
} hoard;

/** Takes descriptors until none is left. */
static void
take_descriptors(void)
{
    while (hoard.count < DESCRIPTORS && (hoard.taken[hoard.count] = dup(STDERR_FILENO)) >= 0) {
        hoard.count++;
    }
    REQUIRE(hoard.count < DESCRIPTORS && errno == EMFILE);
}

/** A thread of the host that takes each descriptor as soon as the library closes one. */
static void *
taker(void *unused)
{
    while (!atomic_load(&hoard.has_ended)) {
        take_descriptors();
    }
    return unused;
}

/**
 * Breaks the lease of a fresh file while no descriptor is left, and asks about the region all the while. Returns how often
 * the region was asked about in mid-break.
 */
static unsigned
ask_in_mid_break(bool with_taker)
{
    const char *path = check_file("file", LONG_COPY);
    mmg_options options = stable_options(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    pthread_t cutting, taking;
    const uint64_t breaks = stats_now().lease_breaks;
    unsigned asked = 0;
    usleep(1100000); /* what was known of the lease is no longer good, and the thread of the library has its reserve */
    take_descriptors();
    atomic_store(&hoard.has_ended, false);
    REQUIRE(!with_taker || pthread_create(&taking, NULL, taker, NULL) == 0);
    REQUIRE(pthread_create(&cutting, NULL, cut_in_a_thread, (void *)(uintptr_t)path) == 0);
    /* Nobody asks about the region itself until then: that would be an answer good for almost a second. */
    while (stats_now().leases_breaking == 0 && stats_now().lease_breaks == breaks) {
        sched_yield();
    }
    for (; stats_now().leases_breaking != 0; asked++) {
        REQUIRE_STATUS(mmg_check(handle), MMG_OK);
    }
    REQUIRE(pthread_join(cutting, NULL) == 0);
    atomic_store(&hoard.has_ended, true);
    REQUIRE(!with_taker || pthread_join(taking, NULL) == 0);
    check_stable(handle);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    while (hoard.count > 0) {
        close(hoard.taken[--hoard.count]);
    }
    return asked;
}

/**
 * A lease that breaks can be told from one that is gone by reading from /proc, for which no descriptor is left. In the second
 * turn, a thread of the host also takes each descriptor that the library gives up, so that the library cannot open the
 * kernel's setting during the break.
 */
static void
break_without_descriptors(void *unused)
{
    (void)unused;
    alarm(240); /* a round takes longer than a second, and on a busy machine many rounds may miss the break */
    for (int with_taker = 0; with_taker <= 1; with_taker++) {
        unsigned asked = 0;
        for (unsigned round = 0; round < 20 && asked == 0; round++) {
            asked = ask_in_mid_break(with_taker == 1);
        }
        CHECK(asked > 0);
    }
}

static void
a_break_without_descriptors_is_no_loss(void)
{
    struct rlimit before;
    mmg_options options = stable_options(MMG_BACKING_MAP);
    mmg_handle handle = check_open(check_file("file", SIZE), &options);
    const uint32_t means = check_info(handle).means;
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    if (means != MMG_MEANS_LEASE) {
        CHECK(!check_kernel_has_leases());
        check_skip("no lease is possible here");
        return;
    }
    if (check_under_valgrind()) {
        check_skip("the copy takes longer under Valgrind than the kernel lets a writer wait");
        return;
    }
    REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE(setrlimit(RLIMIT_NOFILE, &(struct rlimit){DESCRIPTORS, before.rlim_max}) == 0);
    for (unsigned attempt = 0; attempt < 3; attempt++) {
        const long least = break_seconds();
        int wait_status = check_child(break_without_descriptors, NULL);
        if (is_long(least) && is_long(break_seconds())) {
            CHECK_EXITED(wait_status);
            break;
        }
        if (attempt == 2) {
            check_skip("this system gives a lease less time than the copy may take");
        }
    }
    REQUIRE(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

static const struct check_case cases[] = {
    {"a read in the midst of a break is whole", a_read_in_the_midst_of_a_break_is_whole, CHECK_ONCE},
    {"a signal that the host raises replaces no bytes", a_signal_that_the_host_raises_replaces_no_bytes, CHECK_ONCE},
    {"pages that io_uring holds change no bytes", pages_that_io_uring_holds_change_no_bytes, 0},
    {"a break without descriptors is no loss", a_break_without_descriptors_is_no_loss, CHECK_ONCE},
};

CHECK_MAIN(cases)
