/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * mmg_find(). The search touches the mapping directly while the fault guard would contain what happens there; where it
 * would not (SIGBUS blocked in this thread, or another handler on top), the kernel copies piece by piece.
 */
#include "region/find.h"

#include <stdlib.h>

#include "guard/fault_guard.h"
#include "guard/registry.h"
#include "region/byte_search.h"

/* Read at once when the mapping is not touched; more for a longer needle. */
#define PIECE ((size_t)256 << 10)

static const unsigned char *
find_in_bytes(const unsigned char *hay, size_t size, const struct sought *sought)
{
    return sought->is_last ? mmgi_bytes_find_last(hay, size, sought->needle, (size_t)sought->size)
                           : mmgi_bytes_find(hay, size, sought->needle, (size_t)sought->size);
}

/* Searches what the kernel copies out of the file, in pieces that overlap by a needle less one byte. */
static mmg_status
find_by_copy(const struct region *region, uint64_t offset, uint64_t length, const struct sought *sought,
             uint64_t *position)
{
    const size_t needle_size = (size_t)sought->size;
    size_t capacity = needle_size > PIECE / 2 ? needle_size * 2 : PIECE;
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

/* Tells of losses in what was compared: a loss behind the hit has changed nothing, nor one before the last hit. */
static mmg_status
loss_in_compared(const struct region *region, uint64_t offset, uint64_t length, const struct sought *sought,
                 uint64_t position)
{
    if (position == MMG_NOT_FOUND)
        return registry_loss_within(region->number, offset, length);
    if (sought->is_last)
        return registry_loss_within(region->number, position, offset + length - position);
    return registry_loss_within(region->number, offset, position - offset + sought->size);
}

mmg_status
mmgi_find_in_region(const struct region *region, uint64_t offset, uint64_t length, const struct sought *sought,
                    uint64_t *position)
{
    *position = MMG_NOT_FOUND;
    if (sought->size == 0)
        *position = sought->is_last ? offset + length : offset;
    mmg_status status = registry_loss_within(region->number, offset, length);
    if (status != MMG_OK || sought->size == 0 || sought->size > length)
        return status;
    if (region->number != 0 && !mmgi_guard_is_armed())
        return find_by_copy(region, offset, length, sought, position);
    const unsigned char *hay = region->data + offset;
    /* The cast cannot lose: length is within a region, which is in memory or mapped. */
    const unsigned char *hit = find_in_bytes(hay, (size_t)length, sought);
    if (hit != NULL)
        *position = offset + (uint64_t)(hit - hay);
    if (region->number == 0)
        return MMG_OK;
    /* The rest of a last page that was cut reads as zeros without a fault: only the size of the file tells. */
    status = mmgi_region_look(region);
    return status == MMG_OK ? loss_in_compared(region, offset, length, sought, *position) : status;
}
