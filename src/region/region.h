/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Regions: what a handle owns. Bytes in memory or in a mapping, the descriptors and lock behind them, and what was
 * known of the file at open. Made bare here, given bytes in backing.c, asked questions in inspect.c and paging.c.
 */
#ifndef MMGI_REGION_REGION_H
#define MMGI_REGION_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "handle/handle.h"
#include "os/map.h"
#include "region/source.h"

struct lease;

/** What mmg_changed() compares with. */
struct identity {
    uint64_t device, inode, size;
    int64_t mtime_seconds, ctime_seconds;
    uint32_t mtime_nanoseconds, ctime_nanoseconds;
};

struct region {
    struct handle_object object; /* first: regions are found by it */
    const unsigned char *data;   /* never NULL */
    uint64_t size;
    struct mapping mapping; /* base NULL: a copy */
    unsigned char *stream;  /* the heap block of a stream; files are copied into the region's own */
    uint32_t number;        /* in the registry; 0: a copy */
    int fd;                 /* the file that was opened, and its lock; -1: given back */
    struct lease *lease;    /* NULL: none was taken */
    uint32_t backing, reason, lock;
    int lock_error;
    bool has_identity; /* a file, as opposed to a stream */
    bool follows_link; /* how `path` was resolved */
    bool is_device;
    bool is_guarded; /* the fault guard is there for this region */
    /* What a lease that breaks changes in a living region, hence atomic. */
    _Atomic uint32_t guarantee, means, shortfall;
    _Atomic int content; /* descriptor to read the bytes from, at `offset`: `fd` or a snapshot's; -1: only in memory */
    uint64_t offset, heap_bytes;
    struct identity identity;
    const char *path; /* NULL: opened by descriptor */
};

/** A bare region for a source, with `room` bytes of its own for a copy at `data`. NULL: no memory. */
struct region *mmgi_region_new(const struct source *source, uint64_t room);

/** Give everything back; for a region that never got a handle. */
void mmgi_region_discard(struct region *region);

/** Count the heap of a region that is about to get a handle, and tell that of all that have one. */
void mmgi_region_count_in(struct region *region);
uint64_t mmgi_region_heap_bytes(void);

/** What mmg_changed() compares: the file as it was when the source was settled. */
uint32_t mmgi_region_compare(const struct identity *then, const struct stat *now);

/** Fill everything of mmg_info but the pins. */
void mmgi_region_describe(const struct region *region, mmg_info *info);

/** Record what no fault has told of: bytes behind the end of the file, or changed behind a parent's lease. */
mmg_status mmgi_region_look(const struct region *region);

/** mmg_check(), mmg_changed(), mmg_read() for a pinned region. */
mmg_status mmgi_region_check(const struct region *region);
mmg_status mmgi_region_changed(const struct region *region, uint32_t *what);
mmg_status mmgi_region_read(const struct region *region, uint64_t offset, void *buffer, uint64_t size, uint64_t *got);

/** mmg_advise(), mmg_resident(), for a range within the region. */
mmg_status mmgi_region_advise(const struct region *region, uint64_t offset, uint64_t length, uint32_t advice);
mmg_status mmgi_region_resident(const struct region *region, uint64_t offset, uint64_t length, uint64_t *bytes);

#endif
