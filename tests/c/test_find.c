/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Compares mmg_find() with a search that is too simple to be wrong. The cases have random contents with many near
 * misses, and needles at every edge of windows, pages and blocks. They run on mappings and copies, with the guard and
 * where the guard cannot help.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/** Returns the first position of `needle` in `bytes`, or MMG_NOT_FOUND. */
static uint64_t
naive(const uint8_t *bytes, uint64_t size, const uint8_t *needle, uint64_t needle_size)
{
    for (uint64_t at = 0; needle_size <= size && at <= size - needle_size; at++) {
        uint64_t same = 0;
        while (same < needle_size && bytes[at + same] == needle[same]) {
            same++;
        }
        if (same == needle_size) {
            return at;
        }
    }
    return MMG_NOT_FOUND;
}

/** Handles of the same contents, for each way in which a search may work. */
struct ways {
    mmg_handle mapped;
    mmg_handle copied;
    const uint8_t *bytes;
    uint64_t size;
};

static struct ways
open_ways(const char *name, const uint8_t *bytes, size_t size)
{
    const char *path = check_file_with(name, bytes, size);
    mmg_options map = check_backing(MMG_BACKING_MAP);
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    struct ways ways = {check_open(path, &map), check_open(path, &copy), bytes, size};
    return ways;
}

static void
close_ways(const struct ways *ways)
{
    CHECK_STATUS(mmg_close(ways->mapped, 0), MMG_OK);
    CHECK_STATUS(mmg_close(ways->copied, 0), MMG_OK);
}

static uint64_t
find(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size)
{
    uint64_t position = 0;
    REQUIRE_STATUS(mmg_find(handle, offset, length, needle, needle_size, &position), MMG_OK);
    return position;
}

/** Searches in every way, and checks that each finds this position. */
static void
judge_find(const struct ways *ways, uint64_t offset, uint64_t length, const uint8_t *needle, uint64_t needle_size,
           uint64_t expected)
{
    REQUIRE(find(ways->copied, offset, length, needle, needle_size) == expected);
    REQUIRE(find(ways->mapped, offset, length, needle, needle_size) == expected);
    check_block_bus(true); /* no handler can run now, so the kernel must copy the bytes */
    REQUIRE(find(ways->mapped, offset, length, needle, needle_size) == expected);
    check_block_bus(false);
}

/** Searches in every way, and checks that each finds what the simple search finds. */
static void
check_find(const struct ways *ways, uint64_t offset, uint64_t length, const uint8_t *needle, uint64_t needle_size)
{
    uint64_t expected = naive(ways->bytes + offset, length, needle, needle_size);
    judge_find(ways, offset, length, needle, needle_size, expected == MMG_NOT_FOUND ? expected : expected + offset);
}

static void
an_empty_needle_is_found_at_once(void)
{
    static const uint8_t bytes[] = "abcdef";
    struct ways ways = open_ways("file", bytes, 6);
    for (uint64_t offset = 0; offset <= 6; offset++) {
        check_find(&ways, offset, 6 - offset, bytes, 0);
        CHECK_U64(find(ways.mapped, offset, MMG_TO_END, NULL, 0), offset);
        CHECK_U64(find(ways.copied, offset, 0, NULL, 0), offset);
    }
    close_ways(&ways);
}

static void
a_needle_larger_than_the_range_is_not_found(void)
{
    static const uint8_t bytes[] = "aaaaaaaa";
    struct ways ways = open_ways("file", bytes, 8);
    for (uint64_t length = 0; length <= 8; length++) {
        CHECK_U64(find(ways.mapped, 0, length, bytes, length + (length < 8)), length < 8 ? MMG_NOT_FOUND : 0);
        CHECK_U64(find(ways.copied, 0, length, bytes, length + (length < 8)), length < 8 ? MMG_NOT_FOUND : 0);
    }
    CHECK_U64(find(ways.mapped, 8, MMG_TO_END, "a", 1), MMG_NOT_FOUND);
    close_ways(&ways);
}

static void
a_needle_of_absurd_size_is_not_read(void)
{
    static const uint8_t bytes[] = "aaaaaaaa";
    static const uint64_t sizes[] = {9,         1000000, (UINT64_C(1) << 32) + 1, (uint64_t)INT64_MAX, UINT64_MAX - 1,
                                     UINT64_MAX};
    struct ways ways = open_ways("file", bytes, 8);
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        CHECK_U64(find(ways.mapped, 0, MMG_TO_END, "a", sizes[index]), MMG_NOT_FOUND);
        CHECK_U64(find(ways.copied, 0, MMG_TO_END, "a", sizes[index]), MMG_NOT_FOUND);
        CHECK_U64(find(ways.mapped, 5, 3, "a", sizes[index]), MMG_NOT_FOUND);
    }
    close_ways(&ways);
}

static void
random_searches_agree_with_a_naive_search(void)
{
    enum {
        SIZE = 9000
    };
    static uint8_t bytes[SIZE];
    uint64_t state = check_seed();
    for (unsigned alphabet = 1; alphabet <= 256; alphabet = alphabet * 3 - 1) {
        alphabet = alphabet > 100 ? 256 : alphabet;
        for (size_t at = 0; at < SIZE; at++) {
            bytes[at] = (uint8_t)check_random_below(&state, alphabet);
        }
        struct ways ways = open_ways("file", bytes, SIZE);
        for (uint64_t round = 0; round < check_scaled(1500); round++) {
            uint8_t needle[40];
            uint64_t needle_size = check_random_below(&state, 41);
            uint64_t offset = check_random_below(&state, SIZE + 1);
            uint64_t length = check_random_below(&state, SIZE - offset + 1);
            uint64_t source = check_random_below(&state, SIZE - 40);
            memcpy(needle, bytes + source, sizeof needle);
            if (round % 3 == 0 && needle_size > 0) { /* make a near miss by changing one byte */
                needle[check_random_below(&state, needle_size)] ^= 1;
            }
            check_find(&ways, offset, length, needle, needle_size);
        }
        close_ways(&ways);
    }
}

static void
needles_at_the_edges_of_a_range_are_found_and_beyond_them_not(void)
{
    enum {
        SIZE = 20000
    };
    static uint8_t bytes[SIZE];
    static const uint64_t edges[] = {0, 1, 15, 16, 17, 63, 64, 65, 4095, 4096, 4097, 8191, 8192, 12000, SIZE - 45};
    for (size_t index = 0; index < sizeof edges / sizeof *edges; index++) {
        for (uint64_t needle_size = 1; needle_size <= 40; needle_size += check_is_slow() ? 13 : 1) {
            uint64_t at = edges[index];
            memset(bytes, 'a', SIZE);
            memset(bytes + at, 'b', (size_t)needle_size);
            struct ways ways = open_ways("file", bytes, SIZE);
            const uint8_t *needle = bytes + at;
            check_find(&ways, at, needle_size, needle, needle_size);
            check_find(&ways, 0, at + needle_size, needle, needle_size);
            check_find(&ways, at, SIZE - at, needle, needle_size);
            if (at + needle_size - 1 >= needle_size) {
                check_find(&ways, 0, at + needle_size - 1, needle, needle_size);
            }
            check_find(&ways, at + 1, SIZE - at - 1, needle, needle_size);
            check_find(&ways, at, needle_size - 1, needle, needle_size);
            close_ways(&ways);
        }
    }
}

static void
needles_across_blocks_are_found(void)
{
    enum {
        SIZE = 2 * 262144 + 1000
    };
    static uint8_t bytes[SIZE];
    static const uint64_t shifts[] = {0, 1, 2, 20, 38, 39, 40, 41};
    static const uint64_t needle_sizes[] = {1, 2, 21, 40};
    uint8_t needle[40];
    memset(bytes, 'a', SIZE);
    memset(needle, 'a', sizeof needle);
    needle[39] = 'b';
    for (uint64_t block = 4096; block <= 524288; block *= check_is_slow() ? 8 : 2) {
        for (size_t shift = 0; shift < sizeof shifts / sizeof *shifts; shift++) {
            uint64_t last = block - shifts[shift] +
                            39; /* the position of the only b, which is the last byte of every needle */
            bytes[last] = 'b';
            struct ways ways = open_ways("file", bytes, SIZE);
            bytes[last] = 'a';
            for (size_t size = 0; size < sizeof needle_sizes / sizeof *needle_sizes; size++) {
                uint64_t part = needle_sizes[size];
                const uint8_t *end = needle + 40 - part;
                judge_find(&ways, 0, SIZE, end, part, last + 1 - part);
                judge_find(&ways, 3, last + 1 - 3, end, part, last + 1 - part);
                judge_find(&ways, 3, last - 3, end, part, MMG_NOT_FOUND);
                judge_find(&ways, last + 1 - part, part, end, part, last + 1 - part);
            }
            close_ways(&ways);
        }
    }
}

static void
a_needle_as_long_as_several_blocks_is_found(void)
{
    enum {
        SIZE = 3 * 262144,
        NEEDLE = 262144 + 777
    };
    static uint8_t bytes[SIZE];
    static uint8_t other[NEEDLE];
    static const uint64_t places[] = {0, 1, 65535, 65536, 65537, 262143, 262145, SIZE - NEEDLE - 1, SIZE - NEEDLE};
    check_fill(bytes, 0, SIZE);
    struct ways ways = open_ways("file", bytes, SIZE);
    for (size_t index = 0; index < sizeof places / sizeof *places; index++) {
        check_find(&ways, 0, SIZE, bytes + places[index], NEEDLE);
        memcpy(other, bytes + places[index], NEEDLE);
        other[NEEDLE - 1] ^= 1;
        check_find(&ways, 0, SIZE, other, NEEDLE);
    }
    close_ways(&ways);
}

static void
the_worst_case_of_a_simple_search_stays_exact(void)
{
    enum {
        SIZE = 200000
    };
    static uint8_t bytes[SIZE];
    static uint8_t needle[1000];
    memset(bytes, 'a', SIZE);
    memset(needle, 'a', sizeof needle);
    needle[999] = 'b';
    struct ways ways = open_ways("file", bytes, SIZE);
    check_find(&ways, 0, SIZE, needle, 30);
    CHECK_U64(find(ways.mapped, 0, SIZE, needle, 1000), MMG_NOT_FOUND);
    needle[999] = 'a';
    needle[0] = 'b';
    CHECK_U64(find(ways.mapped, 0, SIZE, needle, 1000), MMG_NOT_FOUND);
    close_ways(&ways);
}

static void
every_byte_value_is_found(void)
{
    uint8_t bytes[600];
    for (size_t at = 0; at < sizeof bytes; at++) {
        bytes[at] = (uint8_t)(at % 256);
    }
    struct ways ways = open_ways("file", bytes, sizeof bytes);
    for (unsigned value = 0; value < 256; value++) {
        uint8_t needle[2] = {(uint8_t)value, (uint8_t)(value + 1)};
        check_find(&ways, 0, sizeof bytes, needle, 1);
        check_find(&ways, 0, sizeof bytes, needle, 2);
        check_find(&ways, 300, 300, needle, 2);
    }
    close_ways(&ways);
}

/** Opens a mapping of its own, at which no search has looked yet, and searches while no handler can run. */
static uint64_t
find_at_first(uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size)
{
    const mmg_options options = check_backing(MMG_BACKING_MAP);
    const mmg_handle handle = check_open(check_path("file"), &options);
    check_block_bus(true);
    const uint64_t position = find(handle, offset, length, needle, needle_size);
    check_block_bus(false);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    return position;
}

/** The kernel copies the bytes piece by piece, and the last piece may be no larger than the needle. */
static void
a_range_as_long_as_the_needle_is_searched(void)
{
    enum {
        PIECE = 262144,
        SIZE = 2 * PIECE
    };
    static uint8_t bytes[SIZE];
    memset(bytes, 'a', SIZE);
    memcpy(bytes + 700, "needle", 6);
    memcpy(bytes + SIZE - 6, "needle", 6);
    check_file_with("file", bytes, SIZE);
    CHECK_U64(find_at_first(700, 6, "needle", 6), 700);
    CHECK_U64(find_at_first(701, 6, "needle", 6), MMG_NOT_FOUND);
    CHECK_U64(find_at_first(SIZE - 6, 6, "needle", 6), SIZE - 6);
    CHECK_U64(find_at_first(SIZE - 1, 1, "e", 1), SIZE - 1);
    CHECK_U64(find_at_first(SIZE - PIECE - 1, MMG_TO_END, "needle", 6), SIZE - 6); /* the last piece is the hit */
    CHECK_U64(find_at_first(SIZE - PIECE - 1, PIECE, "needle", 6), MMG_NOT_FOUND);
}

static void
positions_are_those_of_the_region_not_of_the_file(void)
{
    const char *path = check_file_with("file", "....needle....needle", 20);
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        options.offset = 2;
        mmg_handle handle = check_open(path, &options);
        CHECK_U64(find(handle, 0, MMG_TO_END, "needle", 6), 2);
        CHECK_U64(find(handle, 3, MMG_TO_END, "needle", 6), 12);
        CHECK_U64(find(handle, 13, MMG_TO_END, "needle", 6), MMG_NOT_FOUND);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        options.length = 17;
        handle = check_open(path, &options);
        CHECK_U64(find(handle, 3, MMG_TO_END, "needle", 6), MMG_NOT_FOUND);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

/** Searches a file that was cut short. With `blocked` the guard cannot help. */
static void
search_a_shortened_file(bool blocked, uint64_t cut)
{
    uint64_t position = 4711;
    static uint8_t bytes[40 * 4096];
    memset(bytes, 'a', sizeof bytes);
    memcpy(bytes + 100, "early", 5);
    memcpy(bytes + 39 * 4096 + 2000, "late", 4);
    const char *path = check_file_with("file", bytes, sizeof bytes);
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    check_truncate(path, cut);
    check_block_bus(blocked);
    if (cut >= 105) {
        CHECK_STATUS(mmg_find(handle, 0, cut, "early", 5, &position), MMG_OK);
        CHECK_U64(position, 100);
        CHECK_STATUS(mmg_find(handle, 0, cut, "late", 4, &position), MMG_OK);
        CHECK_U64(position, MMG_NOT_FOUND);
    }
    position = 4711;
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, "late", 4, &position), MMG_E_TRUNCATED);
    CHECK_U64(position, 4711);
    CHECK_STATUS(mmg_find(handle, sizeof bytes - 100, 100, "x", 1, &position), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    CHECK_U64(check_info(handle).fault_offset, cut);
    check_block_bus(false);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_search_of_a_shortened_file_is_a_status_and_not_a_signal(void)
{
    static const uint64_t cuts[] = {0, 1, 4096, 5000, 8192, 20 * 4096, 20 * 4096 + 1, 39 * 4096 + 5};
    for (size_t index = 0; index < sizeof cuts / sizeof *cuts; index++) {
        search_a_shortened_file(false, cuts[index]);
        search_a_shortened_file(true, cuts[index]);
    }
}

static const struct check_case cases[] = {
    {"an empty needle is found at once", an_empty_needle_is_found_at_once, 0},
    {"a needle larger than the range is not found", a_needle_larger_than_the_range_is_not_found, 0},
    {"a needle of absurd size is not read", a_needle_of_absurd_size_is_not_read, 0},
    {"random searches agree with a naive search", random_searches_agree_with_a_naive_search, 0},
    {"needles at the edges of a range are found, and beyond them not",
     needles_at_the_edges_of_a_range_are_found_and_beyond_them_not, 0},
    {"needles across blocks are found", needles_across_blocks_are_found, 0},
    {"a needle as long as several blocks is found", a_needle_as_long_as_several_blocks_is_found, 0},
    {"the worst case of a simple search stays exact", the_worst_case_of_a_simple_search_stays_exact, 0},
    {"every byte value is found", every_byte_value_is_found, 0},
    {"a range as long as the needle is searched", a_range_as_long_as_the_needle_is_searched, 0},
    {"positions are those of the region, not of the file", positions_are_those_of_the_region_not_of_the_file, 0},
    {"a search of a shortened file is a status and not a signal",
     a_search_of_a_shortened_file_is_a_status_and_not_a_signal, CHECK_LOSES},
};

CHECK_MAIN(cases)
