/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The regions that the model knows, and the bytes that they have lost.
 */
#include <stdlib.h>
#include <string.h>

#include "model_parts.h"

struct region *
find_region(mmg_handle handle)
{
    for (size_t index = 0; handle != 0 && index < REGIONS; index++) {
        if (model.regions[index].used && model.regions[index].handle == handle) {
            return &model.regions[index];
        }
    }
    return NULL;
}

struct region *
free_region(void)
{
    for (size_t index = 0; index < REGIONS; index++) {
        if (!model.regions[index].used) {
            return &model.regions[index];
        }
    }
    return NULL;
}

static struct region *
some_region(void)
{
    size_t start = (size_t)below(REGIONS);
    for (size_t step = 0; step < REGIONS; step++) {
        struct region *region = &model.regions[(start + step) % REGIONS];
        if (region->used && region->handle != 0) {
            return region;
        }
    }
    return NULL;
}

/** Returns a handle. Most are live, many are closed, and some are wrong in any other way. */
mmg_handle
some_handle(void)
{
    const struct region *region = some_region();
    mmg_handle live = region == NULL ? 1 : region->handle;
    switch (below(20)) {
    case 0:
    case 1:
        return model.stale[below(STALE)];
    case 2:
        return live ^ (UINT64_C(1) << below(64));
    case 3:
        return live + below(7) - 3;
    case 4:
        return draw(8) >> below(64);
    case 5:
        return (uint64_t)(float)live;
    default:
        return live;
    }
}

/** Gives an adopted mapping back to its owner. Pages that were lost meanwhile stay zeros. */
static void
foreigner_return(const struct region *region)
{
    struct foreigner *f = region->foreigner;
    uint64_t start = region->offset - region->offset % region->page;
    for (uint64_t at = 0; at < region->mapped; at += region->page) {
        if (region->zeroed != NONE && at / region->page >= region->zeroed) {
            uint64_t place = start - f->offset + at;
            f->shown[place / model.page] = SHOWN_ZERO;
            memset(f->own + place, 0, (size_t)model.page);
        }
    }
    f->region = NULL;
}

void
region_end(struct region *region)
{
    if (region->foreigner != NULL) {
        foreigner_return(region);
    }
    if (region->has_flock) {
        region->inode->flocks--;
    }
    inode_release(region->inode);
    free(region->copy);
    memset(region, 0, sizeof *region);
}

/** Returns how many bytes of the region the file still has. */
uint64_t
bytes_left(const struct region *region)
{
    uint64_t end = region->inode->size;
    uint64_t left = end > region->offset ? end - region->offset : 0;
    return left < region->size ? left : region->size;
}

/** Returns how many bytes of the mapping are before the region. */
uint64_t
lead(const struct region *region)
{
    return region->offset % region->page;
}

/** Returns the first page of the mapping that lies wholly behind the end of the file. */
uint64_t
first_missing_page(const struct region *region)
{
    uint64_t start = region->offset - lead(region);
    uint64_t end = region->inode->size;
    return end <= start ? 0 : (end - start + region->page - 1) / region->page;
}

bool
is_known_lost(const struct region *region, uint64_t offset, uint64_t length)
{
    return region->lost != NONE && length > 0 && offset + length > region->lost;
}

/** Records that the library knows now that the bytes behind the end of the file are lost. */
void
learn_loss(struct region *region)
{
    uint64_t left = bytes_left(region);
    if (left < region->size && left < region->lost) {
        region->lost = left;
    }
}

/**
 * Updates the model by what the library knows now. With `may`, the library may also know the present end of the file.
 */
void
sync_losses(struct region *region, bool may)
{
    mmg_info info = MMG_INFO_INIT;
    if (region->page == 0 || region->handle == 0) {
        return;
    }
    must(mmg_info_get(region->handle, &info) == MMG_OK, "mmg_info_get fails");
    if (may && info.fault_offset != region->lost) {
        learn_loss(region);
    }
    must_equal(info.fault_offset, region->lost, "fault_offset");
    must(info.fault_cause == (region->lost == NONE ? MMG_OK : MMG_E_TRUNCATED), "the cause of the loss is wrong");
    if (may && info.faults == region->faults + 1) {
        region->faults++;
        region->zeroed = region->zeroed < first_missing_page(region) ? region->zeroed : first_missing_page(region);
    }
    must_equal(info.faults, region->faults, "faults");
}
