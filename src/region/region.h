/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A region is what a handle owns: the bytes in memory or in a mapping, the descriptors and the lock behind them, and the
 * identity of the file at open. region_create() of create.h builds a region when everything about it is known. Afterwards only
 * two functions change it: mmgi_region_replace() replaces the bytes by a copy of them, and mmgi_region_demote() takes back
 * the STABLE guarantee.
 */
#ifndef MMGI_REGION_REGION_H
#define MMGI_REGION_REGION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard/registry.h"
#include "handle/handle.h"
#include "os/map.h"
#include "region/promise.h"
#include "region/source.h"

/** The file as it was at open. mmg_changed() compares with it. */
struct identity {
    uint64_t device, inode, size;
    struct file_time modified, changed;
};

/**
 * A keeper keeps the bytes of a region as they are; a lease is one. The region calls it through these pointers, so that this
 * room does not depend on the room of the leases.
 */
struct region_keeper {
    /** Ends the keeper and frees it. The region calls this once, before it gives anything else back. It may block. */
    void (*end)(struct region_keeper *keeper);
    /** Returns true when the keeper belongs to the process from which this one was forked. Async-signal-safe. */
    bool (*is_inherited)(const struct region_keeper *keeper);
};

struct region {
    struct handle_object
        object; /* must be the first member: a handle leads to the object, and a cast leads from it to the region */
    const unsigned char *data; /* never NULL */
    uint64_t size;
    struct mapping mapping;       /* base NULL: the bytes are a copy on the heap */
    unsigned char *stream;        /* the heap block of a stream; the copy of a file is part of the region's own block */
    uint32_t number;              /* the number in the registry of mappings; 0 for a copy */
    int fd;                       /* the descriptor of the file, which also holds the lock; -1 when it was given back */
    struct region_keeper *keeper; /* NULL when there is none */
    uint32_t backing, reason, lock, lock_reason, exceptions;
    int lock_error;
    struct lock_share lock_share;
    bool has_identity; /* true for a file, false for a stream */
    bool follows_link; /* true when a link as the last component of `path` was followed */
    bool is_device;
    bool
        is_stacked; /* the file system may put another file behind the descriptor, so only the mapping shows the bytes */
    bool is_kept;   /* STABLE was promised at open */
    bool is_mixed;  /* the file was written to while it was copied, so the copy may mix two versions */
    bool is_guarded;          /* the fault guard contains what happens to the mapping */
    _Atomic uint32_t promise; /* packed; see region/promise.h */
    _Atomic uint64_t looked;  /* which thread has last checked the guard and the file, and when; see find.c */
    _Atomic int os_error;     /* the last errno behind MMG_E_SYSTEM or MMG_E_IO; 0: none */
    _Atomic int
        content; /* the descriptor from which mmg_read() reads, at `offset`; -1 when the bytes are only in memory */
    uint64_t offset, heap_bytes, means_order;
    struct identity identity;
    const char *file_system;    /* name of the file system, never NULL */
    struct mapping_owner owner; /* its path, and its handle once that is issued */
};

/** Memory for a region, its path and a copy of the bytes, in one block. */
struct region_memory {
    struct region *region; /* not built yet */
    unsigned char *bytes;  /* room for the copy, aligned for vector code; NULL: no room was asked for */
    size_t total;          /* size of the block */
};

/** Everything that a region is built from. */
struct region_spec {
    const struct source *source;  /* the source whose path, options, times and lock the region takes over */
    struct region_memory *memory; /* becomes the region */
    const unsigned char *data;    /* NULL: an empty region */
    uint64_t size;
    unsigned char *stream;         /* a block on the heap, which becomes the region's */
    const struct mapping *mapping; /* becomes the region's; NULL: a copy */
    uint32_t number;               /* the number of the mapping in the registry */
    int content;       /* the descriptor of the source, from which mmg_read() reads; -1 to read from memory */
    bool keeps_source; /* the descriptor and the lock of the source become the region's */
    bool is_guarded;
    bool is_mixed;        /* as in struct region */
    uint32_t reason;      /* MMG_REASON_... */
    uint32_t exceptions;  /* MMG_EXCEPT_... bits */
    uint64_t means_order; /* as in mmg_info */
    struct promise promise;
};

/** Reserves memory for a region with room for a copy of `room` bytes. Returns false when there is no memory. */
bool mmgi_region_reserve(const struct source *source, uint64_t room, struct region_memory *memory);

/** Gives reserved memory back from which no region was built. */
void mmgi_region_unreserve(struct region_memory *memory);

/** Gives back everything that a region owns. The last close or unpin calls this. Other code may call it only for a region
 * that never got a handle. */
void mmgi_region_discard(struct region *region);

/** Counts the heap of a region that is about to get a handle. */
void mmgi_region_count_in(struct region *region);

/** Without mmg_options.copy_threshold, files of at most so many bytes are copied, as long as few copies are held. */
#define LARGEST_SMALL_FILE (UINT64_C(64) << 10)
/** Files of at most so many bytes are copied, however many copies are held. */
#define SMALLEST_MAPPED_FILE UINT64_C(4096)

/** Returns the size of the largest file that may be copied, unless the options ask for a copy. */
static inline uint64_t
mmgi_region_copy_threshold(const mmg_options *options)
{
    return options->copy_threshold > 0 ? options->copy_threshold : LARGEST_SMALL_FILE;
}

/**
 * Returns true when so many copies are held that the next small file is better mapped. With `keeps_descriptor` a copy would
 * keep a descriptor, as a mapping does.
 */
bool mmgi_region_copies_are_many(bool keeps_descriptor);

/** Returns the heap bytes of all regions that have a handle. */
uint64_t mmgi_region_heap_bytes(void);

/**
 * The bytes that replace those of a region. They are in memory, or in a file, at the same offsets as in the file of the
 * region. Memory and file stay the caller's, who can use them for other regions of the same file.
 */
struct replacement {
    int fd;                /* -1 when the bytes are in memory */
    unsigned char *memory; /* made by mmgi_map_shared_memory(); its first byte replaces the first byte of the mapping */
    size_t secured;        /* so many bytes from the start of the mapping are in the replacement */
    uint32_t means;        /* MMG_MEANS_...: the means of STABLE from now on */
};

/** Returns how many bytes at the start of the mapping a replacement with `secured` bytes can replace: whole pages. */
size_t mmgi_region_replaceable(const struct region *region, size_t secured);

/**
 * Returns true when a replacement may take the place of the mapping: no other code has made the mapping, or its owner has not
 * exchanged, unprotected or written to a page since it was adopted. Returns false when the kernel does not tell.
 */
bool mmgi_region_is_untouched(const struct region *region);

/**
 * Maps the replacement over the first bytes of the mapping. Addresses stay valid. A thread that reads meanwhile finds the
 * old bytes or the new bytes, which are equal. The fault guard does not touch the mapping during the call. Returns false
 * when nothing was replaced. The caller has asked mmgi_region_is_untouched() before.
 */
bool mmgi_region_replace(struct region *region, const struct replacement *replacement);

/**
 * Takes back the STABLE guarantee. The function first records all bytes from `from` on as MMG_E_UNSTABLE, so that no reader
 * gets changed bytes without a report. With `from` at the end of the region it records none.
 */
void mmgi_region_demote(struct region *region, uint64_t from, uint32_t shortfall);

/** Returns the promise of a region at this moment. */
static inline struct promise
region_promise(const struct region *region)
{
    return promise_unpack(atomic_load(&region->promise));
}

/** Compares an identity with the status of a file. Returns MMG_CHANGED_... bits. */
uint32_t mmgi_identity_compare(const struct identity *then, const struct file_status *now);

/** Fills mmg_info, except for the number of pins. */
void mmgi_region_describe(const struct region *region, mmg_info *info);

/**
 * Looks for losses that raise no fault, and records them: bytes behind the end of the file, and bytes that have changed
 * although a lease should have kept them. Returns MMG_OK, or the status of the failure when fstat(2) fails.
 */
mmg_status mmgi_region_look(const struct region *region);

/**
 * Stores an errno for mmg_info.os_error, and returns its status. The parameter is const because callers have const regions;
 * only `os_error` changes.
 */
mmg_status mmgi_region_failed(const struct region *region, int os_code);

/**
 * Returns true when bytes of the region are behind the end of the file, whose size now is `size`. On a stacked file system
 * the descriptor may lead to another file than the mapping, so there the function looks at the mapping.
 */
bool mmgi_region_tail_is_lost(const struct region *region, uint64_t size);

/** Returns 0 when a descriptor still names the region's file, or an errno; see mmgi_file_status_if(). */
int mmgi_region_names(const struct region *region, int fd, struct file_status *status);

/** Does the work of mmg_verify() for a pinned region. */
mmg_status mmgi_region_verify(const struct region *region);

/** Fills the error of `report` with what mmgi_region_verify() finds. Returns the same status. */
mmg_status mmgi_region_explain(const struct region *region, const struct report *report);

/** Do the work of mmg_check(), mmg_changed() and mmg_read() for a pinned region. */
mmg_status mmgi_region_check(const struct region *region);
mmg_status mmgi_region_changed(const struct region *region, uint32_t *what);
mmg_status mmgi_region_read(const struct region *region, uint64_t offset, void *buffer, uint64_t size, uint64_t *got);

/** Do the work of mmg_advise() and mmg_resident() for a range inside a pinned region. */
mmg_status mmgi_region_advise(const struct region *region, uint64_t offset, uint64_t length, uint32_t advice);
mmg_status mmgi_region_resident(const struct region *region, uint64_t offset, uint64_t length, uint64_t *bytes);

#endif
