/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Read leases: while one holds, the kernel keeps every writer waiting, until the bytes are secured elsewhere.
 */
#ifndef MMGI_STABLE_LEASE_H
#define MMGI_STABLE_LEASE_H

#include <stdint.h>

#include "region/region.h"

struct lease;

/**
 * Take a read lease on a descriptor that is the caller's alone. The thread that waits for breaks is started with the
 * first one.
 *
 * @param cap  most bytes to copy when the lease breaks
 * @return 0; EACCES (another's file), EAGAIN (somebody has it open for writing), EINVAL (leases are off, or the file
 *   system has none), ENOMEM, EAGAIN (no thread to be had), or another errno of fcntl(2)
 */
int mmgi_lease_begin(int fd, uint64_t cap, struct lease **lease);

/** The region whose mapping the lease protects. A break that came before is dealt with now. */
void mmgi_lease_attach(struct lease *lease, struct region *region);

/** End a lease, waiting for a break that is being dealt with to be left off. Before its descriptor is closed. */
void mmgi_lease_end(struct lease *lease);

#endif
