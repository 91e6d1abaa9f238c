/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Questions to a region that lives: what it is, whether its bytes are all there, whether the file has moved on, and the
 * bytes themselves by way of the kernel.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "os/file_io.h"
#include "region/region.h"
#include "guard/registry.h"
#include "base/status.h"

void
mmgi_region_describe(const struct region *region, mmg_info *info)
{
    struct losses losses;

    mmgi_registry_losses(region->number, &losses);
    bool kept = region->guarantee == MMG_GUARANTEE_STABLE && losses.cause == MMG_OK;

    info->backing = region->backing;
    info->backing_reason = region->reason;
    info->guarantee = region->guarantee;
    info->means = region->means;
    info->shortfall = region->shortfall;
    if (region->guarantee == MMG_GUARANTEE_STABLE && !kept) { /* a means that failed upholds nothing */
        info->guarantee = region->is_guarded ? MMG_GUARANTEE_CONTAINED : MMG_GUARANTEE_NONE;
        info->means = region->is_guarded ? MMG_MEANS_FAULT_GUARD : MMG_MEANS_NONE;
        /* Bytes that changed under a lease did so because the kernel took it: its thread is about to say the same. */
        info->shortfall = losses.cause == MMG_E_UNSTABLE ? MMG_SHORT_TIME : MMG_SHORT_LOST;
    }
    info->lock = region->lock;
    info->fault_cause = losses.cause;
    info->size = region->size;
    info->offset = region->offset;
    info->file_size = region->identity.size;
    info->device = region->identity.device;
    info->inode = region->identity.inode;
    info->mtime_seconds = region->identity.mtime_seconds;
    info->ctime_seconds = region->identity.ctime_seconds;
    info->mtime_nanoseconds = region->identity.mtime_nanoseconds;
    info->ctime_nanoseconds = region->identity.ctime_nanoseconds;
    info->faults = losses.faults;
    info->fault_offset = losses.first_offset;
    info->mapped_bytes = region->mapping.length;
    info->heap_bytes = region->heap_bytes;
    info->lock_error = (uint64_t)region->lock_error; /* an errno: positive */
    info->page_size = region->mapping.page;
}

uint32_t
mmgi_region_compare(const struct identity *then, const struct stat *now)
{
    uint32_t what = 0;

    if (S_ISREG(now->st_mode) && (uint64_t)now->st_size != then->size)
        what |= MMG_CHANGED_SIZE;
    if (now->st_mtim.tv_sec != then->mtime_seconds || (uint32_t)now->st_mtim.tv_nsec != then->mtime_nanoseconds)
        what |= MMG_CHANGED_MTIME;
    if (now->st_ctim.tv_sec != then->ctime_seconds || (uint32_t)now->st_ctim.tv_nsec != then->ctime_nanoseconds)
        what |= MMG_CHANGED_CTIME;
    return what;
}

/* Have the bytes of a region moved although a lease should hold them? Only while nobody has seen to a break. */
static bool
has_slipped(const struct region *region, const struct stat *now)
{
    const uint32_t contents = MMG_CHANGED_SIZE | MMG_CHANGED_MTIME;

    if ((mmgi_region_compare(&region->identity, now) & contents) == 0)
        return false;
    /* The lease is the parent's, and so is the copy when it breaks. Here a change is only noticed. */
    if (region->shortfall == MMG_SHORT_FORKED)
        return true;
    /* A lease that holds keeps every writer out; times alone can be set without one. Asked for in this order: the means
       change before the lease is given up. */
    return fcntl(region->fd, F_GETLEASE) != F_RDLCK && region->means == MMG_MEANS_LEASE;
}

mmg_status
mmgi_region_look(const struct region *region)
{
    struct stat status;
    bool leased = region->means == MMG_MEANS_LEASE;

    if (region->number == 0 || region->is_device || (region->guarantee == MMG_GUARANTEE_STABLE && !leased))
        return MMG_OK; /* a copy, no size to compare, or kept as it is without the file */
    if (fstat(region->fd, &status) != 0)
        return mmgi_status_of_contents(errno);
    uint64_t size = (uint64_t)status.st_size; /* of a file: not negative */
    /* open(2) with O_RDONLY|O_TRUNC cuts a file without asking for a lease; hence leased files are looked at, too. */
    if (size < region->offset + region->size && (!leased || region->means == MMG_MEANS_LEASE))
        mmgi_registry_lose(region->number, size > region->offset ? size - region->offset : 0, MMG_TO_END,
                           MMG_E_TRUNCATED);
    else if ((leased || region->shortfall == MMG_SHORT_FORKED) && has_slipped(region, &status))
        mmgi_registry_lose(region->number, 0, MMG_TO_END, MMG_E_UNSTABLE);
    return MMG_OK;
}

mmg_status
mmgi_region_check(const struct region *region)
{
    struct losses losses;
    mmg_status status = mmgi_region_look(region);

    if (status != MMG_OK)
        return status;
    mmgi_registry_losses(region->number, &losses);
    return losses.cause;
}

mmg_status
mmgi_region_changed(const struct region *region, uint32_t *what)
{
    const struct identity *then = &region->identity;
    struct stat now, named;
    uint32_t bits = 0;

    if (!region->has_identity || (region->fd < 0 && region->path == NULL))
        return MMG_E_UNSUPPORTED;
    if (region->fd >= 0) {
        if (fstat(region->fd, &now) != 0)
            return MMG_E_SYSTEM;
        bits |= mmgi_region_compare(then, &now);
    }
    if (region->path != NULL) {
        int failed = region->follows_link ? stat(region->path, &named) : lstat(region->path, &named);
        if (failed || (uint64_t)named.st_dev != then->device || (uint64_t)named.st_ino != then->inode)
            bits |= MMG_CHANGED_PATH;
        else if (region->fd < 0)
            bits |= mmgi_region_compare(then, &named);
    }
    *what = bits;
    return MMG_OK;
}

mmg_status
mmgi_region_read(const struct region *region, uint64_t offset, void *buffer, uint64_t size, uint64_t *got)
{
    uint64_t rest = region->size - offset;
    size_t want = (size_t)(size < rest ? size : rest); /* at most the size of what is in memory or mapped */
    size_t done = want;
    int content, os_code = 0;

    *got = 0;
    do {
        content = atomic_load(&region->content);
        /* After the load: what a broken lease could not secure is recorded before the content is replaced, and is in
           neither the file nor the snapshot. */
        if (registry_loss_within(region->number, offset, want) == MMG_E_UNSTABLE)
            return MMG_E_UNSTABLE;
        if (content >= 0)
            os_code = mmgi_file_read_at(content, region->offset + offset, buffer, want, &done);
        else if (want > 0)
            memcpy(buffer, region->data + offset, want);
        /* A lease that broke meanwhile has put a snapshot there before it let any writer in. */
    } while (content != atomic_load(&region->content));
    *got = done;
    if (os_code != 0)
        return mmgi_status_of_contents(os_code);
    if (done < want)
        return MMG_E_TRUNCATED;
    mmg_status loss = registry_loss_within(region->number, offset, want);
    return loss == MMG_E_UNSTABLE ? loss : MMG_OK; /* of other losses the kernel has just shown that they are over */
}
