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
    size_t whole = mmgi_region_replaceable(region, snapshot.secured);
    /* What is not secured is said to be so before anything is replaced: a reader finds it in neither place. */
    if (whole < region->mapping.length)
        mmgi_region_demote(region, whole > lead ? whole - lead : 0, shortfall);
    struct replacement replacement = {.fd = snapshot.fd,
                                      .memory = snapshot.memory,
                                      .memory_length = snapshot.memory_length,
                                      .secured = snapshot.secured,
                                      .means = snapshot.means};
    if (!mmgi_region_replace(region, &replacement))
        mmgi_region_demote(region, 0, shortfall);
    snapshot.fd = replacement.fd;
    snapshot.memory = replacement.memory;
    mmgi_snapshot_release(&snapshot);
    if (!give_up(region->fd))
        mmgi_region_demote(region, 0, MMG_SHORT_TIME);
}

void
mmgi_lease_break_disown(struct region *region)
{
    char link[32];

    mmgi_region_demote(region, region->size, MMG_SHORT_FORKED);
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
