/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Who is compared: each opens a file for reading, shows its bytes, and closes it. Everybody is called through the same
 * two pointers and touched by the same routines, so that the difference is theirs.
 */
#ifndef MMAPGUARD_BENCH_CONTENDERS_H
#define MMAPGUARD_BENCH_CONTENDERS_H

#include <mmapguard.h>
#include <stdbool.h>
#include <stdint.h>

/* An open file, whoever opened it. `data` and `size` are for all, the rest is for its owner. */
struct view {
    const uint8_t *data;
    uint64_t size;
    mmg_handle region;
    mmg_span span;
    int fd;
    void *owner;
};

struct contender {
    const char *name;
    bool (*open)(const char *path, struct view *view);
    void (*close)(struct view *view);
};

/* mmapguard as it comes, and with the backing or the guard decided. */
extern const struct contender mmapguard, mmapguard_map, mmapguard_copy, mmapguard_off;
/* By hand, as careful code does it: open + flock + fstat + mmap, and open + flock + fstat + read into malloc. */
extern const struct contender hand_mmap, hand_read;
#ifdef BENCH_HAS_GLIB
extern const struct contender glib_mapped_file;
#endif
#ifdef BENCH_HAS_BOOST
#ifdef __cplusplus
extern "C" {
#endif
extern const struct contender boost_mapped_file;
/* Version of the Boost that was compiled in. */
const char *boost_version(void);
#ifdef __cplusplus
}
#endif
#endif

/* Read every byte. */
uint64_t touch_bytes(const uint8_t *data, uint64_t size);
/* Read one byte of every page. */
uint64_t touch_pages(const uint8_t *data, uint64_t size);

/* Have a sum computed that nobody wants to know. An empty instruction, so that it costs neither time nor a cache line. */
static inline void
keep(uint64_t sum)
{
    __asm__ volatile("" : : "r"(sum));
}

#endif
