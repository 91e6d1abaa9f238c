/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the address hints for mappings. They have the alignment of the bytes in the file. They are used again after a
 * mapping ends, and are corrected when another mapping has the address. They stay in the same part of the address
 * space.
 */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "check.h"
#include "os/map.h"
#include "os/linux/addr_hint.h"

#define ALIGNMENT ((uint64_t)64 << 10)
#define THREADS 4
#define PROPOSALS 1000

static const uint64_t megabyte = (uint64_t)1 << 20;
static const size_t largest_small = ADDR_HINT_SMALL_UP_TO;

static bool
is_wide(void)
{
    if (UINTPTR_MAX <= UINT32_MAX)
        check_skip("with 32 bits the kernel alone chooses");
    return UINTPTR_MAX > UINT32_MAX;
}

/* Returns true when mappings get the proposed addresses. */
static bool
has_places(void)
{
    if (!check_under_valgrind() && !check_under_qemu())
        return is_wide();
    check_skip("an emulator ignores hints and chooses addresses upwards");
    return false;
}

/* Opens a window of a file. Returns its handle, and stores the address of its bytes. */
static mmg_handle
open_at(const char *path, uint64_t offset, uint64_t length, uint64_t *address)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    options.offset = offset;
    options.length = length;
    mmg_handle handle = check_open(path, &options);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    *address = (uint64_t)(uintptr_t)span.data;
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    return handle;
}

/*
 * Returns the aligned address that a window gets. A hint is wrong where other memory has the address, so the function
 * tries a few times.
 */
static uint64_t
settled_address(const char *path, uint64_t offset, uint64_t length)
{
    uint64_t address = 1;
    for (size_t attempt = 0; attempt < 10 && address % ALIGNMENT != offset % ALIGNMENT; attempt++) {
        CHECK_STATUS(mmg_close(open_at(path, offset, length, &address), 0), MMG_OK);
    }
    return address;
}

static void
bytes_are_aligned_in_memory_as_in_the_file(void)
{
    static const uint64_t offsets[] = {0, 1, 4096, 65535, 65536, 100000, 1048577};
    const char *path = check_file("file", 3 * megabyte);
    if (!has_places())
        return;
    for (size_t index = 0; index < sizeof offsets / sizeof *offsets; index++) {
        for (uint64_t length = 8192; length <= largest_small; length = 2 * length + 5000) {
            CHECK_U64(settled_address(path, offsets[index], length) % ALIGNMENT, offsets[index] % ALIGNMENT);
        }
    }
}

/* The kernel flushes the translations of a mapping that is alone in its page of the page table in one step, if the
   mapping does not start in the first 32 pages that this page covers. */
static void
a_mapping_starts_where_it_is_cheap_to_end(void)
{
    const uintptr_t table = ADDR_HINT_TABLE_PAGE, room = (uintptr_t)128 << 10;
    if (!is_wide())
        return;
    for (size_t length = 8192; length <= largest_small; length += 20000) {
        mmgi_addr_hint_learn(megabyte, 0, (uintptr_t)(UINT64_C(1) << 36) + 5 * megabyte / 2);
        for (size_t index = 0; index < 100; index++) {
            const uintptr_t start = mmgi_addr_hint_propose(length, 0).start;
            CHECK_U64(start / table, (start + length - 1) / table);
            CHECK(start % table >= room);
        }
    }
    mmgi_addr_hint_learn(megabyte, 0, (uintptr_t)(UINT64_C(1) << 36) + 5 * megabyte / 2);
    const uintptr_t first = mmgi_addr_hint_propose(megabyte, 0).start + megabyte;
    CHECK_U64(first, (UINT64_C(1) << 36) + 2 * megabyte); /* the part above is shared with the memory above */
}

/* The same one level up, where a page of the page table covers 1 GiB. */
static void
a_large_mapping_starts_where_it_is_cheap_to_end(void)
{
    const uint64_t huge = 2 * megabyte, table = 1024 * megabyte, ceiling = (UINT64_C(1) << 44) + 777 * megabyte;
    static const uint64_t lengths[] = {2, 7, 100, 510, 511, 512, 1000, 1024, 1025, 5000, 65536};
    if (!is_wide())
        return;
    for (size_t index = 0; index < sizeof lengths / sizeof *lengths; index++) {
        const size_t length = (size_t)(lengths[index] * megabyte);
        mmgi_addr_hint_learn(length, 0, (size_t)ceiling);
        uint64_t above = ceiling / table * table;
        for (uint64_t offset = 0; offset < 3 * huge; offset += 4096 * 77) {
            const uint64_t start = mmgi_addr_hint_propose(length, offset).start;
            CHECK_U64(start % huge, offset % huge);
            CHECK(start % table >= table / 2);
            CHECK(lengths[index] > 510 || start / table == (start + length - 1) / table);
            CHECK(start + length <= above && above - start <= 2 * length + 2 * table);
            above = start;
        }
    }
}

/* The first fault of an aligned mapping may map a megabyte, which is too much for a program that reads a byte. */
static void
the_kernel_alone_chooses_between_the_small_and_the_large(void)
{
    static const struct {
        size_t length;
        bool has_hint;
    } lengths[] = {{4096, false},
                   {8192, true},
                   {(size_t)256 << 10, true},
                   {((size_t)256 << 10) + 4096, false},
                   {(size_t)1 << 20, false},
                   {((size_t)2 << 20) - 4096, false},
                   {(size_t)2 << 20, true},
                   {(size_t)1 << 30, true}};
    if (!is_wide())
        return;
    for (size_t index = 0; index < sizeof lengths / sizeof *lengths; index++) {
        CHECK(addr_hint_applies(lengths[index].length) == lengths[index].has_hint);
    }
}

static void
mappings_beside_each_other_are_aligned_too(void)
{
    enum {
        MANY = 100
    };
    mmg_handle handles[MANY];
    const char *path = check_file("file", megabyte);
    if (!has_places())
        return;
    size_t aligned = 0;
    for (size_t index = 0; index < MANY; index++) {
        uint64_t address;
        handles[index] = open_at(path, 0, largest_small - 4096 * (index % 60), &address);
        aligned += address % ALIGNMENT == 0;
    }
    CHECK(aligned >= MANY / 2); /* usually nearly all are aligned; by chance it would be one in sixteen */
    for (size_t index = 0; index < MANY; index++) {
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
}

/*
 * Opens two mappings of all lengths at a time, and closes them in either order. The highest address must be used again.
 */
static void
mappings_do_not_wander_off(void)
{
    const char *path = check_file("file", megabyte);
    uint64_t state = check_seed(), lowest = UINT64_MAX, highest = 0;
    if (!has_places())
        return;
    for (uint64_t round = 0; round < check_scaled(5000); round++) {
        mmg_handle handles[2];
        for (size_t index = 0; index < 2; index++) {
            uint64_t address;
            handles[index] = open_at(path, 0, 8192 + check_random_below(&state, largest_small - 8192), &address);
            lowest = address < lowest ? address : lowest;
            highest = address > highest ? address : highest;
        }
        size_t first = (size_t)check_random_below(&state, 2);
        CHECK_STATUS(mmg_close(handles[first], 0), MMG_OK);
        CHECK_STATUS(mmg_close(handles[1 - first], 0), MMG_OK);
    }
    CHECK(highest - lowest < 64 * megabyte);
}

static void
a_mapping_gets_another_address_when_the_proposed_one_is_taken(void)
{
    const char *path = check_file("file", megabyte);
    if (!has_places())
        return;
    uint64_t address = settled_address(path, 0, largest_small);
    void *wanted = (void *)(uintptr_t)address; /* a hint at a free address */
    void *taken = mmap(wanted, largest_small, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(taken == wanted);
    uint64_t other = settled_address(path, 0, largest_small);
    CHECK(other + largest_small <= address || other >= address + largest_small);
    CHECK_U64(other % ALIGNMENT, 0);
    munmap(taken, largest_small);
}

static void *
propose(void *argument)
{
    struct addr_hint *places = argument;
    for (size_t index = 0; index < PROPOSALS; index++) {
        places[index] = mmgi_addr_hint_propose(megabyte, 0);
    }
    return NULL;
}

static int
compare(const void *a, const void *b)
{
    uintptr_t x = ((const struct addr_hint *)a)->start, y = ((const struct addr_hint *)b)->start;
    return (x > y) - (x < y);
}

static void
threads_get_different_addresses_proposed(void)
{
    static struct addr_hint places[THREADS * PROPOSALS];
    pthread_t threads[THREADS];
    const uintptr_t ceiling = (uintptr_t)(UINT64_C(1) << 36); /* this copy of the file only counts; it maps nothing */
    if (!is_wide())
        return;
    mmgi_addr_hint_learn(megabyte, 0, ceiling);
    for (size_t number = 0; number < THREADS; number++) {
        REQUIRE(pthread_create(&threads[number], NULL, propose, &places[number * PROPOSALS]) == 0);
    }
    for (size_t number = 0; number < THREADS; number++) {
        REQUIRE(pthread_join(threads[number], NULL) == 0);
    }
    qsort(places, THREADS * PROPOSALS, sizeof *places, compare);
    for (size_t index = 1; index < THREADS * PROPOSALS; index++) {
        REQUIRE(places[index].start >= places[index - 1].start + megabyte);
    }
    for (size_t index = 0; index < THREADS * PROPOSALS; index++) {
        mmgi_addr_hint_return(megabyte, places[index]);
    }
    CHECK_U64(mmgi_addr_hint_propose(megabyte, 0).start, ceiling - megabyte); /* the highest address is free again */
}

/** An address at which nothing was mapped is proposed again. */
static void
a_mapping_that_fails_gives_its_address_back(void)
{
    const size_t length = largest_small;
    struct mapping mapping;
    if (!is_wide())
        return;
    mmgi_addr_hint_learn(length, 0, (uintptr_t)(UINT64_C(1) << 36));
    const struct addr_hint before = mmgi_addr_hint_propose(length, 0);
    mmgi_addr_hint_return(length, before);
    CHECK(before.start != 0);
    CHECK_I64(mmgi_map_file(-1, 0, length, (size_t)check_page(), false, &mapping), EBADF);
    CHECK_U64(mmgi_addr_hint_propose(length, 0).start, before.start);
    mmgi_addr_hint_learn(length, 0, 0);
}

/** The next mapping goes below the place that the kernel has chosen, and that place is not proposed again. */
static void
a_mapping_that_the_kernel_placed_elsewhere_moves_the_next_one(void)
{
    const uintptr_t other = (uintptr_t)(UINT64_C(1) << 35) + 5 * (uintptr_t)largest_small;
    if (!is_wide())
        return;
    uintptr_t next = 0;
    for (size_t index = 0; index < 3 && next == 0; index++) { /* some wrong guesses are followed by a search for room */
        mmgi_addr_hint_learn(largest_small, 0, (uintptr_t)(UINT64_C(1) << 36));
        struct addr_hint hint = mmgi_addr_hint_propose(largest_small, 0);
        CHECK(hint.start > other);
        mmgi_addr_hint_correct(largest_small, &hint, other);
        CHECK_U64(hint.start, other);
        CHECK_U64(hint.ceiling, 0);
        next = mmgi_addr_hint_propose(largest_small, 0).start;
    }
    CHECK(next != 0 && next + largest_small <= other);
    mmgi_addr_hint_learn(largest_small, 0, 0);
}

static void
without_room_below_no_address_is_proposed(void)
{
    if (!is_wide())
        return;
    mmgi_addr_hint_learn(megabyte, megabyte, megabyte);
    CHECK_U64(mmgi_addr_hint_propose(megabyte, 0).start, 0);
    CHECK_U64(mmgi_addr_hint_propose(SIZE_MAX, UINT64_MAX).start, 0);
}

static const struct check_case cases[] = {
    {"bytes are aligned in memory as in the file", bytes_are_aligned_in_memory_as_in_the_file, 0},
    {"a mapping starts where it is cheap to end", a_mapping_starts_where_it_is_cheap_to_end, 0},
    {"a large mapping starts where it is cheap to end", a_large_mapping_starts_where_it_is_cheap_to_end, 0},
    {"the kernel alone chooses between the small and the large",
     the_kernel_alone_chooses_between_the_small_and_the_large, 0},
    {"mappings beside each other are aligned, too", mappings_beside_each_other_are_aligned_too, 0},
    {"mappings do not wander off", mappings_do_not_wander_off, 0},
    {"a mapping gets another address when the proposed one is taken",
     a_mapping_gets_another_address_when_the_proposed_one_is_taken, 0},
    {"threads get different addresses proposed", threads_get_different_addresses_proposed, CHECK_THREADS},
    {"a mapping that fails gives its address back", a_mapping_that_fails_gives_its_address_back, 0},
    {"a mapping that the kernel placed elsewhere moves the next one",
     a_mapping_that_the_kernel_placed_elsewhere_moves_the_next_one, 0},
    {"without room below, no address is proposed", without_room_below_no_address_is_proposed, 0},
};

CHECK_MAIN(cases)
