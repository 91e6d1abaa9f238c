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

#ifdef __cplusplus
extern "C" {
#endif

/* An open file, whoever opened it. `data` and `size` are for all, the rest is for its owner. rust/src/lib.rs repeats the
 * members. */
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
    /* Reads the file into memory of its own; such a contender takes no part where a file is large. */
    bool copies;
    /* NULL: nobody is told. Otherwise: is everything true that was read so far? */
    bool (*intact)(struct view *view);
};

/* mmapguard as it comes; with the backing, the guard or the lock decided; and with STABLE. */
extern const struct contender mmapguard, mmapguard_map, mmapguard_copy, mmapguard_off, mmapguard_no_lock,
    mmapguard_stable;
/* By hand, as careful code does it: open + flock + fstat + mmap, and open + flock + fstat + read into malloc; and the
 * latter without the lock. */
extern const struct contender hand_mmap, hand_read, hand_read_no_lock;

/* The others that were compiled in, or that this machine has as a shared library. Returns how many are stored. */
unsigned int peers(const struct contender **into, unsigned int most);

/* mmapguard, the ways by hand, and the others; those that copy only if `copiers`. Returns how many are stored. */
unsigned int everybody(const struct contender **into, unsigned int most, bool copiers);

#ifdef BENCH_HAS_BOOST
extern const struct contender boost_mapped_file, boost_interprocess;
/* Version of the Boost that was compiled in. */
const char *boost_version(void);
#endif
#ifdef BENCH_HAS_GLIB
extern const struct contender glib_mapped_file, glib_contents;
#endif
#ifdef BENCH_HAS_APR
extern const struct contender apr_mapped;
/* Version of the APR that runs. */
const char *apr_release(void);
#endif
#ifdef BENCH_HAS_RUST
extern const struct contender rust_memmap2, rust_mmap_guard, rust_compat, rust_fs_read;
/* memchr::memmem: the first place of the needle, or UINT64_MAX; and the number of places, by one prepared search. */
uint64_t peers_memmem(const uint8_t *hay, uint64_t size, const uint8_t *needle, uint64_t length);
uint64_t peers_memmem_count(const uint8_t *hay, uint64_t size, const uint8_t *needle, uint64_t length);
#endif
/* LLVM's MemoryBuffer through its C interface, or NULL where no libLLVM is installed; and which library that is. */
const struct contender *llvm_buffer(void);
const char *llvm_library(void);

/* Read every byte. */
uint64_t touch_bytes(const uint8_t *data, uint64_t size);
/* Read one byte of every page. */
uint64_t touch_pages(const uint8_t *data, uint64_t size);
/* Read the first byte. */
uint64_t touch_first(const uint8_t *data, uint64_t size);

/* Have a sum computed that nobody wants to know. An empty instruction, so that it costs neither time nor a cache line. */
static inline void
keep(uint64_t sum)
{
    __asm__ volatile("" : : "r"(sum));
}

#ifdef __cplusplus
}
#endif
#endif
