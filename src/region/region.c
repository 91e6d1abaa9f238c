/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a region: made bare, counted, and everything given back in order.
 */
#include "region/region.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stable/lease.h"
#include "guard/registry.h"

/* A copy starts on a cache line, as Arrow and vector code like it. */
#define COPY_ALIGNMENT 64u

static _Atomic uint64_t heap_bytes;

static const unsigned char no_bytes[1]; /* what the span of an empty region points to */

static struct identity
identity_of(const struct stat *status, uint64_t size)
{
    return (struct identity){
        .device = (uint64_t)status->st_dev,
        .inode = (uint64_t)status->st_ino,
        .size = size,
        .mtime_seconds = (int64_t)status->st_mtim.tv_sec,
        .ctime_seconds = (int64_t)status->st_ctim.tv_sec,
        .mtime_nanoseconds = (uint32_t)status->st_mtim.tv_nsec,
        .ctime_nanoseconds = (uint32_t)status->st_ctim.tv_nsec,
    };
}

static void
region_destroy(struct handle_object *object)
{
    struct region *region = (struct region *)(void *)object; /* its first member */

    atomic_fetch_sub_explicit(&heap_bytes, region->heap_bytes, memory_order_relaxed);
    mmgi_region_discard(region);
}

struct region *
mmgi_region_new(const struct source *source, uint64_t room)
{
    size_t path_size = source->path != NULL ? strlen(source->path) + 1 : 0;
    size_t head = sizeof(struct region) + path_size;

    if (room > SIZE_MAX / 2)
        return NULL;
    size_t total = head + (room > 0 ? (size_t)room + COPY_ALIGNMENT : 0);
    struct region *region = malloc(total);
    if (region == NULL)
        return NULL;
    unsigned char *after = (unsigned char *)region + head;
    *region = (struct region){
        .object = {.destroy = region_destroy},
        .data = room > 0 ? after + (COPY_ALIGNMENT - (uintptr_t)after % COPY_ALIGNMENT) : no_bytes,
        .size = room,
        .fd = -1,
        .content = -1,
        .backing = MMG_BACKING_COPY,
        .guarantee = MMG_GUARANTEE_STABLE,
        .means = MMG_MEANS_PRIVATE_COPY,
        .lock = MMG_LOCK_NONE,
        .lock_error = source->lock_error,
        .has_identity = source->kind != SOURCE_STREAM,
        .follows_link = (source->options->flags & MMG_FLAG_NOFOLLOW) == 0,
        .is_device = source->kind == SOURCE_DEVICE,
        .offset = source->options->offset,
        .heap_bytes = total,
        .identity = identity_of(&source->status, source->size),
    };
    if (path_size > 0)
        region->path = memcpy((char *)region + sizeof(struct region), source->path, path_size);
    return region;
}

void
mmgi_region_discard(struct region *region)
{
    if (region->lease != NULL)
        mmgi_lease_end(region->lease); /* first: until it has ended, its thread may work on the rest */
    if (region->number != 0)
        mmgi_registry_remove(region->number);
    if (region->mapping.base != NULL)
        mmgi_map_release(&region->mapping);
    int content = atomic_load(&region->content);
    if (content >= 0 && content != region->fd)
        close(content);
    if (region->fd >= 0)
        close(region->fd); /* and with it the lock, which so outlived the mapping */
    free(region->stream);
    free(region);
}

void
mmgi_region_count_in(struct region *region)
{
    /* Relaxed: statistics, ordered with nothing. */
    atomic_fetch_add_explicit(&heap_bytes, region->heap_bytes, memory_order_relaxed);
}

uint64_t
mmgi_region_heap_bytes(void)
{
    return atomic_load_explicit(&heap_bytes, memory_order_relaxed);
}
