/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests a process at its limits: no mapping, no address space, or no lockable memory is left, or a small stack. A loss is
 * contained nevertheless, and an open copies where it cannot map. Limits belong to the process, so every case runs in a
 * child.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check.h"

#define PAGES 64
#define MANY 32 /* more mappings than the guard has spares */

static mmg_handle handle;
static mmg_span span;
static const char *path;

static void
open_and_pin(uint64_t pages)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    path = check_file("file", pages * check_page());
    handle = check_open(path, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
}

/** Reads a byte of each page of a range, all of which must be zeros. */
static void
read_zeros(const uint8_t *bytes, uint64_t first, uint64_t end)
{
    for (uint64_t at = first; at < end; at++) {
        REQUIRE(check_touch(bytes, at * check_page()) == 0);
    }
}

/** Cuts the file and reads all of it. */
static void
lose(uint64_t pages, uint64_t kept)
{
    check_truncate(path, kept * check_page());
    REQUIRE(check_is_pattern(span.data, 0, kept * check_page()));
    read_zeros(span.data, kept, pages);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static bool
may_run(void)
{
    if (check_under_valgrind() || check_under_qemu() || check_is_slow()) {
        check_skip("an emulator or a sanitizer needs mappings and address space itself");
        return false;
    }
    return true;
}

/** Gives a region back where the process is at its limit, too. */
static void
close_strictly(mmg_handle closed)
{
    CHECK_STATUS(mmg_close(closed, MMG_CLOSE_STRICT), MMG_OK);
}

/* ------------------------------------------------------------------------------------------------------- mappings -- */

/** Makes mappings until the process may make no more. Neighbours differ, so that the kernel does not join them. None can be
    written to, so that the kernel's limit on memory does not come first. */
static void
use_up_mappings(void)
{
    int protection = PROT_READ;
    while (mmap(NULL, check_page(), protection ^= PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) {
    }
    REQUIRE(errno == ENOMEM);
}

static void
run_out_of_mappings(void *argument __attribute__((unused)))
{
    open_and_pin(PAGES);
    use_up_mappings();
    lose(PAGES, 8);
}

static void
run_out_of_mappings_with_a_hole(void *argument __attribute__((unused)))
{
    open_and_pin(PAGES);
    use_up_mappings();
    siginfo_t info = check_fault(span.data + 30 * check_page());
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
    CHECK(check_is_zero(span.data + 30 * check_page(), check_page()));
    CHECK(check_is_pattern(span.data, 0, 30 * check_page()));
    CHECK_STATUS(mmg_unpin(&span), MMG_E_IO);
    close_strictly(handle);
}

/** Puts an adopted mapping of the file in the place of the region. */
static void
adopt_instead(void)
{
    const size_t size = PAGES * check_page();
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    void *mapping = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(mapping != MAP_FAILED);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    REQUIRE_STATUS(mmg_adopt(mapping, size, descriptor, NULL, &handle, NULL), MMG_OK);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    close(descriptor);
}

/**
 * Many files are cut in the middle, each of which takes a mapping more. When the spares are used up, a mapping is given up
 * as a whole, and told as lost as a whole.
 */
static void
run_out_of_mappings_and_spares(void *argument)
{
    mmg_handle handles[MANY];
    mmg_span spans[MANY];
    int descriptors[MANY];
    const uint64_t kept = 8;
    unsigned given_up = 0;
    for (unsigned i = 0; i < MANY; i++) {
        open_and_pin(PAGES);
        if (*(bool *)argument) {
            adopt_instead();
        }
        handles[i] = handle;
        spans[i] = span;
        descriptors[i] = open(path, O_RDWR | O_CLOEXEC);
        REQUIRE(descriptors[i] >= 0 && unlink(path) == 0);
    }
    use_up_mappings();
    for (unsigned i = 0; i < MANY; i++) {
        REQUIRE(ftruncate(descriptors[i], (off_t)(kept * check_page())) == 0);
        read_zeros(spans[i].data, kept, PAGES);
        const uint64_t first = check_info(handles[i]).fault_offset;
        REQUIRE(first == 0 || first == kept * check_page());
        given_up += first == 0;
        REQUIRE(first == 0 ? check_is_zero(spans[i].data, kept * check_page())
                           : check_is_pattern(spans[i].data, 0, kept * check_page()));
        CHECK_STATUS(mmg_unpin(&spans[i]), MMG_E_TRUNCATED);
    }
    CHECK(given_up > 0 && given_up < MANY);
    for (unsigned i = 0; i < MANY; i++) {
        close_strictly(handles[i]);
        close(descriptors[i]);
    }
}

/** Returns true when a call had no mapping left. The heap of musl needs mappings for small blocks, too. */
static bool
lacks_a_mapping(mmg_status status)
{
#ifdef __GLIBC__
    return status == MMG_E_LIMIT;
#else
    return status == MMG_E_LIMIT || status == MMG_E_NO_MEMORY;
#endif
}

/** Returns true for the status of a copy when no mapping is left. The heap of other C libraries than glibc may need one. */
static bool
has_copied(mmg_status status)
{
#ifdef __GLIBC__
    return status == MMG_OK;
#else
    return status == MMG_OK || status == MMG_E_NO_MEMORY;
#endif
}

static void
open_without_mappings(void *argument __attribute__((unused)))
{
    mmg_options map = check_backing(MMG_BACKING_MAP);
    mmg_handle other = 0;
    const char *big = check_file("big", UINT64_C(1) << 20);
    /* The heap cannot grow without a mapping, so there must be room in it. glibc gives the first block a mapping, and keeps
       blocks of this size in the heap from then on (mallopt(3), M_MMAP_THRESHOLD). A compiler may leave out a block that
       nobody writes to. */
    for (int block = 0; block < 2; block++) {
        volatile uint8_t *room = malloc(UINT64_C(2) << 20);
        REQUIRE(room != NULL);
        room[0] = 1;
        free((void *)(uintptr_t)room);
    }
    open_and_pin(PAGES);
    map.guarantee = MMG_GUARANTEE_STABLE; /* with a lease, if there are any here: the library has its thread then */
    const mmg_handle leased = check_open(path, &map);
    const uint32_t means = check_info(leased).means;
    use_up_mappings();
    CHECK(lacks_a_mapping(mmg_open(big, &map, &other, NULL)));
    map.guarantee = MMG_GUARANTEE_NONE;
    CHECK(lacks_a_mapping(mmg_open(big, &map, &other, NULL)));
    mmg_options options = MMG_OPTIONS_INIT;
    options.copy_threshold = 1;
    const char *small = path; /* smaller than blocks for which the heap makes a mapping */
    mmg_status status = mmg_open(small, &options, &other, NULL);
    CHECK(has_copied(status));
    if (status == MMG_OK) {
        CHECK_U64(check_info(other).backing, MMG_BACKING_COPY);
        CHECK_U64(check_info(other).backing_reason, MMG_REASON_NO_ROOM);
        close_strictly(other);
    }
    options.guarantee = MMG_GUARANTEE_STABLE;
    status = mmg_open(small, &options, &other, NULL);
    CHECK(has_copied(status));
    if (status == MMG_OK) {
        CHECK_U64(check_info(other).means, MMG_MEANS_PRIVATE_COPY);
        close_strictly(other);
    }
    options.max_snapshot_bytes = check_page();
    /* Where there are leases, the lack of mappings is the reason; elsewhere, the copy would be larger than its limit. */
    status = mmg_open(small, &options, &other, NULL);
    CHECK(means == MMG_MEANS_LEASE ? lacks_a_mapping(status) : status == MMG_E_UNSTABLE);
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    close_strictly(handle);
    close_strictly(leased);
}

static void
without_a_mapping_left_a_loss_is_contained(void)
{
    if (!may_run()) {
        return;
    }
    if (check_max_mappings() > 1000000) {
        check_skip("this system allows more than a million mappings");
        return;
    }
    CHECK_EXITED(check_child(run_out_of_mappings, NULL));
    CHECK_EXITED(check_child(run_out_of_mappings_with_a_hole, NULL));
    for (int adopts = 0; adopts <= mmg_supports(MMG_FEATURE_FOREIGN); adopts++) {
        bool wanted = adopts != 0;
        CHECK_EXITED(check_child(run_out_of_mappings_and_spares, &wanted));
    }
    CHECK_EXITED(check_child(open_without_mappings, NULL));
}

/* -------------------------------------------------------------------------------------------------- address space -- */

/** Lowers the limit on address space; with `*argument` true also the hard limit. */
static void
run_out_of_space(void *argument)
{
    const bool hard = *(bool *)argument;
    const struct rlimit limit = {UINT64_C(1) << 20, hard ? UINT64_C(1) << 20 : RLIM_INFINITY};
    struct rlimit after;
    open_and_pin(PAGES);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    if (hard) {
        check_become_nobody(); /* root could raise the limit again */
    }
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
    REQUIRE(ftruncate(descriptor, (off_t)((PAGES - 4) * check_page())) == 0);
    read_zeros(span.data, PAGES - 4, PAGES);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).faults, hard ? 4 : 1);
    REQUIRE(getrlimit(RLIMIT_AS, &after) == 0);
    CHECK_U64(after.rlim_cur, limit.rlim_cur);
    CHECK_U64(after.rlim_max, limit.rlim_max);
    close_strictly(handle);
    close(descriptor);
}

static void
below_the_limit_on_address_space_a_loss_is_contained(void)
{
    if (!may_run()) {
        return;
    }
    for (int hard = 0; hard < 2; hard++) {
        bool wanted = hard != 0;
        CHECK_EXITED(check_child(run_out_of_space, &wanted));
    }
}

/* -------------------------------------------------------------------------------------------------- locked memory -- */

static void
lock_everything(void *argument __attribute__((unused)))
{
    const struct rlimit limit = {UINT64_C(8) << 20, UINT64_C(8) << 20};
    const uint64_t pages = (UINT64_C(5) << 20) / check_page();
    REQUIRE(setrlimit(RLIMIT_MEMLOCK, &limit) == 0);
    open_and_pin(1);
    mmg_unpin(&span);
    mmg_close(handle, 0);
    path = check_file("file", pages * check_page());
    REQUIRE(chmod(path, 0666) == 0);
    int descriptor = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    check_become_nobody(); /* root has no such limit */
    REQUIRE(mlockall(MCL_FUTURE) == 0);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    REQUIRE_STATUS(mmg_open_fd(descriptor, &options, &handle, NULL), MMG_OK);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    REQUIRE(ftruncate(descriptor, (off_t)check_page()) == 0);
    read_zeros(span.data, 1, pages);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    close_strictly(handle);
    close(descriptor);
}

static void
where_all_memory_is_locked_a_loss_is_contained(void)
{
    if (may_run()) {
        CHECK_EXITED(check_child(lock_everything, NULL));
    }
}

/* ---------------------------------------------------------------------------------------------------------- stacks -- */

#define SMALL_STACK ((size_t)64 << 10)

/** Opens, searches and closes a file that has no name, by each means that maps. */
static void *
open_on_a_small_stack(void *argument)
{
    const int descriptor = *(const int *)argument;
    static const struct {
        uint32_t guarantee;
        uint64_t flags;
    } ways[] = {{0, 0}, {MMG_GUARANTEE_STABLE, 0}, {MMG_GUARANTEE_STABLE, MMG_FLAG_NO_LEASE}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        mmg_options options = check_backing(MMG_BACKING_MAP);
        mmg_handle opened = 0;
        uint64_t position = 0;
        options.guarantee = ways[i].guarantee;
        options.flags = ways[i].flags;
        REQUIRE_STATUS(mmg_open_fd(descriptor, &options, &opened, NULL), MMG_OK);
        CHECK_STATUS(mmg_find(opened, 0, MMG_TO_END, "not there", 9, &position), MMG_OK);
        CHECK_STATUS(mmg_verify(opened), MMG_OK);
        CHECK_STATUS(mmg_close(opened, 0), MMG_OK);
    }
    return NULL;
}

static void
open_in_a_thread(void *argument)
{
    pthread_t thread;
    pthread_attr_t attributes;
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, SMALL_STACK) == 0);
    REQUIRE(pthread_create(&thread, &attributes, open_on_a_small_stack, argument) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    pthread_attr_destroy(&attributes);
}

/** A snapshot of a memfd goes to a disk, so it is copied by way of a buffer. */
static void
a_thread_with_a_small_stack_can_open(void)
{
    if (!may_run()) {
        return;
    }
    int on_disk = open(check_file("file", PAGES * check_page()), O_RDONLY | O_CLOEXEC);
    int in_memory = memfd_create("limits", MFD_CLOEXEC);
    REQUIRE(on_disk >= 0 && in_memory >= 0);
    REQUIRE(ftruncate(in_memory, (off_t)(PAGES * check_page())) == 0);
    CHECK_EXITED(check_child(open_in_a_thread, &on_disk));
    CHECK_EXITED(check_child(open_in_a_thread, &in_memory));
    close(on_disk);
    close(in_memory);
}

static const struct check_case cases[] = {
    {"without a mapping left a loss is contained, and an open copies", without_a_mapping_left_a_loss_is_contained, 0},
    {"below the limit on address space a loss is contained", below_the_limit_on_address_space_a_loss_is_contained, 0},
    {"where all memory is locked a loss is contained", where_all_memory_is_locked_a_loss_is_contained, 0},
    {"a thread with a small stack can open", a_thread_with_a_small_stack_can_open, 0},
};

CHECK_MAIN(cases)
