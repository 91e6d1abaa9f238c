/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From the break of a lease to the writer's turn: take a snapshot, put it in the place of the mapping, let go. What
 * cannot be secured is said to be so first, so that nobody reads changed bytes unwarned.
 */
#include "stable/lease_break.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "os/file_lock.h"
#include "guard/registry.h"
#include "stable/snapshot.h"

int64_t
mmgi_lease_break_time(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/fs/lease-break-time", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

    if (fd >= 0)
        close(fd);
    /* Not by strtol(3): new headers turn that into a function that glibc has since 2.38 only. */
    int64_t seconds = n > 0 ? 0 : 45; /* the kernel's default */
    for (ssize_t at = 0; at < n && text[at] >= '0' && text[at] <= '9'; at++)
        seconds = 10 * seconds + (text[at] - '0');
    return seconds == 0 ? INT64_MAX : seconds * INT64_C(1000000000); /* 0: a break has no time limit */
}

/* STABLE no more, but what is left of it. */
static void
demote(struct region *region, uint32_t shortfall)
{
    atomic_store(&region->shortfall, shortfall);
    atomic_store(&region->means, region->is_guarded ? MMG_MEANS_FAULT_GUARD : MMG_MEANS_NONE);
    atomic_store(&region->guarantee, region->is_guarded ? MMG_GUARANTEE_CONTAINED : MMG_GUARANTEE_NONE);
}

/* From this offset on the region is CONTAINED, at best, and says so before any writer is let in. */
static void
fall_back(struct region *region, uint64_t from, uint32_t shortfall)
{
    mmgi_registry_lose(region->number, from, MMG_TO_END, MMG_E_UNSTABLE);
    demote(region, shortfall);
}

static uint32_t
shortfall_of(const struct snapshot *snapshot)
{
    switch (snapshot->os_code) {
    case EFBIG:
        return MMG_SHORT_CAP;
    case ECANCELED:
        return MMG_SHORT_TIME;
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
        return MMG_SHORT_SPACE;
    default:
        return MMG_SHORT_READ;
    }
}

/* The bytes at the start of the mapping that a snapshot can replace: whole pages. */
static size_t
replaceable(const struct region *region, const struct snapshot *snapshot)
{
    const struct mapping *mapping = &region->mapping;
    size_t lead = (size_t)(region->data - mapping->base);

    if (snapshot->secured == lead + region->size)
        return mapping->length; /* the last page is complete: behind it there are no bytes */
    return snapshot->secured / mapping->page * mapping->page;
}

/* Map what was secured over the start of the mapping, and make it what mmg_read() reads. */
static bool
put_in_place(struct region *region, struct snapshot *snapshot, size_t whole)
{
    const struct mapping *mapping = &region->mapping;
    size_t lead = (size_t)(region->data - mapping->base);

    if (whole == 0)
        return false;
    int os_code = snapshot->fd >= 0 ? mmgi_map_replace_with_file(mapping, whole, snapshot->fd, region->offset - lead)
                                    : mmgi_map_replace_with_memory(mapping, whole, snapshot->memory);
    if (os_code != 0)
        return false;
    if (whole == mapping->length)
        mmgi_registry_retarget(region->number, snapshot->fd);
    else
        mmgi_registry_secure(region->number, whole);
    atomic_store(&region->content, snapshot->fd);
    if (snapshot->memory != NULL && snapshot->memory_length > whole)
        mmgi_map_memory_release(snapshot->memory + whole, snapshot->memory_length - whole);
    snapshot->fd = -1; /* both are the region's now */
    snapshot->memory = NULL;
    return true;
}

/*
 * Let the writer in. False: there was no lease to give up (EAGAIN), so it was taken by force, and the writer came
 * before the copy was done. A process that has dropped its privileges since may not even give up what it has
 * (EACCES); then the description is exchanged for one that is good for mmg_changed(), and the lease ends with it.
 */
static bool
give_up(int fd)
{
    char link[32];

    if (fcntl(fd, F_SETLEASE, F_UNLCK) == 0)
        return true;
    if (errno != EACCES)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int fresh = open(link, O_PATH | O_CLOEXEC);
    bool exchanged = fresh >= 0 && fcntl(fd, F_GETLEASE) == F_UNLCK && dup3(fresh, fd, O_CLOEXEC) >= 0;
    if (fresh >= 0)
        close(fresh);
    return exchanged;
}

void
mmgi_lease_break_secure(struct region *region, uint64_t cap, bool (*may_continue)(void *context), void *context)
{
    size_t lead = (size_t)(region->data - region->mapping.base);
    struct snapshot_order order = {.fd = region->fd,
                                   .from = region->offset - lead,
                                   .length = lead + (size_t)region->size,
                                   .cap = cap < MMG_NO_LIMIT - lead ? cap + lead : MMG_NO_LIMIT,
                                   .may_continue = may_continue,
                                   .context = context};
    struct snapshot snapshot;

    mmgi_snapshot_take(&order, &snapshot);
    uint32_t shortfall = snapshot.secured < order.length ? shortfall_of(&snapshot) : MMG_SHORT_SPACE;
    size_t whole = replaceable(region, &snapshot);
    /* What is not secured is said to be so before anything is replaced: a reader finds it in neither place. */
    if (whole < region->mapping.length)
        fall_back(region, whole > lead ? whole - lead : 0, shortfall);
    if (!put_in_place(region, &snapshot, whole))
        fall_back(region, 0, shortfall);
    else if (whole == region->mapping.length)
        atomic_store(&region->means, snapshot.means);
    mmgi_snapshot_release(&snapshot);
    if (!give_up(region->fd))
        fall_back(region, 0, MMG_SHORT_TIME);
}

void
mmgi_lease_break_disown(struct region *region)
{
    char link[32];

    demote(region, MMG_SHORT_FORKED);
    snprintf(link, sizeof link, "/proc/self/fd/%d", region->fd);
    int fresh = open(link, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fresh < 0)
        return;
    size_t lead = (size_t)(region->data - region->mapping.base);
    bool mapped_from_it = atomic_load(&region->content) == region->fd;
    if (!mapped_from_it ||
        mmgi_map_replace_with_file(&region->mapping, region->mapping.length, fresh, region->offset - lead) == 0)
        dup3(fresh, region->fd, O_CLOEXEC);
    close(fresh);
    if (region->lock != MMG_LOCK_NONE && mmgi_lock_try(region->fd, region->lock) != 0)
        region->lock = MMG_LOCK_NONE;
}
