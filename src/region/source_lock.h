/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The lock of a source: which lock is wanted depends on the options, the environment and the file system; one that is not
 * to be had is waited for, done without, or an error, as the options say.
 */
#ifndef MMGI_REGION_SOURCE_LOCK_H
#define MMGI_REGION_SOURCE_LOCK_H

#include "region/source.h"

/**
 * Takes the lock of a source whose kind is known, and asks the status of the source again under the lock. On success
 * `lock`, `lock_reason`, `lock_error` and `lock_share` of the source say what came of it.
 */
mmg_status mmgi_source_lock(struct source *source);

/**
 * Returns true when the lock of a source that must be a regular file may be taken before its status is asked: the options
 * name a lock, and the lock is not one to be shared. The status need not be asked a second time then.
 */
bool mmgi_source_locks_first(const struct source *source);

/** Takes the lock of a source of which nothing is known yet. mmgi_source_lock_count() is owed once the status is known. */
mmg_status mmgi_source_lock_first(struct source *source);

/** Counts a source that was locked first among those of its file. */
void mmgi_source_lock_count(struct source *source);

/** Says that there is no lock, as for a stream. Returns MMG_E_UNSUPPORTED when the options demand one. */
mmg_status mmgi_source_lock_none(struct source *source);

/** Gives the lock back, if there is one, while the descriptor stays open. */
void mmgi_source_lock_drop(struct source *source);

#endif
