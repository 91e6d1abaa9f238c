/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Leases that regions hold. While a lease is in force, the kernel keeps every writer waiting until the keeper thread has
 * secured the bytes elsewhere.
 */
#ifndef MMGI_STABLE_LEASE_H
#define MMGI_STABLE_LEASE_H

#include <stdint.h>

#include "region/region.h"

struct lease;

/**
 * Takes a read lease on the descriptor of a source, which no one else may share. The first lease starts the keeper thread.
 * The call waits only for other threads that take a lease.
 *
 * @return 0; EACCES (the file belongs to another user), EAGAIN (a process has the file open for writing, or no thread can be
 *   started), EINVAL (leases are switched off, or the file system has none), EDQUOT (`max_leases` are held), ENOMEM, or
 *   another errno
 */
int mmgi_lease_begin(const struct source *source, struct lease **lease);

/** Names the region whose mapping the lease protects. If the lease is breaking already, the keeper starts its work now. */
void mmgi_lease_attach(struct lease *lease, struct region *region);

/**
 * Ends a lease. Waits while the keeper reads from the descriptor of this lease; the keeper stops that at once. A lease that
 * was inherited from a parent process stays with the parent.
 */
void mmgi_lease_end(struct lease *lease);

/** Fills the members of mmg_stats about leases, snapshots and waiting writers. */
void mmgi_lease_count(mmg_stats *stats);

/** Counts an open that wanted a lease and was refused one. */
void mmgi_lease_count_refusal(void);

#endif
