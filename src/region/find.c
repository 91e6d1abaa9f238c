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

/* Search what the kernel copies out of the file, in pieces that overlap by a needle less one byte. */
static mmg_status
find_by_copy(const struct region *region, uint64_t offset, uint64_t length, const unsigned char *needle,
             size_t needle_size, uint64_t *position)
{
    size_t capacity = needle_size > PIECE / 2 ? needle_size * 2 : PIECE;
    unsigned char *piece = malloc(capacity);
    mmg_status status = MMG_OK;

    if (piece == NULL)
        return MMG_E_NO_MEMORY;
    while (length >= needle_size) {
        size_t want = length < capacity ? (size_t)length : capacity;
        uint64_t got;
        status = mmgi_region_read(region, offset, piece, want, &got);
        if (status != MMG_OK)
            break;
        const unsigned char *hit = mmgi_bytes_find(piece, want, needle, needle_size);
        if (hit != NULL) {
            *position = offset + (uint64_t)(hit - piece);
            break;
        }
        offset += want - (needle_size - 1);
        length -= want - (needle_size - 1);
    }
    free(piece);
    return status;
}

mmg_status
mmgi_find_in_region(const struct region *region, uint64_t offset, uint64_t length, const unsigned char *needle,
                    uint64_t needle_size, uint64_t *position)
{
    *position = needle_size == 0 ? offset : MMG_NOT_FOUND;
    mmg_status status = registry_loss_within(region->number, offset, length);
    if (status != MMG_OK || needle_size == 0 || needle_size > length)
        return status;
    /* The casts cannot lose: length is within a region, which is in memory or mapped, and the needle is shorter. */
    if (region->number != 0 && !mmgi_guard_is_armed())
        return find_by_copy(region, offset, length, needle, (size_t)needle_size, position);
    const unsigned char *hay = region->data + offset;
    const unsigned char *hit = mmgi_bytes_find(hay, (size_t)length, needle, (size_t)needle_size);
    if (hit != NULL)
        *position = offset + (uint64_t)(hit - hay);
    /* The rest of a last page that was cut reads as zeros without a fault: only the size of the file tells. */
    status = mmgi_region_look(region);
    if (status != MMG_OK)
        return status;
    /* What was compared is what counts: a loss behind the hit has changed nothing. */
    return registry_loss_within(region->number, offset, hit != NULL ? *position - offset + needle_size : length);
}
