/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What signal handlers need to ask the kernel about mappings of other code: memory for the question, turns, and a limit
 * on running an instruction again. Everything here is async-signal-safe. The caller must block all signals first.
 */
#ifndef MMGI_GUARD_ASK_H
#define MMGI_GUARD_ASK_H

#include <stdatomic.h>
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
 * Takes a turn at something that only one thread at a time may do. Storing 0 in `*taken` ends the turn. A turn belongs
 * to a process, so a forked child can take a turn that a thread of its parent had. Returns false when the wait takes
 * too long.
 */
bool mmgi_ask_take_turn(_Atomic int *taken);

/**
 * Returns true when the instruction that touched an address may run again. Returns false when it has run again too
 * often.
 */
bool mmgi_ask_may_retry(uintptr_t address);

#endif
