/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Builds a region. The function is inline in each place that has the bytes of a region, so that the compiler knows what a
 * copy, a stream or a mapping does not have. That saves 58 instructions for a copy, and 41 for a mapping.
 */
#ifndef MMGI_REGION_CREATE_H
#define MMGI_REGION_CREATE_H

#include "guard/registry.h"
#include "region/region.h"

/** Returns the MAPPING_... bit that names the lock of a source; 0 without a lock. */
static inline uint32_t
source_lock_trait(const struct source *source)
{
    return source->lock == MMG_LOCK_SHARED ? MAPPING_HAS_FLOCK
           : source->lock == MMG_LOCK_OFD  ? MAPPING_HAS_OFD_LOCK
                                           : 0;
}

/** What the span of an empty region points to. */
extern const unsigned char mmgi_region_no_bytes[1] __attribute__((visibility("hidden")));

/** Destroys the region of a handle. */
void mmgi_region_destroy(struct handle_object *object);

/** Counts a region of which region_is_counted() is true when it begins (`is_held`) and when it ends. */
void mmgi_region_count_small(const struct region *region, bool is_held);

/** Returns true for the region of a small file, unless the region is a copy that is never too much. */
static inline bool
region_is_counted(const struct region *region)
{
    return (region->size > SMALLEST_MAPPED_FILE || region->mapping.base != NULL) && region->size <= LARGEST_SMALL_FILE;
}

/** Builds a region. It cannot fail: its memory and everything else are in the specification. */
static inline __attribute__((always_inline)) struct region *
region_create(const struct region_spec *spec)
{
    const struct source *source = spec->source;
    struct region *region = spec->memory->region;

    /* Each member is set on its own. Clearing the whole struct first would double the cost. */
    region->object.destroy = mmgi_region_destroy;
    region->object.user_tag = spec->number;
    region->data = spec->data != NULL ? spec->data : mmgi_region_no_bytes;
    region->size = spec->size;
    region->backing = spec->mapping == NULL       ? MMG_BACKING_COPY
                      : spec->mapping->is_adopted ? MMG_BACKING_ADOPTED
                                                  : MMG_BACKING_MAP;
    region->mapping = spec->mapping != NULL ? *spec->mapping : (struct mapping){.base = NULL};
    region->stream = spec->stream;
    region->number = spec->number;
    region->lock_reason = source->lock_reason;
    region->lock_error = source->lock_error;
    if (spec->keeps_source) {
        region->fd = source->fd;
        region->lock = source->lock;
        region->lock_share = source->lock_share;
    } else {
        region->fd = -1;
        region->lock = MMG_LOCK_NONE;
        region->lock_share = (struct lock_share){.lock = NULL};
        if (source->lock != MMG_LOCK_NONE)
            region->lock_reason = MMG_LOCKING_NO_NEED;
    }
    region->exceptions = spec->exceptions;
    region->means_order = spec->means_order;
    region->file_system = source->file_system.name;
    region->keeper = NULL;
    region->reason = spec->reason;
    region->has_identity = source->kind != SOURCE_STREAM;
    region->follows_link = (source->options->flags & MMG_FLAG_NOFOLLOW) == 0;
    region->is_device = source->kind == SOURCE_DEVICE;
    region->is_stacked = source->file_system.is_stacked;
    region->is_mixed = spec->is_mixed;
    region->is_kept = spec->promise.guarantee == MMG_GUARANTEE_STABLE && spec->mapping != NULL;
    region->is_guarded = spec->is_guarded;
    atomic_init(&region->promise, promise_pack(spec->promise));
    atomic_init(&region->looked, 0);
    atomic_init(&region->os_error, 0);
    atomic_init(&region->content, spec->content);
    region->offset = source->options->offset;
    region->heap_bytes = spec->memory->total + (spec->stream != NULL ? spec->size : 0);
    region->identity = (struct identity){.device = source->status.device,
                                         .inode = source->status.inode,
                                         .size = source->size,
                                         .modified = source->status.modified,
                                         .changed = source->status.changed};
    if (region_is_counted(region))
        mmgi_region_count_small(region, true);
    return region;
}

#endif
