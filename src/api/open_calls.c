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
#include "region/adoption.h"
#include "base/struct_size.h"
#include "region/backing.h"
#include "region/contained.h"
#include "stable/stable.h"
#include "region/region.h"

/* A call that opens gives up when the file has turned out to have another size this often. */
#define MAX_DECISIONS 8

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
    mmg_options copy; /* of the caller's options, if there are any */
    const mmg_options *options;
    struct report report;
    struct source source;
};

static mmg_status
opening_begin(struct opening *opening, const char *path, int fd, const mmg_options *options, mmg_handle *handle,
              mmg_error *error)
{
    if (handle != NULL)
        *handle = 0;
    if (error != NULL) {
        mmg_status status = mmgi_struct_check_out(error, MMGI_FIRST_ERROR_SIZE);
        if (status != MMG_OK)
            return status; /* a later failure or success writes the whole struct again */
    }
    opening->report = (struct report){.caller_error = error, .path = path, .descriptor = fd};
    /* An analyser of one file cannot see what mmgi_error_tell_own() returns. */
    if (handle == NULL) {
        mmgi_error_tell_own(&opening->report, MMG_E_ARGUMENT, "arguments", "the pointer for the handle is NULL");
        return MMG_E_ARGUMENT;
    }
    mmg_status status = mmgi_struct_read_options(options, &opening->copy, &opening->options);
    if (status != MMG_OK) {
        mmgi_error_tell_own(&opening->report, status, "options",
                            status == MMG_E_ARGUMENT ? "an option has an unknown value, or two contradict each other"
                                                     : NULL);
        return status;
    }
    source_prepare(&opening->source, opening->options, &opening->report);
    return MMG_OK;
}

/* Makes a region as it was decided. The region room makes copies and CONTAINED mappings; the stable room makes mappings that
   are STABLE. */
static mmg_status
region_make_as(struct source *source, const struct decision *decision, struct region **region)
{
    switch (decision->holding) {
    case HOLD_STREAM:
        return mmgi_hold_stream(source, decision->reason, region);
    case HOLD_COPY:
        return mmgi_backing_copy(source, decision->length, decision->reason, region);
    default:
        return source->options->guarantee == MMG_GUARANTEE_STABLE
                   ? mmgi_stable_open(source, decision->length, region)
                   : mmgi_hold_contained(source, decision->length, region);
    }
}

/* Makes a region from a source. The region room decides whether the region is a copy or a mapping. If the file turns out to
   have another size, the function makes no region and returns MMG_OK. */
static inline mmg_status
region_try(struct source *source, struct region **region)
{
    struct decision decision;
    mmg_status status = mmgi_decide_holding(source, &decision);

    /* Only a copy finds out whether an early size still holds. */
    if (source->is_early && (status != MMG_OK || decision.holding != HOLD_COPY || decision.length == 0)) {
        status = mmgi_source_refresh(source);
        if (status == MMG_OK)
            status = mmgi_decide_holding(source, &decision);
    }
    return status == MMG_OK ? region_make_as(source, &decision, region) : status;
}

static mmg_status
region_make(struct source *source, struct region **region)
{
    mmg_status status;
    int tries = 0;

    do
        status = region_try(source, region);
    while (status == MMG_OK && *region == NULL && ++tries < MAX_DECISIONS);
    if (tries == MAX_DECISIONS)
        return mmgi_error_tell(source->report, MMG_E_TRUNCATED, "open", 0, source->size,
                               "kept changing its size while it was opened");
    return status;
}

/* Ends a call that opens with what became of its region. */
static inline __attribute__((always_inline)) mmg_status
opening_issue(struct opening *opening, mmg_status status, struct region *region, mmg_handle *handle)
{
    mmgi_source_close(&opening->source);
    if (status != MMG_OK || region == NULL) /* a failure that an analyser of one file cannot see may leave no region */
        return status;
    if (region->size == 0 && (opening->options->flags & MMG_FLAG_REJECT_EMPTY)) {
        mmgi_region_discard(region);
        return mmgi_error_tell_own(&opening->report, MMG_E_EMPTY, "open",
                                   opening->options->offset > 0 ? "the window has no bytes" : NULL);
    }
    mmgi_region_count_in(region);
    status = mmgi_handle_issue(&region->object, handle);
    if (status != MMG_OK) {
        region->object.destroy(&region->object);
        return mmgi_error_tell(&opening->report, status, "handle", ENOMEM, 0, NULL);
    }
    atomic_store_explicit(&region->owner.handle, *handle, memory_order_relaxed); /* for the ledger */
    /* The caller may have set nothing but `struct_size`, and an attempt that failed before another one succeeded may have
       filled the error. */
    mmgi_error_clear(opening->report.caller_error);
    return MMG_OK;
}

static mmg_status
opening_finish(struct opening *opening, mmg_handle *handle)
{
    struct region *region = NULL;
    mmg_status status = region_make(&opening->source, &region);

    return opening_issue(opening, status, region, handle);
}

/* Nearly all opens are opens of a path. So what this file has for each of them is inline here, which saves 37 instructions. */
__attribute__((flatten)) mmg_status
mmg_open(const char *path, const mmg_options *options, mmg_handle *handle, mmg_error *error)
{
    struct opening opening;
    mmg_status status = opening_begin(&opening, path != NULL ? path : "(null)", -1, options, handle, error);

    if (status != MMG_OK)
        return status;
    if (path == NULL)
        return mmgi_error_tell_own(&opening.report, MMG_E_ARGUMENT, "arguments", "the path is NULL");
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
    if (opening.options->flags & MMG_FLAG_NOFOLLOW)
        return mmgi_error_tell_own(&opening.report, MMG_E_ARGUMENT, "options", "a descriptor is no link to follow");
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

/* Makes the region of an adopted mapping, of which everything is known. */
static mmg_status
region_adopt(struct source *source, struct adoption *adoption, struct region **region)
{
    if (source->options->guarantee != MMG_GUARANTEE_STABLE)
        return mmgi_hold_contained(source, adoption->size, region);
    if (adoption->is_writable)
        return mmgi_error_tell_own(source->report, MMG_E_UNSTABLE, "adopt",
                                   "its owner can write to the mapping, so nothing can be put in its place");
    if (!mmgi_adoption_has_no_copies(adoption))
        return mmgi_error_tell_own(
            source->report, MMG_E_UNSTABLE, "adopt",
            "its owner may have written to the private mapping, so nothing can be put in its place");
    return mmgi_stable_open(source, adoption->size, region);
}

/* Opens the file of a mapping by the caller's descriptor, or else by the path that the kernel tells. */
static mmg_status
open_file_of(struct opening *opening, int fd, const struct adoption *adoption)
{
    const char *path = adoption->scratch.path;

    if (fd != -1)
        return mmgi_source_open_fd(fd, &opening->source);
    if (path[0] != '/')
        return mmgi_error_tell_own(&opening->report, MMG_E_NOT_MAPPABLE, "adopt", "has no path");
    opening->report.path = path;
    return mmgi_source_open_path(path, &opening->source);
}

mmg_status
mmg_adopt(const void *data, uint64_t size, int32_t fd, const mmg_options *options, mmg_handle *handle, mmg_error *error)
{
    /* The cast is safe: the library never writes to these bytes. It only replaces pages. */
    struct adoption adoption = {.data = (unsigned char *)(uintptr_t)data, .size = size};
    static const mmg_options none = MMG_OPTIONS_INIT;
    struct opening opening;
    struct region *region = NULL;
    mmg_status status = opening_begin(&opening, "(mapping)", fd, options != NULL ? options : &none, handle, error);

    if (status != MMG_OK)
        return status;
    mmg_options *ours = &opening.copy; /* these can be changed */
    if (data == NULL)
        return mmgi_error_tell_own(&opening.report, MMG_E_ARGUMENT, "arguments", "the address is NULL");
    if (size == 0)
        return mmgi_error_tell_own(&opening.report, MMG_E_RANGE, "adopt", "has no bytes to adopt");
    if (ours->offset != 0 || ours->length != 0 || ours->backing != MMG_BACKING_AUTO)
        return mmgi_error_tell_own(&opening.report, MMG_E_ARGUMENT, "options",
                                   "an adopted mapping has its offset and its length already");
    status = mmgi_adoption_find(ours, &opening.report, &adoption);
    if (status != MMG_OK)
        return status;
    if (ours->lock == MMG_LOCK_AUTO && !(ours->flags & MMG_FLAG_REQUIRE_LOCK))
        ours->lock = MMG_LOCK_NONE; /* the owner has mapped the file already, and may hold a lock of its own */
    status = open_file_of(&opening, fd, &adoption);
    if (status != MMG_OK)
        return status;
    if (opening.source.is_early)
        status = mmgi_source_refresh(&opening.source);
    if (status == MMG_OK)
        status = mmgi_adoption_check(&opening.source, &adoption, ours);
    if (status == MMG_OK)
        status = region_adopt(&opening.source, &adoption, &region);
    return opening_issue(&opening, status, region, handle);
}
