/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What becomes of a region when its lease breaks.
 */
#ifndef MMGI_STABLE_LEASE_BREAK_H
#define MMGI_STABLE_LEASE_BREAK_H

#include "region/region.h"

/** Nanoseconds that the kernel gives for securing, from the break on; INT64_MAX: all the time (proc(5)). */
int64_t mmgi_lease_break_time(void);

/**
 * Secure the bytes of a leased region elsewhere, in place, and give up the lease on region->fd. Never fails: what
 * cannot be secured falls back to CONTAINED and is reported as MMG_E_UNSTABLE.
 *
 * @param proceed  as in struct snapshot_order
 */
void mmgi_lease_break_secure(struct region *region, uint64_t cap, bool (*may_continue)(void *context), void *context);

/**
 * In a forked child: the lease is the parent's, and must not live on in a descriptor and a mapping for which nobody
 * answers, so both are exchanged for ones of the child's own. The region is CONTAINED from here on.
 */
void mmgi_lease_break_disown(struct region *region);

#endif
