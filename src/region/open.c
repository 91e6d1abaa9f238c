/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Which backing: small files and streams are copied, the rest is mapped, unless the caller, the guarantee or the file
 * system says otherwise.
 */
#include "region/open.h"

#include "region/backing.h"
#include "guard/fault_guard.h"
#include "stable/stable.h"

static mmg_status
open_mapping(struct source *source, uint64_t length, bool guarded, struct region **out)
{
    const mmg_options *options = source->options;
    struct region *region;
    mmg_status status = mmgi_backing_map(source, source->fd, length, &region);

    if (status != MMG_OK)
        return status;
    mmgi_backing_keep_source(source, region);
    region->is_guarded = guarded;
    region->guarantee = guarded ? MMG_GUARANTEE_CONTAINED : MMG_GUARANTEE_NONE;
    region->means = guarded ? MMG_MEANS_FAULT_GUARD : MMG_MEANS_NONE;
    if (guarded)
        region->shortfall = MMG_SHORT_NOT_ASKED;
    else
        region->shortfall = options->flags & MMG_FLAG_NO_FAULT_GUARD ? MMG_SHORT_GUARD_OFF : MMG_SHORT_ENVIRONMENT;
    if (region->mapping.is_private)
        region->reason = MMG_REASON_MAP_PRIVATE;
    else if (source->kind == SOURCE_DEVICE)
        region->reason = MMG_REASON_BLOCK_DEVICE;
    else
        region->reason = options->backing == MMG_BACKING_MAP ? MMG_REASON_ASKED : MMG_REASON_LARGE;
    *out = region;
    return MMG_OK;
}

/* A copy where a mapping is not possible, if the caller leaves the choice. */
static mmg_status
open_copy_instead(struct source *source, uint64_t length, uint32_t reason, mmg_status otherwise, struct region **out)
{
    if (source->options->backing == MMG_BACKING_MAP)
        return otherwise;
    if (length > source->options->max_bytes)
        return mmgi_error_tell(source->report, MMG_E_TOO_BIG, "copy", 0, 0,
                               reason == MMG_REASON_NO_GUARD
                                   ? "larger than max_bytes allows, and cannot be mapped without the fault guard"
                                   : "larger than max_bytes allows, and its file system does not map files");
    return mmgi_backing_copy(source, reason, out);
}

static mmg_status
open_contained(struct source *source, uint64_t length, struct region **out)
{
    /* Unsupported is what the environment says; it comes to the same as the flag. */
    mmg_status guard = source->options->flags & MMG_FLAG_NO_FAULT_GUARD ? MMG_E_UNSUPPORTED : mmgi_guard_ensure();

    if (guard == MMG_E_GUARD)
        return open_copy_instead(source, length, MMG_REASON_NO_GUARD,
                                 mmgi_error_tell(source->report, guard, "sigaction", 0, 0, NULL), out);
    mmg_status status = open_mapping(source, length, guard == MMG_OK, out);
    if (status == MMG_E_NOT_MAPPABLE)
        return open_copy_instead(source, length, MMG_REASON_MAP_REFUSED, status, out);
    return status;
}

/* What can only be read: into memory, so not for who will have a mapping or nothing. */
static mmg_status
open_stream(struct source *source, uint32_t reason, struct region **out)
{
    bool map_or_nothing = source->options->backing == MMG_BACKING_MAP;

    if (map_or_nothing && reason == MMG_REASON_STREAM)
        return mmgi_error_tell(source->report, MMG_E_NOT_MAPPABLE, "mmap", 0, 0, "a stream cannot be mapped");
    mmg_status status = mmgi_backing_stream(source, reason, out);
    if (status != MMG_OK || !map_or_nothing || (*out)->size == 0)
        return status;
    mmgi_region_discard(*out);
    const struct timespec before = source->status.st_ctim;
    status = mmgi_source_refresh(source);
    if (status != MMG_OK)
        return status;
    /* A file that somebody cuts and fills in turn may be empty at every look; but then its times move. */
    if (source->size > 0 || source->status.st_ctim.tv_sec != before.tv_sec ||
        source->status.st_ctim.tv_nsec != before.tv_nsec)
        return mmgi_error_tell(source->report, MMG_E_TRUNCATED, "open", 0, 0, "was cut to nothing while it was opened");
    return mmgi_error_tell(source->report, MMG_E_NOT_MAPPABLE, "mmap", 0, 0, "a virtual file cannot be mapped");
}

static mmg_status
open_file(struct source *source, struct region **out)
{
    const mmg_options *options = source->options;
    uint64_t length;

    /* Files of /proc have contents and no size: only reading tells. */
    if (source->kind == SOURCE_FILE && source->size == 0)
        return open_stream(source, MMG_REASON_VIRTUAL, out);
    mmg_status status = mmgi_backing_window(source, &length);
    if (status != MMG_OK)
        return status;
    if (length == 0)
        return mmgi_backing_copy(source, MMG_REASON_EMPTY, out);
    if (options->backing == MMG_BACKING_COPY && length > options->max_bytes)
        return mmgi_error_tell(source->report, MMG_E_TOO_BIG, "copy", 0, 0, "larger than max_bytes allows");
    if (options->backing == MMG_BACKING_COPY)
        return mmgi_backing_copy(source, MMG_REASON_ASKED, out);
    if (options->backing == MMG_BACKING_AUTO && length <= options->copy_threshold && length <= options->max_bytes)
        return mmgi_backing_copy(source, MMG_REASON_SMALL, out);
    if (options->guarantee == MMG_GUARANTEE_STABLE)
        return mmgi_stable_open(source, length, out);
    return open_contained(source, length, out);
}

mmg_status
mmgi_region_open(struct source *source, struct region **region)
{
    mmg_status status = source->kind == SOURCE_STREAM ? open_stream(source, MMG_REASON_STREAM, region)
                                                      : open_file(source, region);

    mmgi_source_close(source);
    if (status != MMG_OK)
        return status;
    if ((*region)->size == 0 && (source->options->flags & MMG_FLAG_REJECT_EMPTY)) {
        mmgi_region_discard(*region);
        return mmgi_error_tell(source->report, MMG_E_EMPTY, "open", 0, 0, NULL);
    }
    mmgi_region_count_in(*region);
    return MMG_OK;
}
