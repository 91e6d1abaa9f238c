/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The exported functions that open a region. Each one validates its arguments, delegates, and reports. mmapguard.h
 * documents what each function promises.
 */
#define MMG_NO_ATTRIBUTES /* as in calls.c */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "handle/handle.h"
#include "base/struct_size.h"
#include "region/backing.h"
#include "region/contained.h"
#include "stable/stable.h"
#include "region/region.h"

mmg_status
mmg_options_init(mmg_options *options, uint32_t struct_size)
{
    if (options == NULL)
        return MMG_E_ARGUMENT;
    if (!mmgi_struct_size_is_valid(struct_size, MMGI_FIRST_OPTIONS_SIZE))
        return MMG_E_ABI_SIZE;
    memset(options, 0, struct_size); /* all defaults are 0 */
    options->struct_size = struct_size;
    return MMG_OK;
}

/* The part that all calls that open have in common: the options, the outputs, and the handle that is issued at the end. */
struct opening {
    mmg_options options;
    struct report report;
    struct source source;
};

static mmg_status
opening_begin(struct opening *opening, const char *path, int fd, const mmg_options *options, mmg_handle *handle,
              mmg_error *error)
{
    opening->options
        .flags = 0; /* mmgi_struct_read_options() fills all of them, which an analyser of one file cannot see */
    if (handle != NULL)
        *handle = 0;
    if (error != NULL) {
        mmg_status status = mmgi_struct_check_out(error, MMGI_FIRST_ERROR_SIZE);
        if (status != MMG_OK)
            return status; /* a later failure or success writes the whole struct again */
    }
    opening->report = (struct report){.caller_error = error, .path = path, .descriptor = fd};
    if (handle == NULL)
        return mmgi_error_tell(&opening->report, MMG_E_ARGUMENT, "arguments", 0, 0,
                               "no place for the handle was given");
    mmg_status status = mmgi_struct_read_options(options, &opening->options);
    if (status != MMG_OK)
        return mmgi_error_tell(&opening->report, status, "options", 0, 0,
                               status == MMG_E_ARGUMENT ? "an option has an unknown value, or two contradict each other"
                                                        : NULL);
    opening->source = (struct source){.options = &opening->options, .report = &opening->report};
    return MMG_OK;
}

/* Makes a region from a source. The region room decides whether the region is a copy or a mapping; the stable room makes
   mappings that are STABLE. */
static mmg_status
region_make(struct source *source, struct region **region)
{
    struct decision decision;
    mmg_status status = mmgi_decide_holding(source, &decision);

    if (status != MMG_OK)
        return status;
    switch (decision.holding) {
    case HOLD_STREAM:
        return mmgi_hold_stream(source, decision.reason, region);
    case HOLD_COPY:
        return mmgi_backing_copy(source, decision.length, decision.reason, region);
    default:
        return source->options->guarantee == MMG_GUARANTEE_STABLE
                   ? mmgi_stable_open(source, decision.length, region)
                   : mmgi_hold_contained(source, decision.length, region);
    }
}

static mmg_status
opening_finish(struct opening *opening, mmg_handle *handle)
{
    struct source *source = &opening->source;
    struct region *region;
    mmg_status status = region_make(source, &region);

    mmgi_source_close(source);
    if (status != MMG_OK)
        return status;
    if (region->size == 0 && (opening->options.flags & MMG_FLAG_REJECT_EMPTY)) {
        mmgi_region_discard(region);
        return mmgi_error_tell(&opening->report, MMG_E_EMPTY, "open", 0, 0, NULL);
    }
    mmgi_region_count_in(region);
    status = mmgi_handle_issue(&region->object, handle);
    if (status != MMG_OK) {
        region->object.destroy(&region->object);
        return mmgi_error_tell(&opening->report, status, "handle", ENOMEM, 0, NULL);
    }
    atomic_store_explicit(&region->owner.handle, *handle, memory_order_relaxed); /* for the ledger */
    /* An earlier attempt may have filled the error although a later one succeeded. Otherwise the error is clear already. */
    if (opening->report.caller_error != NULL && opening->report.caller_error->status != MMG_OK)
        mmgi_error_clear(opening->report.caller_error);
    return MMG_OK;
}

mmg_status
mmg_open(const char *path, const mmg_options *options, mmg_handle *handle, mmg_error *error)
{
    struct opening opening;
    mmg_status status = opening_begin(&opening, path != NULL ? path : "(null)", -1, options, handle, error);

    if (status != MMG_OK)
        return status;
    if (path == NULL)
        return mmgi_error_tell(&opening.report, MMG_E_ARGUMENT, "arguments", 0, 0, "no path was given");
    status = mmgi_source_open_path(path, &opening.source);
    return status == MMG_OK ? opening_finish(&opening, handle) : status;
}

mmg_status
mmg_open_fd(int32_t fd, const mmg_options *options, mmg_handle *handle, mmg_error *error)
{
    struct opening opening;
    mmg_status status = opening_begin(&opening, NULL, fd, options, handle, error);

    if (status != MMG_OK)
        return status;
    if (opening.options.flags & MMG_FLAG_NOFOLLOW)
        return mmgi_error_tell(&opening.report, MMG_E_ARGUMENT, "options", 0, 0, "a descriptor is no link to follow");
    status = mmgi_source_open_fd(fd, &opening.source);
    return status == MMG_OK ? opening_finish(&opening, handle) : status;
}

mmg_status
mmg_load(const char *path, const mmg_options *options, mmg_handle *handle, mmg_error *error)
{
    if (path != NULL && strcmp(path, "-") == 0)
        return mmg_read_fd(0, options, handle, error);
    return mmg_open(path, options, handle, error);
}

mmg_status
mmg_read_fd(int32_t fd, const mmg_options *options, mmg_handle *handle, mmg_error *error)
{
    struct opening opening;
    mmg_status status = opening_begin(&opening, NULL, fd, options, handle, error);

    if (status != MMG_OK)
        return status;
    status = mmgi_source_open_stream(fd, &opening.source);
    return status == MMG_OK ? opening_finish(&opening, handle) : status;
}
