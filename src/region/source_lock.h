/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The lock of a source. The options, the environment and the file system decide which lock to take. When the lock cannot be
 * taken, the options decide whether to wait, to go on without a lock, or to fail.
 */
#ifndef MMGI_REGION_SOURCE_LOCK_H
#define MMGI_REGION_SOURCE_LOCK_H

#include "region/source.h"

/**
 * Takes the lock of a source whose kind is known, and asks the status of the source again under the lock,
 * or says that the status is early. On success
 * `lock`, `lock_reason`, `lock_error` and `lock_share` of the source hold the result.
 */
mmg_status mmgi_source_lock(struct source *source);

/**
 * Returns true when the lock of a source that must be a regular file may be taken before its status is asked. That is so
 * when the options name a lock, and no regions share one. It saves a second call of fstat(2).
 */
bool mmgi_source_locks_first(const struct source *source);

/** Takes the lock of a source before its status is known. The caller must call mmgi_source_lock_count() once the status is
 * known. */
mmg_status mmgi_source_lock_first(struct source *source);

/** Counts a source that mmgi_source_lock_first() has locked among the regions of its file. */
void mmgi_source_lock_count(struct source *source);

/** Stores that there is no lock, as for a stream. Returns MMG_E_UNSUPPORTED when the options demand a lock. */
mmg_status mmgi_source_lock_none(struct source *source);

/** Gives the lock back, if there is one. The descriptor stays open. */
void mmgi_source_lock_drop(struct source *source);

#endif
