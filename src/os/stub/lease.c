/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Leases, snapshot files and fork marks on a platform without them. Every request for a lease or a snapshot fails, so
 * STABLE bytes are copies in memory.
 */
#include "os/lease.h"

#include <errno.h>
#include <stddef.h>

#include "os/fork_mark.h"
#include "os/snapshot_file.h"

static _Atomic uint32_t mark;
_Atomic(_Atomic uint32_t *) mmgi_fork_mark_place = &mark;

int
mmgi_lease_take(int fd, int thread_id)
{
    (void)fd;
    (void)thread_id;
    return EINVAL;
}

enum lease_state
mmgi_lease_state(int fd)
{
    (void)fd;
    return LEASE_GONE;
}

int
mmgi_lease_give_up(int fd)
{
    (void)fd;
    return EAGAIN;
}

bool
mmgi_lease_wait(int64_t timeout_ns, int *fd)
{
    (void)timeout_ns;
    *fd = -1;
    return false;
}

void
mmgi_lease_wake(int thread_id)
{
    (void)thread_id;
}

void
mmgi_lease_reserve(struct lease_reserve *reserve)
{
    (void)reserve;
}

void
mmgi_lease_unreserve(struct lease_reserve *reserve)
{
    (void)reserve;
}

int64_t
mmgi_lease_break_ns(const struct lease_reserve *reserve)
{
    (void)reserve;
    return 0;
}

int
mmgi_snapshot_file_beside(int fd, uint64_t end, uint64_t bytes, int *target)
{
    (void)fd;
    return mmgi_snapshot_file_in_tmpdir(end, bytes, target);
}

int
mmgi_snapshot_file_in_tmpdir(uint64_t end, uint64_t bytes, int *target)
{
    (void)end;
    (void)bytes;
    *target = -1;
    return EOPNOTSUPP;
}

int
mmgi_snapshot_file_clone(int fd, int target)
{
    (void)fd;
    (void)target;
    return EOPNOTSUPP;
}

int
mmgi_snapshot_file_copy(int fd, int target, uint64_t offset, size_t size)
{
    (void)fd;
    (void)target;
    (void)offset;
    (void)size;
    return EOPNOTSUPP;
}

uint64_t
mmgi_snapshot_file_memory_room(void)
{
    return UINT64_MAX;
}

void
mmgi_fork_mark_set(void (*first)(void))
{
    if (atomic_load(&mark) != 0)
        return;
    first();
    atomic_store(&mark, 1);
}

void
mmgi_fork_mark_clear(void)
{
    atomic_store(&mark, 0);
}
