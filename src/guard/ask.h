/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What signal handlers and the thread of the leases need to ask the kernel about mappings of other code: memory for the
 * question, turns, and a limit on running an instruction again. Everything here is async-signal-safe. The caller must block
 * all signals first.
 */
#ifndef MMGI_GUARD_ASK_H
#define MMGI_GUARD_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "os/map_query.h"

/**
 * Takes memory for a question, since the stack of a handler may be small. Waits for other handlers when all memory is
 * in use. Returns NULL when the wait takes too long.
 */
struct map_scratch *mmgi_ask_begin(void);
void mmgi_ask_end(struct map_scratch *scratch);

/**
 * Takes the turn to replace pages of a mapping that others made: only one thread of a process at a time has it. A turn
 * belongs to a process, so a forked child can take a turn that a thread of its parent had. Returns false when the wait
 * takes too long. While a thread has the turn, the gate is closed, if there is one.
 */
bool mmgi_ask_begin_replacing(void);
void mmgi_ask_end_replacing(void);

/** Ends all turns, in the child of a fork, where no handler runs. Its process may have the same number as its parent. */
void mmgi_ask_after_fork(void);

/**
 * Two functions of code that stands in front of the calls that change mappings, as the launcher does. While the gate is
 * closed, no other thread changes a mapping.
 */
struct change_gate {
    void (*close)(void); /* makes later calls wait, and waits until earlier calls have ended */
    void (*open)(void);  /* lets the later calls go on */
};

/** Sets the gate, for the rest of the process. Both functions must be async-signal-safe. */
void mmgi_ask_set_gate(const struct change_gate *gate);

/**
 * Returns true when the instruction that touched an address may run again. Returns false when it has run again too
 * often.
 */
bool mmgi_ask_may_retry(uintptr_t address);

#endif
