/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One lock for the many regions that this process has of a file. For each new lock the kernel walks over all locks of the
 * file. So the first few regions of a file lock their own descriptors, and all others share one lock. A duplicate of a
 * descriptor keeps that lock until the last of these regions has ended.
 */
#ifndef MMGI_REGION_SHARED_LOCK_H
#define MMGI_REGION_SHARED_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shared_lock;

/** The share that a region has in the lock on its file. */
struct lock_share {
    struct shared_lock *lock; /* NULL when the lock is on the region's own descriptor, or when there is no lock */
    uint32_t count;           /* the index of the bucket that counts the region, plus 1; 0 when none does */
};

/**
 * Takes a share of the lock on a file, and the lock itself if this process has none.
 *
 * @param fd    the caller's own description of the file
 * @param lock  MMG_LOCK_SHARED or MMG_LOCK_OFD
 * @param share receives the share, which the caller must give to mmgi_shared_lock_drop()
 * @return 0, EWOULDBLOCK when the lock is held elsewhere, or another errno of mmgi_lock_try()
 */
int mmgi_shared_lock_take(int fd, uint32_t lock, uint64_t device, uint64_t inode, struct lock_share *share);

/**
 * Returns true when no file of this process has so many regions that they share a lock. Then a region may lock its own
 * descriptor before the device and the inode are known, and mmgi_shared_lock_count() counts the region later.
 */
bool mmgi_shared_lock_is_needless(void);

/** Counts a region that holds a lock on its own descriptor. `share` receives what mmgi_shared_lock_drop() needs. */
void mmgi_shared_lock_count(uint64_t device, uint64_t inode, struct lock_share *share);

/**
 * Gives a share back. The lock ends with the last share, once `fd` is closed or, if `unlock` is true, at once. A region that
 * ends does not unlock, because a forked child or the parent may hold the lock through the same description.
 */
void mmgi_shared_lock_drop(struct lock_share *share, uint32_t lock, int fd, bool unlock);

/** Does the same for a region that ends. Most small files have no share, so that there is nothing to do. */
static inline void
shared_lock_end(struct lock_share *share, uint32_t lock, int fd)
{
    if (share->count != 0 || share->lock != NULL)
        mmgi_shared_lock_drop(share, lock, fd, false);
}

#endif
