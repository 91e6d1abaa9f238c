/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A region is what a handle owns: bytes in memory or in a mapping, the descriptors and the lock behind them, and what was
 * known of the file at open. A region is built once, when everything about it is known. Afterwards only two functions
 * change it: one replaces the bytes by a copy of them, the other takes back what was promised.
 */
#ifndef MMGI_REGION_REGION_H
#define MMGI_REGION_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handle/handle.h"
#include "os/map.h"
#include "region/promise.h"
#include "region/source.h"

/** What mmg_changed() compares with: the file as it was when its source was settled. */
struct identity {
    uint64_t device, inode, size;
    struct file_time modified, changed;
};

/**
 * Somebody outside this room who keeps the bytes of a region as they are (a lease). The region calls back through these
 * pointers, so that this room need not know who it is.
 */
struct region_keeper {
    /** Ends the keeping and frees the keeper. Called once, before anything of the region is given back. May block. */
    void (*end)(struct region_keeper *keeper);
    /** Returns true when the keeper belongs to another process, from which this one was forked. Async-signal-safe. */
    bool (*is_inherited)(const struct region_keeper *keeper);
};

struct region {
    struct handle_object object; /* first: a handle leads to it, and it leads to the region */
    const unsigned char *data;   /* never NULL */
    uint64_t size;
    struct mapping mapping;       /* base NULL: the bytes are a copy on the heap */
    unsigned char *stream;        /* the heap block of a stream; the copy of a file is part of the region's own block */
    uint32_t number;              /* in the registry of mappings; 0: a copy */
    int fd;                       /* the file that was opened, and its lock; -1: given back */
    struct region_keeper *keeper; /* NULL: nobody */
    uint32_t backing, reason, lock, lock_reason, exceptions;
    int lock_error;
    struct lock_share lock_share;
    bool has_identity; /* the source is a file, as opposed to a stream */
    bool follows_link; /* how `path` was resolved */
    bool is_device;
    bool is_stacked;          /* the file may be exchanged below the descriptor, so only the mapping tells its bytes */
    bool is_kept;             /* STABLE was promised at open */
    bool is_guarded;          /* the fault guard contains what happens to the mapping */
    _Atomic uint32_t promise; /* packed; see region/promise.h */
    _Atomic int os_error;     /* the last errno behind MMG_E_SYSTEM or MMG_E_IO; 0: none */
    _Atomic int content; /* descriptor from which mmg_read() reads, at `offset`; -1: the bytes are only in memory */
    uint64_t offset, heap_bytes, means_order;
    struct identity identity;
    const char *file_system; /* its name, never NULL */
    const char *path;        /* NULL: opened by descriptor */
};

/** Memory for a region, its path and a copy of the bytes, in one block. */
struct region_memory {
    struct region *region; /* not built yet */
    unsigned char *bytes;  /* room for the copy, aligned for vector code; NULL: no room was asked for */
    size_t path_size;      /* bytes behind the region for the path and its NUL; 0: there is no path */
    size_t total;          /* size of the block */
};

/** Everything that a region is built from. */
struct region_spec {
    const struct source *source;  /* whose path, options, times and lock the region remembers */
    struct region_memory *memory; /* becomes the region */
    const unsigned char *data;    /* NULL: an empty region */
    uint64_t size;
    unsigned char *stream;         /* becomes the region's, for free(3) */
    const struct mapping *mapping; /* becomes the region's; NULL: a copy */
    uint32_t number;               /* of the mapping in the registry */
    int content;                   /* descriptor to read the bytes from; becomes the region's; -1: from memory */
    bool keeps_source;             /* the descriptor and the lock of the source become the region's */
    bool is_guarded;
    uint32_t reason;      /* MMG_REASON_... */
    uint32_t exceptions;  /* MMG_EXCEPT_... bits */
    uint64_t means_order; /* as in mmg_info */
    struct promise promise;
};

/** Reserves memory for a region with room for a copy of `room` bytes. Returns false when there is no memory. */
bool mmgi_region_reserve(const struct source *source, uint64_t room, struct region_memory *memory);

/** Gives reserved memory back that became no region. */
void mmgi_region_unreserve(struct region_memory *memory);

/** Builds a region. It cannot fail: everything that could is in the specification already. */
struct region *mmgi_region_create(const struct region_spec *spec);

/** Gives back everything that a region owns. For a region that never got a handle; others end by their handle. */
void mmgi_region_discard(struct region *region);

/** Counts the heap of a region that is about to get a handle. */
void mmgi_region_count_in(struct region *region);

/** Returns the heap bytes of all regions that have a handle. */
uint64_t mmgi_region_heap_bytes(void);

/**
 * Bytes that take the place of a region's: a file that holds them at the offsets that they have in the region's file, or
 * memory. Both stay the caller's, for other regions of the same file.
 */
struct replacement {
    int fd;                /* -1: in memory */
    unsigned char *memory; /* of mmgi_map_shared_memory(); it starts with the first byte of the mapping */
    size_t secured;        /* bytes from the start of the mapping that are there */
    uint32_t means;        /* MMG_MEANS_...: what the region is kept by from now on */
};

/** Returns how many bytes at the start of the mapping the replacement can stand for: whole pages. */
size_t mmgi_region_replaceable(const struct region *region, size_t secured);

/**
 * Puts the replacement in the place of the first bytes of the mapping. Addresses stay, and a reader finds the old bytes or
 * the new ones, which are the same. Fault handlers keep away meanwhile. Returns false when nothing was replaced.
 */
bool mmgi_region_replace(struct region *region, const struct replacement *replacement);

/**
 * Takes back the STABLE guarantee. All bytes from `from` on are reported as MMG_E_UNSTABLE first, so that nobody reads
 * changed bytes unwarned; `from` at the end of the region reports none.
 */
void mmgi_region_demote(struct region *region, uint64_t from, uint32_t shortfall);

/** Returns what the region promises now. */
static inline struct promise
region_promise(const struct region *region)
{
    return promise_unpack(atomic_load(&region->promise));
}

/** Compares an identity with a file: MMG_CHANGED_... bits. */
uint32_t mmgi_identity_compare(const struct identity *then, const struct file_status *now);

/** Fills everything of mmg_info but the pins. */
void mmgi_region_describe(const struct region *region, mmg_info *info);

/**
 * Records what no fault has told of: bytes behind the end of the file, and bytes that changed although a lease should
 * have kept them. Returns MMG_OK, or the status of a file that cannot be asked.
 */
mmg_status mmgi_region_look(const struct region *region);

/**
 * Remembers an errno for mmg_info.os_error and returns the status that stands for it. The region is const for callers, as
 * nothing that they read by it changes.
 */
mmg_status mmgi_region_failed(const struct region *region, int os_code);

/** mmg_verify() for a pinned region. */
mmg_status mmgi_region_verify(const struct region *region);

/** Tells `report` what mmg_verify() found, and returns the same status. */
mmg_status mmgi_region_explain(const struct region *region, const struct report *report);

/** mmg_check(), mmg_changed() and mmg_read() for a pinned region. */
mmg_status mmgi_region_check(const struct region *region);
mmg_status mmgi_region_changed(const struct region *region, uint32_t *what);
mmg_status mmgi_region_read(const struct region *region, uint64_t offset, void *buffer, uint64_t size, uint64_t *got);

/** mmg_advise() and mmg_resident() for a range within the region. */
mmg_status mmgi_region_advise(const struct region *region, uint64_t offset, uint64_t length, uint32_t advice);
mmg_status mmgi_region_resident(const struct region *region, uint64_t offset, uint64_t length, uint64_t *bytes);

#endif
