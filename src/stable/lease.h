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
 * Takes a read lease on the descriptor of a source, which must be the source's alone. The first lease starts the keeper
 * thread. Blocks only for another thread that does the same.
 *
 * @return 0; EACCES (another's file), EAGAIN (somebody has it open for writing, or there is no thread to be had), EINVAL
 *   (leases are switched off, or the file system has none), EDQUOT (`max_leases` are held), ENOMEM, or another errno
 */
int mmgi_lease_begin(const struct source *source, struct lease **lease);

/** Names the region whose mapping the lease protects. A break that came before is dealt with now. */
void mmgi_lease_attach(struct lease *lease, struct region *region);

/**
 * Ends a lease. Blocks while the keeper reads from the descriptor of this lease, which it leaves off at once. A lease that
 * was inherited from a parent process stays the parent's.
 */
void mmgi_lease_end(struct lease *lease);

/** Fills the members of mmg_stats that tell of leases, snapshots and waiting writers. */
void mmgi_lease_count(mmg_stats *stats);

/** Counts an open that wanted a lease and was refused one. */
void mmgi_lease_count_refusal(void);

#endif
