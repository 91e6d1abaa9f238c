/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * While a lease is in force, the bytes of its mapping do not change. The lease room vouches for a mapping up to a moment. Each
 * question about losses compares the clock with that moment. After that moment, and in a forked child, the question first
 * calls the voucher, which vouches for longer or records a loss.
 */
#ifndef MMGI_GUARD_VOUCH_H
#define MMGI_GUARD_VOUCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/** What is known about one mapping. It is a part of its entry in the registry. */
struct vouch {
    _Atomic uint32_t process; /* the fork_mark() of the process for which the moment holds */
    _Atomic int64_t until;    /* a moment of mmgi_clock_tick_ns(), or one of the two constants below */
};

/** The lease is being given up, and questions wait for the result. */
#define VOUCHED_HANDING_OVER INT64_C(-1)
/** The mapping needs no voucher. */
#define VOUCHED_FOR_EVER INT64_C(0)

/** Sets the voucher, which is called with the number and the descriptor of a mapping. It must be async-signal-safe. */
void mmgi_vouch_set_voucher(void (*voucher)(uint32_t number, int fd));

/** Vouches for a mapping up to a moment. One of the two constants may be given in place of a moment. */
void mmgi_vouch(uint32_t number, int64_t until_ns);

/** Vouches up to a later moment, unless no voucher is needed any more. Async-signal-safe. */
void mmgi_vouch_longer(uint32_t number, int64_t until_ns);

/** Says that no voucher is needed from now on. Returns false when that was so before. Async-signal-safe. */
bool mmgi_vouch_no_more(uint32_t number);

/** Returns the moment up to which a mapping is vouched for. `*is_own` becomes true when this process, and not its parent, has
 * vouched. Async-signal-safe. */
int64_t mmgi_vouched(uint32_t number, bool *is_own);

/** Calls the voucher, unless the moment is still to come, so that nothing can have changed. The registry calls this function.
 * Async-signal-safe. */
void mmgi_vouch_ask(struct vouch *vouch, uint32_t number, const _Atomic int *fd);

#endif
