/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The three ways in which a region gets its bytes: a stream is read to its end, a file is copied, or a file is mapped.
 * Each function builds the region once it has the bytes, and leaves the source as it was when it fails.
 */
#ifndef MMGI_REGION_BACKING_H
#define MMGI_REGION_BACKING_H

#include "region/region.h"

/** Tells that the file has no such part as the options ask for. Returns MMG_E_RANGE. */
ERROR_COLD mmg_status mmgi_backing_tell_range(const struct source *source);

/** Stores the length of the window that the options ask for. Returns MMG_E_RANGE when the file has no such part. */
static inline mmg_status
backing_window(const struct source *source, uint64_t *length)
{
    const mmg_options *options = source->options;

    if (options->offset > source->size || options->length > source->size - options->offset)
        return mmgi_backing_tell_range(source);
    *length = options->length > 0 ? options->length : source->size - options->offset;
    return MMG_OK;
}

/**
 * Reads a stream to its end; with MMG_REASON_VIRTUAL, a file whose reported size is not its real size. If such a file turns
 * out to have a size, the call makes no region and returns MMG_OK, as mmgi_backing_copy() does.
 */
mmg_status mmgi_backing_stream(struct source *source, uint32_t reason, struct region **region);

/**
 * Returns true when a copy for STABLE may take so much memory. A kernel that has no memory left ends the process, so this
 * is asked before a large copy, and only half of the memory that is left may be taken.
 */
bool mmgi_backing_has_memory(uint64_t length);

/* Several means end in each of these two functions. A host that optimises the whole program at link time would otherwise get
   all that they call once for each means, in mmg_open() alone. */
#define END_OF_OPEN __attribute__((noinline))

/**
 * Copies the window, whose length is that of backing_window(). If STABLE is demanded, the copy shows what the file
 * held at one moment. Otherwise the region knows if the copy may mix two versions. If a file that was to be copied because
 * it is small (MMG_REASON_SMALL) has grown beyond that, the call makes no region and returns MMG_OK. The source then has the
 * new size, and the caller must decide again.
 */
END_OF_OPEN mmg_status mmgi_backing_copy(struct source *source, uint64_t length, uint32_t reason,
                                         struct region **region);

/** What to map, and what mmg_info is to say of the mapping. */
struct map_request {
    int fd;          /* the source's own descriptor, or a snapshot's */
    uint64_t length; /* bytes to map, from the offset of the window */
    bool is_guarded;
    uint32_t reason;     /* MMG_REASON_...; the function replaces it by MMG_REASON_MAP_PRIVATE where it maps that way */
    uint32_t exceptions; /* MMG_EXCEPT_... bits */
    uint64_t means_order; /* as in mmg_info */
    bool
        is_snapshot; /* no process can cut the file, so the region keeps the mapping only, and `fd` stays the caller's */
    struct promise promise;
};

/**
 * Maps part of a file, registers the mapping with the guard, and builds the region. On success the region also owns
 * the descriptor and the lock of the source.
 */
END_OF_OPEN mmg_status mmgi_backing_map(struct source *source, const struct map_request *request,
                                        struct region **region);

#endif
