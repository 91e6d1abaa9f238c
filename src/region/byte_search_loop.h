/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The inner loops of byte_search.c, for one width of vector. The file includes this text once for each width, with these
 * macros defined: LOOP_NAME(word) makes the name of a function, LOOP_TARGET is its attribute, VECTOR is a vector of
 * bytes, VECTOR_STORED is the same vector in memory without alignment, and VECTOR_MASK(v) has a bit for each byte of a
 * comparison that is true.
 */

/* Compares the block of candidates that starts at `at`. The result has all bits of a byte set where both bytes of the pair
   match. */
LOOP_TARGET static inline VECTOR
LOOP_NAME(compare)(const unsigned char *at, const struct pair *pair)
{
    /* The casts are to vectors that need no alignment. The caller has checked that the block lies inside the bytes. */
    const VECTOR first = *(const VECTOR_STORED *)(const void *)(at + pair->first_at);
    const VECTOR second = *(const VECTOR_STORED *)(const void *)(at + pair->second_at);

    return (VECTOR)((first == pair->first) & (second == pair->second));
}

/* Finds a needle of at least two bytes that is not longer than the bytes. Looks at the near positions without set-up. */
LOOP_TARGET static const unsigned char *
LOOP_NAME(find)(const unsigned char *hay, size_t size, const unsigned char *needle, size_t needle_size)
{
    const struct pair ends = {.first = needle[0], .second = needle[needle_size - 1], .second_at = needle_size - 1};
    const size_t positions = size - needle_size + 1, width = sizeof(VECTOR);
    const size_t near = (positions < NEAR_POSITIONS ? positions : NEAR_POSITIONS) / width * width;

    for (size_t at = 0; at < near; at += width) {
        uint32_t mask = VECTOR_MASK(LOOP_NAME(compare)(hay + at, &ends));
        for (; mask != 0; mask &= mask - 1) {
            const unsigned char *found = hay + at + (unsigned)__builtin_ctz(mask);
            if (bytes_are_equal(found, needle, needle_size))
                return found;
        }
    }
    return find_rest(hay + near, size - near, needle, needle_size);
}

/* Moves on over blocks without a candidate, four at a time. */
LOOP_TARGET static inline void
LOOP_NAME(skip)(struct search *search, const struct pair *pair)
{
    const size_t width = sizeof(VECTOR);

    while ((size_t)(search->end - search->at) >= 4 * width) {
        const unsigned char *at = search->at;
        VECTOR any = LOOP_NAME(compare)(at, pair) | LOOP_NAME(compare)(at + width, pair) |
                     LOOP_NAME(compare)(at + 2 * width, pair) | LOOP_NAME(compare)(at + 3 * width, pair);
        if (VECTOR_MASK(any) != 0)
            return;
        search->at += 4 * width;
    }
}

/* Searches forwards while whole vectors of candidates are left. */
LOOP_TARGET static void
LOOP_NAME(forwards)(struct search *search, const struct pair *pair)
{
    const size_t width = sizeof(VECTOR);
    const struct pair wanted = *pair; /* a copy, which the compiler can keep in registers */

    while ((size_t)(search->end - search->at) >= width) {
        uint32_t mask = VECTOR_MASK(LOOP_NAME(compare)(search->at, &wanted));
        if (mask == 0) {
            search->at += width;
            LOOP_NAME(skip)(search, &wanted);
            continue;
        }
        for (; mask != 0; mask &= mask - 1) {
            const unsigned char *found = search->at + __builtin_ctz(mask);
            if (memcmp(found, search->needle, search->needle_size) == 0) {
                search->found = found;
                return;
            }
            search->misses++;
        }
        search->at += width;
        search->searched = (size_t)(search->at - search->start);
        if (search_is_repetitive(search))
            return;
    }
}

/* Searches backwards, from the last candidate on, while whole vectors of candidates are left. */
LOOP_TARGET static void
LOOP_NAME(backwards)(struct search *search, const struct pair *pair)
{
    const size_t width = sizeof(VECTOR);

    while ((size_t)(search->end - search->at) >= width) {
        uint32_t mask = VECTOR_MASK(LOOP_NAME(compare)(search->end - width, pair));
        while (mask != 0) {
            const int bit = 31 - __builtin_clz(mask);
            const unsigned char *found = search->end - width + bit;
            if (memcmp(found, search->needle, search->needle_size) == 0) {
                search->found = found;
                return;
            }
            search->misses++;
            mask &= ~(UINT32_C(1) << bit);
        }
        search->end -= width;
        search->searched += width;
        if (search_is_repetitive(search))
            return;
    }
}
