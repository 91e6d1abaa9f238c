/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The code counts the regions of each file in an array, whose index is a hash of device and inode. Only where the count is
 * high does it search a table from device and inode to the lock. A lock belongs to an open file description, so a duplicate
 * of the first descriptor keeps the lock when the first region closes. A forked child inherits the table, the duplicates
 * and the lock.
 */
#include "region/shared_lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/fork_hooks.h"
#include "mmapguard.h"
#include "os/file.h"
#include "os/file_lock.h"
#include "os/thread.h"

#define BUCKETS 4096u
/* Up to this number of regions, each one locks its own descriptor, which is cheaper than to share a lock. */
#define FEW 8u

struct shared_lock {
    struct shared_lock *next; /* the next lock in the same bucket */
    uint64_t device, inode;
    uint64_t shares;
    uint32_t kind;
    int first_fd;  /* the descriptor of the region that took the lock; -1 when no descriptor has the lock */
    int duplicate; /* a duplicate that keeps the lock; -1 as long as there was no second region */
};

static struct shared_lock *buckets[BUCKETS];
static _Atomic uint32_t counts[BUCKETS];
static _Atomic uint32_t crowded_count; /* number of buckets that count FEW regions or more */
static os_mutex mutex = OS_MUTEX_INIT;

static void
before_fork(void)
{
    mmgi_mutex_lock(&mutex);
}

static void
after_fork_parent(void)
{
    mmgi_mutex_unlock(&mutex);
}

static void
after_fork_child(void)
{
    mmgi_mutex_reset(&mutex);
}

static struct fork_hooks hooks = {.before = before_fork, .parent = after_fork_parent, .child = after_fork_child};

static uint32_t
bucket_of(uint64_t device, uint64_t inode)
{
    /* Multiplication by an odd number with well mixed bits spreads consecutive inodes over the buckets. */
    return (uint32_t)((device * 31 + inode) * UINT64_C(0x9E3779B97F4A7C15) >> 40) % BUCKETS;
}

static struct shared_lock *
find(uint64_t device, uint64_t inode, uint32_t kind)
{
    struct shared_lock *lock = buckets[bucket_of(device, inode)];

    while (lock != NULL && (lock->device != device || lock->inode != inode || lock->kind != kind))
        lock = lock->next;
    return lock;
}

static int
descriptor_of(const struct shared_lock *lock)
{
    return lock->duplicate >= 0 ? lock->duplicate : lock->first_fd;
}

/* Returns true when the descriptor of a lock still names the file. The host may have closed it, and may have its number for a
   file of its own. */
static bool
is_ours(const struct shared_lock *lock)
{
    struct file_status status;

    return mmgi_file_status_if(descriptor_of(lock), lock->device, lock->inode, &status) != EBADF;
}

/* Makes the lock outlive the region that took it, by a duplicate of its descriptor. Returns false when the process has no
   descriptor left. */
static bool
keep(struct shared_lock *lock)
{
    return lock->duplicate >= 0 || mmgi_file_duplicate(lock->first_fd, &lock->duplicate) == 0;
}

/* Takes the lock once more, on the descriptor of a new region, where the host has closed the one that had it. */
static int
take_again(struct shared_lock *lock, int fd)
{
    int os_code = mmgi_lock_try(fd, lock->kind);

    if (os_code == 0) {
        lock->first_fd = fd;
        lock->duplicate = -1;
        if (!keep(lock))
            lock->first_fd =
                -1; /* without a duplicate, the lock would end with this region, while others count on it */
    }
    return os_code;
}

static struct shared_lock *
lock_new(int fd, uint32_t kind, uint64_t device, uint64_t inode)
{
    struct shared_lock *lock = malloc(sizeof *lock);
    struct shared_lock **bucket = &buckets[bucket_of(device, inode)];

    if (lock == NULL)
        return NULL;
    *lock = (struct shared_lock){
        .next = *bucket, .device = device, .inode = inode, .shares = 1, .kind = kind, .first_fd = fd, .duplicate = -1};
    *bucket = lock;
    return lock;
}

/* Takes a share of the lock that the file has. If the file has none, locks `fd` and makes a shared lock of it. The function
   is not inlined: every open would pay for a stack that only few opens need. */
static __attribute__((noinline)) int
share_take(int fd, uint32_t kind, uint64_t device, uint64_t inode, struct shared_lock **out)
{
    int os_code = 0;

    if (!mmgi_fork_hooks_add(&hooks))
        return mmgi_lock_try(fd, kind);
    mmgi_mutex_lock(&mutex);
    struct shared_lock *lock = find(device, inode, kind);
    if (lock != NULL && !is_ours(lock))
        os_code = take_again(lock, fd);
    if (lock != NULL && os_code == 0 && keep(lock)) {
        lock->shares++;
        *out = lock;
    } else if (os_code == 0) {
        os_code = mmgi_lock_try(fd, kind);
        if (os_code == 0 && lock == NULL)
            *out = lock_new(fd, kind, device,
                            inode); /* without memory for the entry, the lock stays on this descriptor alone */
    }
    mmgi_mutex_unlock(&mutex);
    return os_code;
}

/* Adds a region to a bucket. Returns the count before. Relaxed: a wrong count only costs time. */
static uint32_t
count_up(uint32_t bucket)
{
    uint32_t before = atomic_fetch_add_explicit(&counts[bucket], 1, memory_order_relaxed);

    if (before + 1 == FEW)
        atomic_fetch_add_explicit(&crowded_count, 1, memory_order_relaxed);
    return before;
}

/* Takes a region out of the bucket in which it is counted. */
static void
count_down(struct lock_share *share)
{
    if (share->count == 0)
        return;
    if (atomic_fetch_sub_explicit(&counts[share->count - 1], 1, memory_order_relaxed) == FEW)
        atomic_fetch_sub_explicit(&crowded_count, 1, memory_order_relaxed);
    share->count = 0;
}

bool
mmgi_shared_lock_is_needless(void)
{
    return atomic_load_explicit(&crowded_count, memory_order_relaxed) == 0;
}

void
mmgi_shared_lock_count(uint64_t device, uint64_t inode, struct lock_share *share)
{
    uint32_t bucket = bucket_of(device, inode);

    *share = (struct lock_share){.count = bucket + 1};
    count_up(bucket);
}

int
mmgi_shared_lock_take(int fd, uint32_t kind, uint64_t device, uint64_t inode, struct lock_share *share)
{
    uint32_t bucket = bucket_of(device, inode);
    bool are_few = count_up(bucket) < FEW;

    *share = (struct lock_share){.count = bucket + 1};
    int os_code = are_few ? mmgi_lock_try(fd, kind) : share_take(fd, kind, device, inode, &share->lock);
    if (os_code != 0)
        count_down(share);
    return os_code;
}

static void
unlink_lock(struct shared_lock *lock)
{
    struct shared_lock **at = &buckets[bucket_of(lock->device, lock->inode)];

    while (*at != lock)
        at = &(*at)->next;
    *at = lock->next;
}

static __attribute__((noinline)) void
share_drop(struct shared_lock *lock, bool unlock)
{
    mmgi_mutex_lock(&mutex);
    if (--lock->shares == 0) {
        if (unlock && is_ours(lock))
            mmgi_lock_drop(descriptor_of(lock), lock->kind);
        if (lock->duplicate >= 0)
            mmgi_file_close_if(lock->duplicate, lock->device, lock->inode);
        unlink_lock(lock);
        free(lock);
    }
    mmgi_mutex_unlock(&mutex);
}

void
mmgi_shared_lock_drop(struct lock_share *share, uint32_t kind, int fd, bool unlock)
{
    count_down(share);
    if (share->lock != NULL) {
        share_drop(share->lock, unlock);
        share->lock = NULL;
    } else if (unlock && kind != MMG_LOCK_NONE) {
        mmgi_lock_drop(fd, kind);
    }
}
