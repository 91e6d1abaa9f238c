/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The bytes of a leased mapping are as they were while the lease is known to be in force. Each question about losses
 * compares the clock with the moment up to which that is known; afterwards, and in a forked child, it asks the voucher
 * first, who vouches longer or records a loss.
 */
#ifndef MMGI_GUARD_VOUCH_H
#define MMGI_GUARD_VOUCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** Of one mapping; part of its entry in the registry. */
struct vouch {
    _Atomic uint32_t process; /* the process that was vouched for, as fork_mark() */
    _Atomic int64_t until;    /* a moment of mmgi_clock_tick_ns(), or one of the two below */
};

/** The lease is being given up: a question waits for the outcome. */
#define VOUCHED_HANDING_OVER INT64_C(-1)
/** Nobody needs to vouch. */
#define VOUCHED_FOR_EVER INT64_C(0)

/** Names the voucher, who is called with the number and the descriptor of a mapping. He must be async-signal-safe. */
void mmgi_vouch_set_voucher(void (*voucher)(uint32_t number, int fd));

/** Vouches for a mapping until a moment, or as the two constants say. */
void mmgi_vouch(uint32_t number, int64_t until_ns);

/** Vouches until a later moment, unless that has become needless. Async-signal-safe. */
void mmgi_vouch_longer(uint32_t number, int64_t until_ns);

/** Says that nobody needs to vouch from now on. Returns false when that was said before. Async-signal-safe. */
bool mmgi_vouch_no_more(uint32_t number);

/** Returns up to when a mapping is vouched for, and whether that is this process's own doing. Async-signal-safe. */
int64_t mmgi_vouched(uint32_t number, bool *is_own);

/** Asks the voucher, unless it is known that nothing can have changed until now. Async-signal-safe. For the registry. */
void mmgi_vouch_ask(struct vouch *vouch, uint32_t number, const _Atomic int *fd);

#endif
