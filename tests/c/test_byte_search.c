/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Compares the search in memory with a search that is too simple to be wrong. The cases have every needle size around
 * the widths of vectors, every position of a hit in a block, small alphabets that cause many near misses, and needles
 * for which the fast loops give up.
 */
#include "check.h"

#include <stdlib.h>
#include <string.h>

#include "region/byte_search.h"

void *__real_memmem(const void *hay, size_t size, const void *needle, size_t needle_size);
void *__wrap_memmem(const void *hay, size_t size, const void *needle, size_t needle_size);

static size_t left_to_memmem; /* the most bytes that one call got */

void *
__wrap_memmem(const void *hay, size_t size, const void *needle, size_t needle_size)
{
    left_to_memmem = size > left_to_memmem ? size : left_to_memmem;
    return __real_memmem(hay, size, needle, needle_size);
}

static const unsigned char *
naive_first(const unsigned char *hay, size_t size, const unsigned char *needle, size_t needle_size)
{
    if (needle_size == 0)
        return NULL;
    for (size_t at = 0; at + needle_size <= size; at++)
        if (memcmp(hay + at, needle, needle_size) == 0)
            return hay + at;
    return NULL;
}

static const unsigned char *
naive_last(const unsigned char *hay, size_t size, const unsigned char *needle, size_t needle_size)
{
    if (needle_size == 0 || needle_size > size)
        return NULL;
    for (size_t at = size - needle_size + 1; at-- > 0;)
        if (memcmp(hay + at, needle, needle_size) == 0)
            return hay + at;
    return NULL;
}

/* Returns the bytes in a heap block of exactly their size, so that a sanitizer finds every read behind them. */
static unsigned char *
exact(const unsigned char *bytes, size_t size)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);

    REQUIRE(copy != NULL);
    if (size > 0)
        memcpy(copy, bytes, size);
    return copy;
}

static void
compare(const unsigned char *bytes, size_t size, const unsigned char *needle_bytes, size_t needle_size)
{
    unsigned char *hay = exact(bytes, size), *needle = exact(needle_bytes, needle_size);

    CHECK(mmgi_bytes_find(hay, size, needle, needle_size) == naive_first(hay, size, needle, needle_size));
    CHECK(mmgi_bytes_find_last(hay, size, needle, needle_size) == naive_last(hay, size, needle, needle_size));
    free(hay);
    free(needle);
}

static uint32_t
next_random(uint32_t *state)
{
    *state = *state * UINT32_C(1664525) + UINT32_C(1013904223);
    return *state >> 16;
}

static void
a_hit_is_found_wherever_it_lies(void)
{
    unsigned char hay[300], needle[70];

    for (size_t needle_size = 1; needle_size <= sizeof needle; needle_size += needle_size < 36 ? 1 : 11)
        for (size_t at = 0; at + needle_size <= sizeof hay; at += 1 + needle_size / 9) {
            memset(hay, 'e', sizeof hay);
            for (size_t i = 0; i < needle_size; i++)
                needle[i] = (unsigned char)(i % 3 == 0 ? 'e' : 'a' + i % 19);
            memcpy(hay + at, needle, needle_size);
            compare(hay, sizeof hay, needle, needle_size);
            compare(hay, at + needle_size, needle, needle_size);     /* the hit is at the end of the hay */
            compare(hay, at + needle_size - 1, needle, needle_size); /* the last byte of the hit is missing */
        }
}

static void
near_misses_are_not_taken_for_hits(void)
{
    unsigned char hay[1000], needle[24];
    uint32_t state = 1;

    for (int round = 0; round < 4000; round++) {
        uint32_t letters = 1 + next_random(&state) % 3;
        size_t size = next_random(&state) % sizeof hay, needle_size = next_random(&state) % sizeof needle;
        for (size_t i = 0; i < size; i++)
            hay[i] = (unsigned char)('a' + next_random(&state) % letters);
        for (size_t i = 0; i < needle_size; i++)
            needle[i] = (unsigned char)('a' + next_random(&state) % letters);
        compare(hay, size, needle, needle_size);
    }
}

/* All candidates of long runs fail in their last byte, so the loops give up. The result must stay the same. */
static void
repetitive_bytes_are_searched_to_the_end(void)
{
    const size_t size = (size_t)1 << 18;
    unsigned char *hay = malloc(size), needle[40];

    REQUIRE(hay != NULL);
    for (size_t i = 0; i < size; i++)
        hay[i] = (unsigned char)(i % 4 == 0 ? 'q' : 'z');
    for (size_t i = 0; i < sizeof needle; i++)
        needle[i] = (unsigned char)(i % 4 == 0 ? 'q' : 'z');
    needle[sizeof needle - 1] = 'x';
    CHECK(mmgi_bytes_find(hay, size, needle, sizeof needle) == NULL);
    CHECK(mmgi_bytes_find_last(hay, size, needle, sizeof needle) == NULL);
    memcpy(hay + size / 2, needle, sizeof needle);
    CHECK(mmgi_bytes_find(hay, size, needle, sizeof needle) == hay + size / 2);
    CHECK(mmgi_bytes_find_last(hay, size, needle, sizeof needle) == hay + size / 2);
    free(hay);
}

/*
 * Bytes of the needle that are rare in most files may be common in this one, alone or beside each other, or only in a part of
 * the file. The hit is then behind any number of them.
 */
static void
bytes_that_are_common_in_the_file_hide_no_hit(void)
{
    enum {
        SIZE = 40000
    };
    static const char *const needles[] = {"zq", "z0q", "eXetq", "ze request of XqX"};
    static unsigned char hay[SIZE];
    uint32_t state = 7;

    for (unsigned round = 0; round < 240; round++) {
        const char *needle = needles[round % 4];
        const size_t needle_size = strlen(needle), at = next_random(&state) % (SIZE - needle_size);
        const size_t part = round % 3 == 0 ? SIZE : next_random(&state) % SIZE; /* the part in which bytes are common */
        const uint32_t one_in = 1 + next_random(&state) % 600;
        for (size_t i = 0; i < SIZE; i++)
            hay[i] = i % 61 == 60 ? '\n' : 'e';
        for (size_t i = 0; i < part; i++)
            if (next_random(&state) % one_in == 0)
                hay[i] = (unsigned char)needle[round / 4 % 3 == 0 ? 0 : next_random(&state) % needle_size];
        compare(hay, SIZE, (const unsigned char *)needle, needle_size);
        memcpy(hay + at, needle, needle_size);
        compare(hay, SIZE, (const unsigned char *)needle, needle_size);
        compare(hay, at + needle_size, (const unsigned char *)needle, needle_size);
    }
}

/* An e is common in most files, so the search for the first needle looks for the two other bytes. The file is full of places
   where the needle begins and does not end. They do not make the fast loops give up, which leave to memmem(3) only what is
   shorter than a vector. The second needle has no other rare byte. */
static void
the_rarest_bytes_of_a_needle_are_looked_for(void)
{
    enum {
        SIZE = 40000,
        VECTOR = 32
    };
    static unsigned char hay[SIZE];

    for (size_t i = 0; i < SIZE; i++)
        hay[i] = (unsigned char)"Ze."[i % 3];
    left_to_memmem = 0;
    CHECK(mmgi_bytes_find(hay, SIZE, (const unsigned char *)"ZeX", 3) == NULL);
    CHECK(left_to_memmem < VECTOR);
    CHECK(mmgi_bytes_find(hay, SIZE, (const unsigned char *)"Zee", 3) == NULL);
    CHECK(left_to_memmem > SIZE / 2);
}

static void
a_needle_without_bytes_or_too_long_is_not_found(void)
{
    const unsigned char hay[] = "abc";

    CHECK(mmgi_bytes_find(hay, 3, hay, 0) == NULL);
    CHECK(mmgi_bytes_find(hay, 2, hay, 3) == NULL);
    CHECK(mmgi_bytes_find_last(hay, 3, hay, 0) == NULL);
    CHECK(mmgi_bytes_find_last(hay, 2, hay, 3) == NULL);
    CHECK(mmgi_bytes_find(hay, 3, hay, 3) == hay);
}

/* Where the processor has wide vectors, the narrow loops only finish what the wide ones have left. */
#ifdef __x86_64__
/* What GCC's and Clang's __builtin_cpu_supports() read; bit 10 of the features is AVX2. */
extern struct {
    unsigned vendor, type, subtype, features[1];
} __cpu_model __attribute__((visibility("hidden")));
#define HAS_AVX2 (1U << 10)

static void
narrow_vectors_find_the_same(void)
{
    const unsigned before = __cpu_model.features[0];

    __builtin_cpu_init();
    __cpu_model.features[0] &= ~HAS_AVX2;
    if (__builtin_cpu_supports("avx2")) {
        check_skip("this compiler asks the processor in another way");
    } else {
        a_hit_is_found_wherever_it_lies();
        near_misses_are_not_taken_for_hits();
        repetitive_bytes_are_searched_to_the_end();
        a_needle_without_bytes_or_too_long_is_not_found();
    }
    __cpu_model.features[0] = before;
}
#endif

static const struct check_case cases[] = {
    {"a hit is found wherever it lies", a_hit_is_found_wherever_it_lies, 0},
    {"near misses are not taken for hits", near_misses_are_not_taken_for_hits, 0},
    {"repetitive bytes are searched to the end", repetitive_bytes_are_searched_to_the_end, 0},
    {"bytes that are common in the file hide no hit", bytes_that_are_common_in_the_file_hide_no_hit, 0},
    {"the rarest bytes of a needle are looked for", the_rarest_bytes_of_a_needle_are_looked_for, 0},
    {"a needle without bytes or too long is not found", a_needle_without_bytes_or_too_long_is_not_found, 0},
#ifdef __x86_64__
    {"narrow vectors find the same", narrow_vectors_find_the_same, 0},
#endif
};

CHECK_MAIN(cases)
