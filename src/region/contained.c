/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Small files and streams are copied, the rest is mapped, unless the caller or the file system says otherwise.
 */
#include "region/contained.h"

#include <errno.h>

#include "guard/fault_guard.h"
#include "region/backing.h"

/*
 * Returns true when a file should not be copied, although it is small enough. Many copies may be held already, which does
 * not count for STABLE, because every other means costs more than a copy. Or the caller calls files small that are larger
 * than the memory that is left.
 */
static bool
is_better_mapped(const mmg_options *options, uint64_t length)
{
    if (length <= SMALLEST_MAPPED_FILE)
        return false;
    if (options->guarantee == MMG_GUARANTEE_STABLE)
        return !mmgi_backing_has_memory(length);
    return options->copy_threshold == 0 && mmgi_region_copies_are_many((options->flags & MMG_FLAG_REQUIRE_LOCK) != 0);
}

/*
 * Returns true when a lock is required, and a lock on the file would hold no byte of it, because the kernel makes the
 * bytes up when they are read. Such a file may be mapped, and is not read.
 */
static bool
is_beyond_locks(const struct source *source)
{
    return (source->options->flags & MMG_FLAG_REQUIRE_LOCK) != 0 && source->file_system.is_kernel;
}

static mmg_status
tell_beyond_locks(const struct source *source)
{
    return mmgi_error_tell_own(source->report, MMG_E_UNSUPPORTED, "flock",
                               "the kernel makes its contents up, so a lock does not hold them");
}

mmg_status
mmgi_decide_holding(const struct source *source, struct decision *decision)
{
    const mmg_options *options = source->options;

    *decision = (struct decision){.holding = HOLD_STREAM, .reason = MMG_REASON_STREAM};
    if (source->kind == SOURCE_STREAM)
        return MMG_OK;
    /* Files of /proc have contents and the size 0, so only a read finds out whether a file is empty. */
    decision->reason = MMG_REASON_VIRTUAL;
    if (source->kind == SOURCE_FILE && source->size == 0) {
        /* These options refuse an empty file and a file without a size, so no read is needed to refuse. A read could block, or
           consume what it finds. */
        if (options->backing == MMG_BACKING_MAP && (options->flags & MMG_FLAG_REJECT_EMPTY) && options->offset == 0 &&
            options->length == 0)
            return mmgi_error_tell_own(source->report, MMG_E_EMPTY, "open", NULL);
        return is_beyond_locks(source) ? tell_beyond_locks(source) : MMG_OK;
    }
    mmg_status status = backing_window(source, &decision->length);
    if (status != MMG_OK)
        return status;
    decision->holding = HOLD_COPY;
    if (decision->length == 0) {
        decision->reason = MMG_REASON_EMPTY;
    } else if (is_beyond_locks(source)) {
        if (options->backing == MMG_BACKING_COPY || options->guarantee == MMG_GUARANTEE_STABLE)
            return tell_beyond_locks(source);
        decision->holding = HOLD_MAPPED;
    } else if (options->backing == MMG_BACKING_COPY) {
        decision->reason = MMG_REASON_ASKED;
        if (decision->length > options->max_bytes)
            return mmgi_error_tell_own(source->report, MMG_E_TOO_BIG, "copy", "larger than max_bytes allows");
        if (options->guarantee == MMG_GUARANTEE_STABLE && !mmgi_backing_has_memory(decision->length))
            return mmgi_error_tell(source->report, MMG_E_NO_MEMORY, "copy", ENOMEM, 0, "no memory to spare");
    } else if (options->backing == MMG_BACKING_AUTO && decision->length <= mmgi_region_copy_threshold(options) &&
               decision->length <= options->max_bytes && !is_better_mapped(options, decision->length)) {
        decision->reason = MMG_REASON_SMALL;
    } else {
        decision->holding = HOLD_MAPPED;
    }
    return MMG_OK;
}

/* Reports why a file of size 0 cannot be mapped. `before` is its time from before it was read. */
static mmg_status
tell_not_mappable(struct source *source, struct file_time before)
{
    mmg_status status = mmgi_source_refresh(source);

    if (status != MMG_OK)
        return status;
    /* Another process may cut and fill the file in turn, so that the file is empty whenever the library looks. The times of
       the file tell. */
    if (source->size > 0 || !file_time_equals(source->status.changed, before))
        return mmgi_error_tell_own(source->report, MMG_E_TRUNCATED, "open", "was cut to nothing while it was opened");
    return mmgi_error_tell_own(source->report, MMG_E_NOT_MAPPABLE, "mmap", "a virtual file cannot be mapped");
}

mmg_status
mmgi_hold_stream(struct source *source, uint32_t reason, struct region **out)
{
    bool map_or_nothing = source->options->backing == MMG_BACKING_MAP;
    const struct file_time before = source->status.changed;

    if (map_or_nothing && reason == MMG_REASON_STREAM)
        return mmgi_error_tell_own(source->report, MMG_E_NOT_MAPPABLE, "mmap", "a stream cannot be mapped");
    mmg_status status = mmgi_backing_stream(source, reason, out);
    if (status != MMG_OK || *out == NULL || !map_or_nothing || (*out)->size == 0)
        return status;
    mmgi_region_discard(*out);
    return tell_not_mappable(source, before);
}

/* Copies a window that cannot be mapped, if the options allow a copy. Returns `otherwise` if they do not. */
static mmg_status
copy_instead(struct source *source, uint64_t length, uint32_t reason, mmg_status otherwise, struct region **out)
{
    if (source->options->backing == MMG_BACKING_MAP || is_beyond_locks(source))
        return otherwise;
    if (length > source->options->max_bytes)
        return mmgi_error_tell_own(source->report, MMG_E_TOO_BIG, "copy",
                                   reason == MMG_REASON_NO_GUARD
                                       ? "larger than max_bytes allows, and cannot be mapped without the fault guard"
                                       : "larger than max_bytes allows, and its file system does not map files");
    return mmgi_backing_copy(source, length, reason, out);
}

/* Returns why the bytes of a mapping are not STABLE, or why the guard does not watch the mapping. */
static uint32_t
shortfall_of(const mmg_options *options, mmg_status guard)
{
    if (options->flags & MMG_FLAG_NO_FAULT_GUARD)
        return MMG_SHORT_GUARD_OFF;
    return guard == MMG_OK ? MMG_SHORT_NOT_ASKED : MMG_SHORT_ENVIRONMENT;
}

static uint32_t
reason_of(const struct source *source)
{
    if (source->kind == SOURCE_DEVICE)
        return MMG_REASON_BLOCK_DEVICE;
    return source->options->backing == MMG_BACKING_MAP ? MMG_REASON_ASKED : MMG_REASON_LARGE;
}

mmg_status
mmgi_hold_contained(struct source *source, uint64_t length, struct region **out)
{
    const mmg_options *options = source->options;
    /* The flag has the same effect as the environment variable that forbids the guard: MMG_E_UNSUPPORTED. */
    mmg_status guard = options->flags & MMG_FLAG_NO_FAULT_GUARD ? MMG_E_UNSUPPORTED : mmgi_guard_ensure();
    bool is_guarded = guard == MMG_OK;

    if (guard == MMG_E_UNSUPPORTED && (options->flags & MMG_FLAG_REQUIRE_GUARD))
        guard = MMG_E_GUARD; /* the environment forbids the guard that the caller requires */
    if (guard == MMG_E_GUARD)
        return copy_instead(source, length, MMG_REASON_NO_GUARD,
                            mmgi_error_tell_own(source->report, guard, "sigaction", NULL), out);
    const struct map_request request = {
        .fd = source->fd,
        .length = length,
        .is_guarded = is_guarded,
        .reason = reason_of(source),
        .promise = mmgi_promise_mapped(is_guarded, shortfall_of(options, guard)),
    };
    mmg_status status = mmgi_backing_map(source, &request, out);
    if (status == MMG_E_NOT_MAPPABLE)
        return copy_instead(source, length, MMG_REASON_MAP_REFUSED, status, out);
    /* The process has no mapping or no address space left. The heap may still have room for a copy. */
    if (status == MMG_E_LIMIT && length <= options->max_bytes)
        return copy_instead(source, length, MMG_REASON_NO_ROOM, status, out);
    return status;
}
