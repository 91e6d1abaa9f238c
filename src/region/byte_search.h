/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Searches bytes in memory for a needle, forwards and backwards. The functions do not know about regions, so the caller
 * must take care of faults.
 */
#ifndef MMGI_REGION_BYTE_SEARCH_H
#define MMGI_REGION_BYTE_SEARCH_H

#include <stddef.h>
#include <string.h>

/**
 * Finds the first occurrence of a needle. Returns NULL when there is none, and for a needle of no bytes. It takes time
 * proportional to `size`, whatever the bytes are.
 */
const unsigned char *mmgi_bytes_find(const unsigned char *hay, size_t size, const unsigned char *needle,
                                     size_t needle_size);

/** Does the same. A needle of one byte is frequent, as in a walk from line to line, and costs no further call. */
static inline const unsigned char *
bytes_find(const unsigned char *hay, size_t size, const unsigned char *needle, size_t needle_size)
{
    return needle_size == 1 ? memchr(hay, needle[0], size) : mmgi_bytes_find(hay, size, needle, needle_size);
}

/** Finds the last occurrence. Otherwise does the same as mmgi_bytes_find(). */
const unsigned char *mmgi_bytes_find_last(const unsigned char *hay, size_t size, const unsigned char *needle,
                                          size_t needle_size);

#endif
