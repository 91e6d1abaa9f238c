/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Answers questions about an open region: what it is, whether bytes of it are lost, whether the file has changed.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "os/file.h"
#include "os/file_io.h"
#include "region/region.h"
#include "guard/fault_guard.h"
#include "guard/registry.h"
#include "base/status.h"

/* Returns true when the keeper of a region belongs to the parent process. */
static bool
is_inherited(const struct region *region)
{
    return region->keeper != NULL && region->keeper->is_inherited(region->keeper);
}

void
mmgi_region_describe(const struct region *region, mmg_info *info)
{
    struct losses losses;

    mmgi_registry_losses(region->number, &losses);
    struct promise promise = region_promise(region);
    /* A forked child cannot hold the lease of its parent. That is the reason for whatever the child has lost. */
    if (promise.means == MMG_MEANS_LEASE && is_inherited(region))
        promise = mmgi_promise_mapped(region->is_guarded, MMG_SHORT_FORKED);
    promise = mmgi_promise_after_loss(promise, region->is_guarded, losses.cause);
    if (promise.means == MMG_MEANS_FAULT_GUARD)
        promise = mmgi_promise_behind_guard(promise, mmgi_guard_shortfall());
    info->backing = region->backing;
    info->backing_reason = region->reason;
    info->guarantee = promise.guarantee;
    info->means = promise.means;
    info->shortfall = promise.shortfall;
    info->lock = region->lock;
    info->lock_reason = region->lock_reason;
    info->exceptions = promise.means == MMG_MEANS_LEASE ? region->exceptions : 0;
    info->means_order = region->means_order;
    strncpy(info->file_system, region->file_system,
            sizeof info->file_system - 1); /* the other bytes are zero already */
    info->fault_cause = losses.cause;
    info->size = region->size;
    info->offset = region->offset;
    info->file_size = region->identity.size;
    info->device = region->identity.device;
    info->inode = region->identity.inode;
    info->mtime_seconds = region->identity.modified.seconds;
    info->ctime_seconds = region->identity.changed.seconds;
    info->mtime_nanoseconds = (uint32_t)region->identity.modified.nanoseconds; /* below 10^9 */
    info->ctime_nanoseconds = (uint32_t)region->identity.changed.nanoseconds;
    info->faults = losses.faults;
    info->fault_offset = losses.first_offset;
    info->mapped_bytes = region->mapping.length;
    info->heap_bytes = region->heap_bytes;
    info->lock_error = region->lock_error;
    info->os_error = atomic_load_explicit(&region->os_error, memory_order_relaxed);
    info->page_size = region->mapping.page;
}

mmg_status
mmgi_region_failed(const struct region *region, int os_code)
{
    struct region *memory = (struct region *)(uintptr_t)
        region; /* the object itself is not const: every region is on the heap */

    atomic_store_explicit(&memory->os_error, os_code, memory_order_relaxed); /* no other access depends on it */
    return mmgi_status_of_contents(os_code);
}

uint32_t
mmgi_identity_compare(const struct identity *then, const struct file_status *now)
{
    uint32_t what = 0;

    if (now->kind == FILE_KIND_REGULAR && now->size != then->size)
        what |= MMG_CHANGED_SIZE;
    if (!file_time_equals(now->modified, then->modified))
        what |= MMG_CHANGED_MTIME;
    if (!file_time_equals(now->changed, then->changed))
        what |= MMG_CHANGED_CTIME;
    return what;
}

bool
mmgi_region_tail_is_lost(const struct region *region, uint64_t size)
{
    uint64_t left = size > region->offset ? size - region->offset : 0;
    size_t page = region->mapping.page;

    if (left >= region->size)
        return false;
    if (!region->is_stacked)
        return true;
    size_t lead = (size_t)(region->data - region->mapping.base);
    size_t behind = (size_t)((lead + left + page - 1) / page *
                             page); /* where the first page starts that is wholly behind the end */
    /* A page that the guard has replaced can be read. */
    if (behind < region->mapping.length)
        return !mmgi_map_is_readable(region->mapping.base + behind) ||
               registry_loss_within(region->number, behind - lead, 1) == MMG_E_TRUNCATED;
    /* Only a part of the last page is behind the end. If the file was cut, that part reads as zeros, without a fault. */
    for (uint64_t i = left; i < region->size; i++)
        if (region->data[i] != 0)
            return false;
    return true;
}

int
mmgi_region_names(const struct region *region, int fd, struct file_status *status)
{
    return mmgi_file_status_if(fd, region->identity.device, region->identity.inode, status);
}

mmg_status
mmgi_region_look(const struct region *region)
{
    const struct promise promise = region_promise(region);
    const bool leased = promise.means == MMG_MEANS_LEASE;
    struct file_status status;

    if (region->number == 0 || region->is_device || (promise.guarantee == MMG_GUARANTEE_STABLE && !leased))
        return MMG_OK; /* the region is a copy, has no size to compare, or does not need the file any more */
    int os_code = mmgi_region_names(region, region->fd, &status);
    if (os_code != 0)
        return mmgi_region_failed(region, os_code);
    /* open(2) with O_RDONLY|O_TRUNC cuts a file without breaking its lease. So the size of a leased file is compared, too,
       unless a snapshot has taken the place of the file. */
    if (mmgi_region_tail_is_lost(region, status.size) && (!leased || region_promise(region).means == MMG_MEANS_LEASE))
        mmgi_registry_lose(region->number, status.size > region->offset ? status.size - region->offset : 0, MMG_TO_END,
                           MMG_E_TRUNCATED);
    /* The lease belongs to the parent process, which makes the copy when the lease breaks. A child can only notice that the
       file has changed. */
    else if (leased && is_inherited(region) &&
             (mmgi_identity_compare(&region->identity, &status) & (MMG_CHANGED_SIZE | MMG_CHANGED_MTIME)) != 0)
        mmgi_registry_lose(region->number, 0, MMG_TO_END, MMG_E_UNSTABLE);
    return MMG_OK;
}

mmg_status
mmgi_region_check(const struct region *region)
{
    struct losses losses;
    mmg_status status = mmgi_region_look(region);

    mmgi_registry_losses(region->number, &losses);
    return losses.cause != MMG_OK ? losses.cause : status;
}

mmg_status
mmgi_region_changed(const struct region *region, uint32_t *what)
{
    const struct identity *then = &region->identity;
    struct file_status now, named;
    uint32_t bits = 0;

    if (!region->has_identity || (region->fd < 0 && region->owner.path == NULL))
        return MMG_E_UNSUPPORTED;
    if (region->fd >= 0) {
        int os_code = mmgi_region_names(region, region->fd, &now);
        if (os_code != 0)
            return mmgi_region_failed(region, os_code);
        bits = mmgi_identity_compare(then, &now);
    }
    if (region->owner.path != NULL) {
        int os_code = mmgi_file_status_of_path(region->owner.path, region->follows_link, &named);
        if (os_code != 0 || named.device != then->device || named.inode != then->inode)
            bits |= MMG_CHANGED_PATH;
        else if (region->fd < 0)
            bits = mmgi_identity_compare(then, &named);
    }
    *what = bits;
    return MMG_OK;
}

mmg_status
mmgi_region_verify(const struct region *region)
{
    uint32_t what = 0;
    mmg_status status = mmgi_region_check(region);

    if (status == MMG_OK && region->is_mixed)
        return MMG_E_CHANGED;
    /* The bytes of a STABLE region, such as a copy, have not changed, even if the file has. */
    if (status != MMG_OK || region_promise(region).guarantee == MMG_GUARANTEE_STABLE)
        return status;
    status = mmgi_region_changed(region, &what);
    if (status == MMG_E_UNSUPPORTED)
        return MMG_OK; /* a stream has no file, so nothing can have changed */
    /* ctime is not compared: a rename, a link or a change of rights sets it, and leaves the bytes as they are. */
    return status == MMG_OK && (what & (MMG_CHANGED_SIZE | MMG_CHANGED_MTIME)) != 0 ? MMG_E_CHANGED : status;
}

mmg_status
mmgi_region_explain(const struct region *region, const struct report *report)
{
    mmg_status status = mmgi_region_verify(region);
    const char *what = NULL, *then = NULL;
    char detail[128];
    struct losses losses;

    mmgi_registry_losses(region->number, &losses);
    if (status == MMG_E_SYSTEM || (status == MMG_E_IO && losses.cause == MMG_OK)) /* no byte is known to be lost */
        return mmgi_error_tell(report, status, "verify", atomic_load_explicit(&region->os_error, memory_order_relaxed),
                               0, "cannot be asked for its size and its times");
    switch (status) {
    case MMG_OK:
        mmgi_error_clear(report->caller_error);
        return status;
    case MMG_E_TRUNCATED:
        what = "was cut short; the bytes from";
        then = "on read as zeros";
        break;
    case MMG_E_IO:
        what = "could not be read from its device; the page at";
        then = "reads as zeros";
        break;
    case MMG_E_POISONED:
        what = "lost bytes to a hardware memory error; the page at";
        then = "reads as zeros";
        break;
    case MMG_E_UNSTABLE:
        what = "is no longer stable; the bytes from";
        then = "on may have changed";
        break;
    case MMG_E_CHANGED:
        return mmgi_error_tell_own(report, status, "verify",
                                   region->is_mixed ? "was written to while it was copied"
                                                    : "was written to since it was opened");
    default:
        return mmgi_error_tell_own(report, status, "verify", NULL);
    }
    uint64_t place = losses.first_offset == MMG_TO_END ? 0 : region->offset + losses.first_offset;
    snprintf(detail, sizeof detail, "%s offset %llu %s", what, (unsigned long long)place, then);
    return mmgi_error_tell(report, status, "verify", 0, place, detail);
}
