/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The lock of a source: taken in one attempt before the source is asked anything, and settled once its kind is known.
 */
#ifndef MMGI_REGION_SOURCE_LOCK_H
#define MMGI_REGION_SOURCE_LOCK_H

#include "region/source.h"

/** Tries for the lock that the options ask for. Returns 0, also when no lock is wanted, or the errno of the attempt. */
int mmgi_source_lock_try(struct source *source);

/**
 * Settles the lock of a source that is classified: a stream loses its lock; a lock that was not to be had is waited for,
 * done without, or an error, as the options say. `os_code` is what mmgi_source_lock_try() returned.
 */
mmg_status mmgi_source_lock_finish(struct source *source, int os_code);

/** Gives the lock back, if there is one, while the descriptor stays open. */
void mmgi_source_lock_drop(struct source *source);

#endif
