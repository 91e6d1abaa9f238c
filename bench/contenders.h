/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contenders. Each opens a file for reading, gives access to its bytes, and closes it. All are called through the
 * same two pointers, and the same routines touch their bytes, so that only the contenders differ.
 */
#ifndef MMAPGUARD_BENCH_CONTENDERS_H
#define MMAPGUARD_BENCH_CONTENDERS_H

#include <mmapguard.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A file that a contender has opened. Everybody uses `data` and `size`; the other members are for the contender alone.
 * rust/src/lib.rs repeats the * members.
 */
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
    /* True when the contender reads the file into its own memory. Such a contender is left out where a file is large.
       */
    bool copies;
    /* Returns true when everything that was read so far is right. NULL when the contender cannot tell. */
    bool (*intact)(struct view *view);
};

/* mmapguard with the defaults, with a fixed backing, without the guard or the lock, and with STABLE. */
extern const struct contender mmapguard, mmapguard_map, mmapguard_copy, mmapguard_off, mmapguard_no_lock,
    mmapguard_stable;
/* By hand, as careful code does it: open + flock + fstat + mmap, and open + flock + fstat + read into malloc; and the
 * latter without the lock. */
extern const struct contender hand_mmap, hand_read, hand_read_no_lock;

/* Store the other libraries that were compiled in, or that this machine has. Returns how many are stored. */
unsigned int peers(const struct contender **into, unsigned int most);

/*
 * Store mmapguard, the ways by hand, and the other libraries. Contenders that copy are stored only if `copiers` is
 * true. Returns how many are stored.
 */
unsigned int everybody(const struct contender **into, unsigned int most, bool copiers);

#ifdef BENCH_HAS_BOOST
extern const struct contender boost_mapped_file, boost_interprocess;
/* Returns the version of the Boost that was compiled in. */
const char *boost_version(void);
#endif
#ifdef BENCH_HAS_GLIB
extern const struct contender glib_mapped_file, glib_contents;
#endif
#ifdef BENCH_HAS_APR
extern const struct contender apr_mapped;
/* Returns the version of the APR that runs. */
const char *apr_release(void);
#endif
#ifdef BENCH_HAS_RUST
extern const struct contender rust_memmap2, rust_mmap_guard, rust_compat, rust_fs_read;
/*
 * memchr::memmem. The first function returns the first place of the needle or UINT64_MAX, the second the number of
 * places.
 */
uint64_t peers_memmem(const uint8_t *hay, uint64_t size, const uint8_t *needle, uint64_t length);
uint64_t peers_memmem_count(const uint8_t *hay, uint64_t size, const uint8_t *needle, uint64_t length);
#endif
/* LLVM's MemoryBuffer through its C interface, or NULL where no libLLVM is installed, and the name of that library. */
const struct contender *llvm_buffer(void);
const char *llvm_library(void);

/* Read every byte. */
uint64_t touch_bytes(const uint8_t *data, uint64_t size);
/* Read one byte of every page. */
uint64_t touch_pages(const uint8_t *data, uint64_t size);
/* Read the first byte. */
uint64_t touch_first(const uint8_t *data, uint64_t size);

/* Make the compiler compute a sum that is not used. The empty instruction costs neither time nor a cache line. */
static inline void
keep(uint64_t sum)
{
    __asm__ volatile("" : : "r"(sum));
}

#ifdef __cplusplus
}
#endif
#endif
