/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Answers questions about an open region: what it is, whether bytes of it are lost, whether the file has changed. Also reads
 * its bytes through the kernel.
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

/* A read that was short, because the file was cut and has grown again, is repeated this often. */
#define MAX_READ_ATTEMPTS 16

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

/*
 * Returns true when bytes of the region are behind the end of the file, whose size now is `size`. On a stacked file system
 * the descriptor may lead to another file than the mapping, so there the function looks at the mapping.
 */
static bool
tail_is_lost(const struct region *region, uint64_t size)
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
    if (behind < region->mapping.length)
        return !mmgi_map_is_readable(region->mapping.base + behind);
    /* Only a part of the last page is behind the end. If the file was cut, that part reads as zeros, without a fault. */
    for (uint64_t i = left; i < region->size; i++)
        if (region->data[i] != 0)
            return false;
    return true;
}

/* Returns 0 when a descriptor still names the region's file, or an errno; see mmgi_file_status_if(). */
static int
still_names(const struct region *region, int fd, struct file_status *status)
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
    int os_code = still_names(region, region->fd, &status);
    if (os_code != 0)
        return mmgi_region_failed(region, os_code);
    /* open(2) with O_RDONLY|O_TRUNC cuts a file without breaking its lease. So the size of a leased file is compared, too,
       unless a snapshot has taken the place of the file. */
    if (tail_is_lost(region, status.size) && (!leased || region_promise(region).means == MMG_MEANS_LEASE))
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
        int os_code = still_names(region, region->fd, &now);
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

/* Returns true when the bytes are in the mapping of a file that can still be cut. */
static bool
reads_mapping(const struct region *region, int content)
{
    return content < 0 && region->number != 0 && region->fd >= 0 && !region->is_kept;
}

/* Returns true when the kernel can store a byte at a place, which it does. */
static bool
is_writable(void *place)
{
    static const unsigned char byte;
    size_t done;

    return mmgi_map_copy_out(&byte, place, 1, &done) != EFAULT;
}

/* Asks the file of a mapping for its size. Returns 0 or an errno; EBADF when the host has closed the descriptor. A copy-up of
   a stacked file system changes device and inode, so they cannot be compared there. */
static int
file_of_mapping(const struct region *region, struct file_status *status)
{
    return region->is_stacked ? mmgi_file_status(region->fd, status) : still_names(region, region->fd, status);
}

/*
 * Lets the kernel copy bytes out of the mapping. The kernel stops at a page that is gone. In a sandbox that forbids this
 * system call, memcpy() copies, and the fault guard contains faults. What the last page of a cut file shows behind its end
 * are zeros, so the size is looked at after the copy.
 */
static mmg_status
read_mapping(const struct region *region, uint64_t offset, void *buffer, size_t want, size_t *done)
{
    struct file_status status;
    int os_code = mmgi_map_copy_out(region->data + offset, buffer, want, done);

    if (os_code != 0 && os_code != EFAULT) {
        memcpy(buffer, region->data + offset, want);
        *done = want;
        os_code = 0;
    }
    if (reads_mapping(region, -1) && file_of_mapping(region, &status) == 0 &&
        status.size < region->offset + offset + want && (os_code != 0 || tail_is_lost(region, status.size))) {
        const uint64_t left = status.size > region->offset + offset ? status.size - region->offset - offset : 0;
        *done = left < *done ? (size_t)left : *done;
        return MMG_E_TRUNCATED;
    }
    if (os_code == 0)
        return MMG_OK;
    /* The kernel does not say which side failed. */
    return is_writable((unsigned char *)buffer + *done) ? MMG_E_IO : mmgi_region_failed(region, EFAULT);
}

/*
 * Returns the status for a read that failed on the right descriptor. Any error of a file server counts as a failure of
 * the medium.
 */
static mmg_status
read_failed(const struct region *region, int os_code)
{
    mmg_status status = mmgi_region_failed(region, os_code);

    return status == MMG_E_SYSTEM && os_code != EFAULT ? MMG_E_IO : status; /* EFAULT means the caller's buffer */
}

/*
 * Reads from the region's file. The host may close the descriptor at any moment and get its number for another file. So
 * the function checks the descriptor before and after the read, and bytes of another file never count as those of the
 * region. When bytes are missing, the size of the file tells why, as it does for a fault: a read that fails inside the
 * file is a failure of the medium, unless the file was cut and has grown again meanwhile.
 */
static mmg_status
read_file(const struct region *region, int fd, uint64_t offset, void *buffer, size_t want, size_t *done)
{
    const uint64_t start = region->offset + offset;
    struct file_time seen = region->identity.changed;
    struct file_status now;
    int named = still_names(region, fd, &now);

    *done = 0;
    if (named != 0)
        return mmgi_region_failed(region, named);
    for (int i = 0; i < MAX_READ_ATTEMPTS; i++) {
        int os_code = mmgi_file_read_at(fd, start, buffer, want, done);
        named = still_names(region, fd, &now);
        if (named == EBADF || (named != 0 && os_code == 0)) {
            *done = 0;
            return mmgi_region_failed(region, named);
        }
        if (os_code != 0)
            return read_failed(region, os_code);
        if (*done == want)
            return MMG_OK;
        if (!region->is_device && now.size < start + want)
            return MMG_E_TRUNCATED;
        if (file_time_equals(now.changed, seen))
            break;
        seen = now.changed;
    }
    return MMG_E_IO;
}

/* Copies `want` bytes from the place where they are now: the heap, the mapping, or a file. */
static mmg_status
read_content(const struct region *region, int content, uint64_t offset, void *buffer, size_t want, size_t *done)
{
    *done = want;
    if (want == 0)
        return MMG_OK;
    if (content >= 0)
        return read_file(region, content, offset, buffer, want, done);
    if (region->mapping.base != NULL)
        return read_mapping(region, offset, buffer, want, done);
    memcpy(buffer, region->data + offset, want);
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

mmg_status
mmgi_region_read(const struct region *region, uint64_t offset, void *buffer, uint64_t size, uint64_t *got)
{
    uint64_t rest = region->size - offset;
    size_t want = (size_t)(size < rest
                               ? size
                               : rest); /* the cast cannot lose bits: `want` is at most the size of the region */
    size_t done;
    int content;
    mmg_status status;

    *got = 0;
    do { /* repeat when a lease broke meanwhile: then a snapshot took the place of the file before any writer got in */
        content = atomic_load(&region->content);
        status = read_content(region, content, offset, buffer, want, &done);
    } while (content != atomic_load(&region->content));
    /* This comes after the read, so a loss that happened during the read is recorded by now. */
    mmg_status loss = registry_loss_within(region->number, offset, want);
    /* A STABLE region never returns bytes that were lost once, although the file may hold other bytes there now. A mapping
       shows zeros in the place of lost pages. For any other region the read has just shown that the bytes are there again. */
    if (loss == MMG_E_UNSTABLE || (loss != MMG_OK && region->is_kept))
        return loss;
    if (loss != MMG_OK && reads_mapping(region, content)) {
        struct losses losses;
        mmgi_registry_losses(region->number, &losses);
        const uint64_t true_bytes = losses.first_offset > offset ? losses.first_offset - offset : 0;
        *got = true_bytes < done ? true_bytes : done;
        return loss;
    }
    *got = done;
    return status;
}
