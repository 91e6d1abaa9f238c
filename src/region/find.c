/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Does the work of mmg_find(). The search reads the mapping directly while the fault guard would contain a fault there.
 * Where it would not (SIGBUS is blocked in this thread, or another handler is on top), the kernel copies the bytes
 * piece by piece. Three system calls tell whether the guard would contain a fault and whether the file still has its
 * size. The code therefore uses their answer for a moment before it asks again.
 */
#include "region/find.h"

#include <stdlib.h>

#include "guard/fault_guard.h"
#include "guard/registry.h"
#include "region/byte_search.h"

/*
 * The search looks at pieces of this size, or of a larger one for a longer needle. It ends with the piece in which it
 * meets a loss, since each page that fails may take the device seconds.
 */
#define PIECE ((size_t)256 << 10)

static const unsigned char *
find_in_bytes(const unsigned char *hay, size_t size, const struct sought *sought)
{
    return sought->is_last ? mmgi_bytes_find_last(hay, size, sought->needle, (size_t)sought->size)
                           : bytes_find(hay, size, sought->needle, (size_t)sought->size);
}

static uint64_t
offset_of(const struct region *region, const unsigned char *hit)
{
    return hit == NULL ? MMG_NOT_FOUND : (uint64_t)(hit - region->data);
}

static size_t
piece_size(const struct sought *sought)
{
    const size_t needle_size = (size_t)sought->size; /* at most the size of a region */

    return needle_size > PIECE / 2 ? needle_size * 2 : PIECE;
}

/* Searches copies that the kernel makes of the bytes. The pieces overlap by one byte less than the needle has. */
static mmg_status
find_by_copy(const struct region *region, uint64_t offset, uint64_t length, const struct sought *sought,
             uint64_t *position)
{
    const size_t needle_size = (size_t)sought->size;
    const size_t capacity = piece_size(sought);
    unsigned char *piece = malloc(capacity);
    mmg_status status = MMG_OK;

    if (piece == NULL)
        return MMG_E_NO_MEMORY;
    while (length >= needle_size) {
        size_t want = length < capacity ? (size_t)length : capacity;
        uint64_t start = sought->is_last ? offset + (length - want) : offset, got;
        status = mmgi_region_read(region, start, piece, want, &got);
        if (status != MMG_OK)
            break;
        const unsigned char *hit = find_in_bytes(piece, want, sought);
        if (hit != NULL) {
            *position = start + (uint64_t)(hit - piece);
            break;
        }
        if (!sought->is_last)
            offset += want - (needle_size - 1);
        length -= want - (needle_size - 1);
    }
    free(piece);
    return status;
}

/*
 * Searches the mapping, in pieces that overlap in the same way. Stops at a loss in the bytes that were compared. A loss
 * behind the first hit, or before the last hit, does not change the result.
 */
static mmg_status
find_in_mapping(const struct region *region, uint64_t offset, uint64_t length, const struct sought *sought,
                uint64_t *position)
{
    const size_t step = piece_size(sought);
    const uint64_t overlap = sought->size - 1;

    while (length > overlap) {
        uint64_t want = length < step ? length : step;
        uint64_t start = sought->is_last ? offset + (length - want) : offset;
        const unsigned char *piece = region->data + start;
        const unsigned char *hit = find_in_bytes(piece, (size_t)want, sought); /* it is mapped */
        uint64_t from = start, end = start + want;
        if (hit != NULL) {
            *position = start + (uint64_t)(hit - piece);
            from = sought->is_last ? *position : from;
            end = sought->is_last ? end : *position + sought->size;
        }
        mmg_status status = registry_loss_within(region->number, from, end - from);
        if (status != MMG_OK || hit != NULL)
            return status;
        offset += sought->is_last ? 0 : want - overlap;
        length -= want - overlap;
    }
    return MMG_OK;
}

/* Ends a search with a look at the file, since the rest of a page that was cut reads as zeros without a fault. */
static __attribute__((noinline)) mmg_status
look_at_file(const struct region *region, uint64_t offset, uint64_t length, const struct sought *sought,
             uint64_t position, uint64_t stamp)
{
    struct region *memory = (struct region *)(uintptr_t)region; /* on the heap, so not const */
    mmg_status status = mmgi_region_look(region);

    if (status != MMG_OK)
        return status;
    atomic_store_explicit(&memory->looked, stamp, memory_order_relaxed); /* ordered with nothing */
    if (position == MMG_NOT_FOUND)
        return registry_loss_within(region->number, offset, length);
    if (sought->is_last)
        return registry_loss_within(region->number, position, offset + length - position);
    return registry_loss_within(region->number, offset, position - offset + sought->size);
}

/* Does the work of mmgi_find_in_region() for a mapping and a needle that fits into the range. */
static __attribute__((noinline)) mmg_status
find_mapped(const struct region *region, uint64_t offset, uint64_t length, const struct sought *sought, uint64_t stamp,
            uint64_t *position)
{
    const bool is_known = atomic_load_explicit(&region->looked, memory_order_relaxed) == stamp;

    if (!is_known && !mmgi_guard_is_armed())
        return find_by_copy(region, offset, length, sought, position);
    mmg_status status = find_in_mapping(region, offset, length, sought, position);
    if (status != MMG_OK)
        return status;
    uint64_t gone = length;
    if (*position != MMG_NOT_FOUND)
        gone = sought->is_last ? offset + length - *position : *position - offset;
    if (is_known && gone <= PIECE) /* a longer search may take too long */
        return MMG_OK;
    return look_at_file(region, offset, length, sought, *position, stamp);
}

mmg_status
mmgi_find_in_region(const struct region *region, uint64_t offset, uint64_t length, const struct sought *sought,
                    uint64_t *position)
{
    uint64_t found = sought->is_last ? offset + length : offset;
    mmg_status status = registry_loss_within(region->number, offset, length);

    if (status != MMG_OK)
        return status;
    if (sought->size > 0) {
        found = MMG_NOT_FOUND;
        /* A larger needle is not looked at: in 32 bits, its size might not even survive a cast to size_t. */
        if (sought->size <= length && region->number != 0)
            status = find_mapped(region, offset, length, sought, look_stamp(), &found);
        else if (sought->size <= length)
            found = offset_of(region, find_in_bytes(region->data + offset, (size_t)length, sought));
    }
    if (status == MMG_OK)
        *position = found;
    return status;
}
