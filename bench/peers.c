/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lists the other libraries that take part; see contenders.h.
 */
#include "contenders.h"

#include <stddef.h>

#ifdef BENCH_HAS_RUST
bool peers_memmap2_open(const char *path, struct view *view);
void peers_memmap2_close(struct view *view);
bool peers_mmap_guard_open(const char *path, struct view *view);
void peers_mmap_guard_close(struct view *view);
bool peers_compat_open(const char *path, struct view *view);
void peers_compat_close(struct view *view);
bool peers_fs_read_open(const char *path, struct view *view);
void peers_fs_read_close(struct view *view);

const struct contender rust_memmap2 = {"memmap2 + fs4", peers_memmap2_open, peers_memmap2_close, false, NULL};
const struct contender rust_mmap_guard = {"mmap-guard 0.2", peers_mmap_guard_open, peers_mmap_guard_close, false, NULL};
const struct contender rust_compat = {"mmapguard-compat", peers_compat_open, peers_compat_close, false, NULL};
const struct contender rust_fs_read = {"std::fs::read", peers_fs_read_open, peers_fs_read_close, true, NULL};
#endif

unsigned int
peers(const struct contender **into, unsigned int most)
{
    const struct contender *const others[] = {
#ifdef BENCH_HAS_GLIB
        &glib_mapped_file,  &glib_contents,
#endif
#ifdef BENCH_HAS_BOOST
        &boost_mapped_file, &boost_interprocess,
#endif
#ifdef BENCH_HAS_APR
        &apr_mapped,
#endif
#ifdef BENCH_HAS_RUST
        &rust_memmap2,      &rust_mmap_guard,    &rust_compat, &rust_fs_read,
#endif
        llvm_buffer(),
    };
    unsigned int count = 0;
    for (unsigned int i = 0; i < sizeof others / sizeof others[0]; i++)
        if (others[i] != NULL && count < most)
            into[count++] = others[i];
    return count;
}
