/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The search chooses two bytes of the needle that are rare in most files. It looks for the rarer one, a vector of positions
 * at a time, and compares the needle only where both bytes match. So a common first byte, such as a newline, costs no time.
 * When that byte turns out to be common in this file, the search looks for the other byte, and then for both at once. When
 * many places match both, memmem(3) takes over, which takes linear time for every needle.
 * The code uses the vectors of the compiler, and the wider vectors of x86-64 where the processor has them.
 */
#include "region/byte_search.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* The two rare bytes are chosen among so many bytes at the start of a needle. */
#define MAX_RANKED 64u
/* The search goes on while its failed comparisons are at most FREE_MISSES plus one for every BYTES_PER_MISS bytes searched.
   For a long needle fewer are allowed, since a comparison takes longer and memmem(3) takes longer steps. */
#define FREE_MISSES 32u
#define BYTES_PER_MISS 16u
/* A byte is rare in a file as long as fewer than one of five steps finds it without the other byte of the pair. */
#define LONE_HIT 4u
#define MAX_LONE_HITS 64u
/* So many positions are searched first: to choose the rarest bytes of the needle costs more than that. */
#define NEAR_POSITIONS 256u
/* A search from the end gives memmem(3) blocks of this size. */
#define LAST_BLOCK ((size_t)16 << 10)

/*
 * How common each byte is, from 0 (rarest) to 255: counted over equal parts of English documentation, C headers, Python
 * sources and ELF files of a Debian 12. The table affects only the speed.
 */
static const unsigned char rank[256] = {
    254, 200, 168, 162, 167, 163, 124, 137, 201, 173, 244, 102, 112, 127, 166, 214, 175, 116, 125, 53,  101, 100,
    67,  56,  158, 45,  22,  31,  75,  37,  42,  165, 255, 84,  202, 197, 207, 144, 106, 218, 231, 228, 210, 136,
    233, 206, 225, 193, 216, 219, 190, 180, 176, 183, 156, 152, 170, 184, 205, 181, 171, 196, 172, 90,  182, 226,
    188, 222, 209, 235, 191, 187, 239, 229, 154, 169, 227, 194, 223, 217, 211, 99,  215, 236, 224, 186, 159, 147,
    195, 155, 151, 160, 174, 161, 86,  251, 145, 246, 213, 243, 241, 253, 240, 221, 232, 249, 129, 208, 242, 230,
    248, 245, 238, 135, 247, 250, 252, 237, 199, 198, 203, 212, 141, 149, 146, 148, 96,  52,  153, 87,  38,  185,
    179, 177, 62,  73,  104, 220, 20,  204, 82,  189, 69,  66,  133, 10,  25,  49,  85,  41,  30,  8,   70,  7,
    1,   5,   44,  36,  21,  16,  92,  6,   23,  72,  48,  28,  14,  39,  88,  34,  40,  46,  57,  11,  3,   17,
    95,  0,   4,   18,  61,  9,   117, 51,  113, 65,  122, 58,  89,  50,  119, 77,  178, 142, 105, 143, 107, 97,
    123, 157, 93,  110, 35,  13,  19,  29,  47,  15,  131, 79,  109, 68,  2,   26,  32,  43,  108, 81,  24,  91,
    12,  80,  71,  128, 130, 55,  76,  33,  60,  27,  63,  78,  192, 164, 64,  126, 103, 98,  114, 139, 140, 54,
    83,  94,  59,  74,  132, 121, 138, 111, 120, 115, 118, 134, 150, 234,
};

struct pair {
    unsigned char first, second;
    size_t first_at, second_at; /* offsets in the needle */
};

struct search {
    const unsigned char *start, *at,
        *end; /* the candidates, where the needle may begin, are [at, end); the bytes begin at start */
    const unsigned char *needle;
    size_t needle_size;
    size_t searched; /* bytes searched so far */
    size_t misses;
    unsigned common_bytes; /* how many bytes of the pair have turned out to be common in this file */
    unsigned lone_hits;    /* grows with each step in which one byte of the pair was found and the other was not */
    const unsigned char *found;
};

/* Returns true when the pair has matched too often where the needle did not. */
static inline bool
search_is_repetitive(const struct search *search)
{
    return search->misses > FREE_MISSES + search->searched / (BYTES_PER_MISS + search->needle_size);
}

/* Chooses the two rarest bytes of a needle that has at least two bytes. The two differ where the needle has different
   bytes. */
static struct pair
pair_choose(const unsigned char *needle, size_t needle_size)
{
    struct pair pair = {.first = needle[0], .second = needle[1], .second_at = 1};

    if (rank[pair.second] < rank[pair.first])
        pair = (struct pair){.first = needle[1], .second = needle[0], .first_at = 1};
    for (size_t i = 2; i < needle_size && i < MAX_RANKED; i++) {
        if (rank[needle[i]] < rank[pair.first]) {
            pair.second = pair.first;
            pair.second_at = pair.first_at;
            pair.first = needle[i];
            pair.first_at = i;
        } else if ((rank[needle[i]] < rank[pair.second] || pair.second == pair.first) && needle[i] != pair.first) {
            pair.second = needle[i];
            pair.second_at = i;
        }
    }
    return pair;
}

static inline uint64_t
load_8(const unsigned char *bytes)
{
    uint64_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint32_t
load_4(const unsigned char *bytes)
{
    uint32_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

/*
 * Returns true when `size` bytes, at least one, are the same. The last word may overlap the one before. Short needles are the
 * usual ones; a call of memcmp(3) would cost the caller its vectors in registers.
 */
static inline bool
bytes_are_equal(const unsigned char *a, const unsigned char *b, size_t size)
{
    if (size >= 8) {
        for (size_t at = 0; at < size - 8; at += 8)
            if (load_8(a + at) != load_8(b + at))
                return false;
        return load_8(a + size - 8) == load_8(b + size - 8);
    }
    if (size >= 4)
        return load_4(a) == load_4(b) && load_4(a + size - 4) == load_4(b + size - 4);
    return a[0] == b[0] && a[size / 2] == b[size / 2] && a[size - 1] == b[size - 1];
}

/* Only static functions of this file pass vectors to each other, so it does not matter how a processor that has no vector
   registers passes them. GCC warns of it for i686. */
#ifdef __i386__
#pragma GCC diagnostic ignored "-Wpsabi"
#endif

/* Searches positions behind the near ones. */
static const unsigned char *find_rest(const unsigned char *hay, size_t size, const unsigned char *needle,
                                      size_t needle_size);

/* Each vector has one type for values and one for memory, where it has no alignment. Functions take values only: GCC 14
   for aarch64 ends with an internal error when a parameter has the type without alignment. */
typedef unsigned char bytes16 __attribute__((vector_size(16)));
typedef unsigned char stored16 __attribute__((vector_size(16), aligned(1), may_alias));

#ifdef __x86_64__
typedef char mask16 __attribute__((vector_size(16)));
typedef unsigned char bytes32 __attribute__((vector_size(32)));
typedef unsigned char stored32 __attribute__((vector_size(32), aligned(1), may_alias));
typedef char mask32 __attribute__((vector_size(32)));

#define LOOP_NAME(word) word##_32
#define LOOP_TARGET __attribute__((target("avx2")))
#define VECTOR bytes32
#define VECTOR_STORED stored32
#define VECTOR_MASK(v) (uint32_t) __builtin_ia32_pmovmskb256((mask32)(v))
#include "region/byte_search_loop.h"
#undef LOOP_NAME
#undef LOOP_TARGET
#undef VECTOR
#undef VECTOR_STORED
#undef VECTOR_MASK

#define VECTOR_MASK(v) (uint32_t) __builtin_ia32_pmovmskb128((mask16)(v))
#else
/* Packs the result of a comparison into one bit for each byte. Usually no byte matches, so the function first looks at the
   two halves as words. */
static inline uint32_t
mask_pack(bytes16 matches)
{
    uint64_t halves[2];
    uint32_t mask = 0;

    memcpy(halves, &matches, sizeof halves);
    if ((halves[0] | halves[1]) == 0)
        return 0;
    for (uint32_t i = 0; i < 16; i++)
        mask |= (uint32_t)(matches[i] & 1) << i;
    return mask;
}
#define VECTOR_MASK(v) mask_pack((bytes16)(v))
#endif

#define LOOP_NAME(word) word##_16
#define LOOP_TARGET
#define VECTOR bytes16
#define VECTOR_STORED stored16
#include "region/byte_search_loop.h"

/* Fills the search and returns true when the needle can occur, that is, when it is not longer than the bytes. */
static bool
search_begin(struct search *search, const unsigned char *hay, size_t size, const unsigned char *needle,
             size_t needle_size)
{
    if (needle_size == 0 || needle_size > size)
        return false;
    *search = (struct search){
        .start = hay, .at = hay, .end = hay + (size - needle_size) + 1, .needle = needle, .needle_size = needle_size};
    return true;
}

static __attribute__((noinline)) const unsigned char *
find_rest(const unsigned char *hay, size_t size, const unsigned char *needle, size_t needle_size)
{
    struct search search;

    if (!search_begin(&search, hay, size, needle, needle_size))
        return NULL;
    const struct pair pair = pair_choose(needle, needle_size);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        forwards_32(&search, &pair);
#endif
    if (search.found == NULL && !search_is_repetitive(&search))
        forwards_16(&search, &pair);
    if (search.found != NULL || search.at == search.end)
        return search.found;
    return memmem(search.at, (size_t)(search.end - search.at) + needle_size - 1, needle, needle_size);
}

const unsigned char *
mmgi_bytes_find(const unsigned char *hay, size_t size, const unsigned char *needle, size_t needle_size)
{
    if (needle_size == 0 || needle_size > size)
        return NULL;
    if (needle_size == 1)
        return memchr(hay, needle[0], size);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        return find_32(hay, size, needle, needle_size);
#endif
    return find_16(hay, size, needle, needle_size);
}

/* Finds the last occurrence, block by block from the end. memmem(3) takes linear time for each block. */
static const unsigned char *
find_last_in_blocks(const struct search *search)
{
    const size_t block = search->needle_size > LAST_BLOCK / 4 ? search->needle_size * 4 : LAST_BLOCK;
    const unsigned char *end = search->end, *found = NULL;

    while (found == NULL && end > search->at) {
        const unsigned char *start = (size_t)(end - search->at) > block ? end - block : search->at;
        for (const unsigned char *at = start; at < end; at++) {
            at = memmem(at, (size_t)(end - at) + search->needle_size - 1, search->needle, search->needle_size);
            if (at == NULL)
                break;
            found = at;
        }
        end = start;
    }
    return found;
}

const unsigned char *
mmgi_bytes_find_last(const unsigned char *hay, size_t size, const unsigned char *needle, size_t needle_size)
{
    struct search search;

    if (needle_size == 1)
        return size > 0 ? memrchr(hay, needle[0], size) : NULL;
    if (!search_begin(&search, hay, size, needle, needle_size))
        return NULL;
    const struct pair pair = pair_choose(needle, needle_size);
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2"))
        backwards_32(&search, &pair);
#endif
    if (search.found == NULL && !search_is_repetitive(&search))
        backwards_16(&search, &pair);
    return search.found != NULL ? search.found : find_last_in_blocks(&search);
}
