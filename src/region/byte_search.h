/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Searching bytes for bytes, forwards and backwards. Knows nothing of regions: the bytes are in memory, and a fault in
 * them is the caller's affair.
 */
#ifndef MMGI_REGION_BYTE_SEARCH_H
#define MMGI_REGION_BYTE_SEARCH_H

#include <stddef.h>

/**
 * Finds the first occurrence of a needle. Returns NULL when there is none, and for a needle of no bytes. It takes time
 * proportional to `size`, whatever the bytes are.
 */
const unsigned char *mmgi_bytes_find(const unsigned char *hay, size_t size, const unsigned char *needle,
                                     size_t needle_size);

/** Finds the last occurrence; otherwise as mmgi_bytes_find(). */
const unsigned char *mmgi_bytes_find_last(const unsigned char *hay, size_t size, const unsigned char *needle,
                                          size_t needle_size);

#endif
