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

/* Compares four blocks that start at `at`. The result is 0 where the pair matches nowhere in them. */
LOOP_TARGET static inline uint32_t
LOOP_NAME(compare_four)(const unsigned char *at, const struct pair *pair)
{
    const size_t width = sizeof(VECTOR);
    const VECTOR any = LOOP_NAME(compare)(at, pair) | LOOP_NAME(compare)(at + width, pair) |
                       LOOP_NAME(compare)(at + 2 * width, pair) | LOOP_NAME(compare)(at + 3 * width, pair);

    return VECTOR_MASK(any);
}

/* Does the same with one byte of the pair alone, which takes half of the loads. */
LOOP_TARGET static inline uint32_t
LOOP_NAME(compare_four_singly)(const unsigned char *at, unsigned char byte)
{
    const VECTOR_STORED *block = (const VECTOR_STORED *)(const void *)at;

    return VECTOR_MASK((VECTOR)((block[0] == byte) | (block[1] == byte) | (block[2] == byte) | (block[3] == byte)));
}

/* Moves on over blocks without a candidate, four at a time, by one byte of the pair. Returns true at a candidate, or at the
   end, and false when the byte is common in this file. */
LOOP_TARGET static inline bool
LOOP_NAME(skip_singly)(struct search *search, const struct pair *pair, unsigned char byte, size_t byte_at)
{
    const size_t step = 4 * sizeof(VECTOR);

    for (; (size_t)(search->end - search->at) >= step; search->at += step) {
        if (LOOP_NAME(compare_four_singly)(search->at + byte_at, byte) == 0) {
            search->lone_hits -= search->lone_hits > 0;
            continue;
        }
        if (LOOP_NAME(compare_four)(search->at, pair) != 0)
            return true;
        search->lone_hits += LONE_HIT;
        if (search->lone_hits >= MAX_LONE_HITS)
            return false;
    }
    return true;
}

/* Moves on over blocks without a candidate, four at a time. Looks for the rarer byte of the pair alone as long as that byte
   is rare in this file, too, then for the other byte alone, and then for both. */
LOOP_TARGET static inline void
LOOP_NAME(skip)(struct search *search, const struct pair *pair)
{
    const size_t step = 4 * sizeof(VECTOR);

    for (; search->common_bytes < 2; search->common_bytes++, search->lone_hits = 0) {
        const bool is_first = search->common_bytes == 0;
        if (LOOP_NAME(skip_singly)(search, pair, is_first ? pair->first : pair->second,
                                   is_first ? pair->first_at : pair->second_at))
            return;
    }
    while ((size_t)(search->end - search->at) >= step && LOOP_NAME(compare_four)(search->at, pair) == 0)
        search->at += step;
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
