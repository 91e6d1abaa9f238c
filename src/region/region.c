/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a region: code reserves its memory, builds it (create.h), may replace its bytes or take back its promise, and at
 * the end gives everything back in order.
 */
#include "region/region.h"

#include <stdlib.h>
#include <string.h>

#include "guard/registry.h"
#include "os/file.h"
#include "region/adoption.h"
#include "region/create.h"
#include "region/shared_lock.h"

/* A copy starts at a multiple of 64 bytes, as Arrow recommends and as vector code likes best. */
#define COPY_ALIGNMENT 64u

/*
 * These limits decide which files are copied; `./dev bench` measures them. When a program opens a file, reads it once
 * and closes it, a copy is faster than a mapping even far beyond 64 KiB, because the memory of the copy is used again.
 * When a program keeps many copies, each one gets fresh memory, of which each page costs a fault, while a mapping gets
 * 16 pages with one fault. So once the copies that are held take more than MOST_HELD_COPIES, a file of more than one
 * page is mapped. Such a mapping keeps a descriptor. Many processes may have only 1024 of them, so at most a quarter of
 * that is used here.
 */
#define MOST_HELD_COPIES (UINT64_C(256) << 10)
#define MOST_SMALL_MAPPINGS 256u

static _Atomic uint64_t heap_bytes;
static _Atomic uint64_t held_copies;    /* bytes in copies of small files above SMALLEST_MAPPED_FILE */
static _Atomic uint32_t small_mappings; /* mappings of small files, whose descriptors are few */

const unsigned char mmgi_region_no_bytes[1];

/* Relaxed: the sums affect only the speed. */
void
mmgi_region_count_small(const struct region *region, bool is_held)
{
    if (region->mapping.base != NULL)
        atomic_fetch_add_explicit(&small_mappings, is_held ? 1 : -1, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&held_copies, is_held ? region->size : 0 - region->size, memory_order_relaxed);
}

bool
mmgi_region_copies_are_many(bool keeps_descriptor)
{
    return atomic_load_explicit(&held_copies, memory_order_relaxed) > MOST_HELD_COPIES &&
           (keeps_descriptor || atomic_load_explicit(&small_mappings, memory_order_relaxed) < MOST_SMALL_MAPPINGS);
}

void
mmgi_region_destroy(struct handle_object *object)
{
    struct region *region = (struct region *)(void *)object; /* safe: the object is the first member of a region */

    atomic_fetch_sub_explicit(&heap_bytes, region->heap_bytes, memory_order_relaxed);
    mmgi_region_discard(region);
}

bool
mmgi_region_reserve(const struct source *source, uint64_t room, struct region_memory *memory)
{
    const size_t path_size = source->path != NULL ? strlen(source->path) + 1 : 0;
    const size_t head = sizeof(struct region) + path_size;

    if (room > SIZE_MAX / 2)
        return false;
    memory->total = head + (room > 0 ? (size_t)room + COPY_ALIGNMENT : 0);
    memory->region = malloc(memory->total);
    if (memory->region == NULL)
        return false;
    /* This comes before the mapping is registered, since the ledger may read the handle from then on. */
    atomic_init(&memory->region->owner.handle, 0);
    memory->region->owner.path = path_size > 0 ? memcpy(memory->region + 1, source->path, path_size) : NULL;
    unsigned char *after = (unsigned char *)memory->region + head;
    memory->bytes = room > 0 ? after + (COPY_ALIGNMENT - (uintptr_t)after % COPY_ALIGNMENT) : NULL;
    return true;
}

void
mmgi_region_unreserve(struct region_memory *memory)
{
    free(memory->region);
    memory->region = NULL;
}

/*
 * Closes the region's descriptor. If the host has closed it and got its number for another file, leaves that file
 * alone.
 */
static void
close_source(const struct region *region)
{
    if (region->is_stacked) /* a copy-up changes device and inode, so they cannot be compared */
        mmgi_file_close(region->fd);
    else
        mmgi_file_close_if(region->fd, region->identity.device, region->identity.inode);
}

void
mmgi_region_discard(struct region *region)
{
    if (region->keeper != NULL)
        region->keeper->end(
            region->keeper); /* this comes first, since the keeper may use the other members until it ends */
    if (region->number != 0)
        mmgi_registry_remove(region->number);
    if (region_is_counted(region))
        mmgi_region_count_small(region, false);
    if (region->mapping.base == NULL)
        free(region->stream); /* a mapping has none */
    else if (!region->mapping.is_adopted)
        mmgi_map_release(&region->mapping);
    shared_lock_end(&region->lock_share, region->lock, region->fd);
    if (region->fd >= 0)
        close_source(region); /* this ends the lock, after the mapping is gone */
    free(region);
}

void
mmgi_region_count_in(struct region *region)
{
    /* Relaxed: a statistic, and no other access depends on it. */
    atomic_fetch_add_explicit(&heap_bytes, region->heap_bytes, memory_order_relaxed);
}

uint64_t
mmgi_region_heap_bytes(void)
{
    return atomic_load_explicit(&heap_bytes, memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------- replaced and demoted -- */

static size_t
lead_of(const struct region *region)
{
    return (size_t)(region->data - region->mapping.base);
}

size_t
mmgi_region_replaceable(const struct region *region, size_t secured)
{
    const struct mapping *mapping = &region->mapping;

    if (secured >= lead_of(region) + region->size)
        return mapping->length; /* the last page counts as whole, since the region ends inside it */
    return secured / mapping->page * mapping->page;
}

bool
mmgi_region_is_untouched(const struct region *region)
{
    return !region->mapping.is_adopted || mmgi_adoption_is_untouched(region);
}

bool
mmgi_region_replace(struct region *region, const struct replacement *replacement)
{
    const struct mapping *mapping = &region->mapping;
    size_t whole = mmgi_region_replaceable(region, replacement->secured);

    if (whole == 0)
        return false;
    /* Without this, a fault handler that has already looked at the file could put zeros over the new bytes. */
    mmgi_registry_freeze(region->number);
    int os_code = replacement->fd >= 0
                      ? mmgi_map_replace_with_file(mapping, whole, replacement->fd, region->offset - lead_of(region))
                      : mmgi_map_replace_with_memory(mapping, whole, replacement->memory);
    if (os_code == 0 && whole == mapping->length)
        mmgi_registry_retarget(region->number, -1); /* no process can cut a snapshot */
    else if (os_code == 0)
        mmgi_registry_secure(region->number, whole);
    mmgi_registry_thaw(region->number);
    if (os_code != 0)
        return false;
    atomic_store(
        &region->content,
        -1); /* from now on mmg_read() copies out of the mapping, since the region keeps no descriptor of the snapshot */
    if (whole == mapping->length)
        atomic_store(&region->promise, promise_pack(promise_stable(replacement->means)));
    return true;
}

void
mmgi_region_demote(struct region *region, uint64_t from, uint32_t shortfall)
{
    if (from < region->size)
        mmgi_registry_lose(region->number, from, MMG_TO_END, MMG_E_UNSTABLE);
    atomic_store(&region->promise, promise_pack(mmgi_promise_mapped(region->is_guarded, shortfall)));
}
