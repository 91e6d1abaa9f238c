/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The ledger: a record of every loss in the process, whoever made the mapping. Written in the signal handler without a
 * lock and without memory of its own; read by anybody.
 */
#ifndef MMGI_GUARD_LEDGER_H
#define MMGI_GUARD_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mmapguard.h"

/** A loss, as the one who found it knows it. */
struct ledger_loss {
    mmg_status cause;
    uint32_t origin; /* MMG_ORIGIN_... */
    mmg_handle handle;
    uint64_t device, inode, offset, length, address;
    const char *path; /* NULL: not known */
    size_t path_size; /* bytes of the path that count, without a NUL */
};

/** Writes a record. Async-signal-safe. The caller blocks all signals, or is no signal handler. */
void mmgi_ledger_write(const struct ledger_loss *loss);

/**
 * Stores the record with a sequence number. Returns false when the record is gone. Where the record is being written, the
 * call sleeps for a moment, at most `*patience` times, and takes these off. Async-signal-safe.
 */
bool mmgi_ledger_read(uint64_t sequence, int *patience, mmg_loss *loss);

/** The sequence number of the newest record, and the oldest that may still be there. Async-signal-safe. */
uint64_t mmgi_ledger_newest(void);
uint64_t mmgi_ledger_oldest(void);

/** Adds the counters of the ledger to statistics. Async-signal-safe. */
void mmgi_ledger_count(mmg_stats *stats);

/** In the child of a fork: gives up the records that threads of the parent were writing. */
void mmgi_ledger_after_fork(void);

#endif
