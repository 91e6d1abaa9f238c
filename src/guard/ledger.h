/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The ledger has a record of every loss in the process, whoever made the mapping. The signal handler writes records
 * without a lock and without allocation. Any thread may read them.
 */
#ifndef MMGI_GUARD_LEDGER_H
#define MMGI_GUARD_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmapguard.h"

/** What the finder of a loss tells the ledger. */
struct ledger_loss {
    mmg_status cause;
    uint32_t origin; /* MMG_ORIGIN_... */
    mmg_handle handle;
    uint64_t device, inode, offset, length, address;
    const char *path; /* NULL when it is not known */
    size_t path_size; /* length of the path; it needs no NUL at its end */
};

/** Writes a record. Async-signal-safe. A signal handler must block all signals before it calls this function. */
void mmgi_ledger_write(const struct ledger_loss *loss);

/**
 * Stores the record with a sequence number in `*loss`. Returns false when the record was overwritten or given up. While
 * a writer is at work on the record, the call sleeps for a moment, at most `*patience` times, and decreases `*patience`
 * each time. Async-signal-safe.
 */
bool mmgi_ledger_read(uint64_t sequence, int *patience, mmg_loss *loss);

/**
 * Return the sequence number of the newest record, and that of the oldest record that may still exist.
 * Async-signal-safe.
 */
uint64_t mmgi_ledger_newest(void);
uint64_t mmgi_ledger_oldest(void);

/** Stores the counters of the ledger in statistics. Async-signal-safe. */
void mmgi_ledger_count(mmg_stats *stats);

/** Gives up the records that threads of the parent were writing. The child of a fork calls this function. */
void mmgi_ledger_after_fork(void);

#endif
