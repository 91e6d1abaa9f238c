/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SHA-256 (FIPS 180-4), small and portable: the demo's readers compute a result from the bytes that `sha256sum` can
 * confirm.
 */
#ifndef MMAPGUARD_DEMO_SHA256_H
#define MMAPGUARD_DEMO_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_HEX_SIZE 65 /* 64 digits and the terminating zero */

struct sha256 {
    uint32_t state[8];
    uint64_t bytes;    /* hashed so far */
    uint8_t block[64]; /* the bytes of a block that is not full yet */
};

void sha256_start(struct sha256 *hash);
void sha256_add(struct sha256 *hash, const uint8_t *data, size_t size);
void sha256_end(struct sha256 *hash, char hex[SHA256_HEX_SIZE]);

#endif
