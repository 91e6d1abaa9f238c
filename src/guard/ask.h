/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What handlers share that ask the kernel about mappings of others: room for the question, turns, and a limit on trying an
 * instruction again. Everything here is async-signal-safe. The caller has all signals blocked.
 */
#ifndef MMGI_GUARD_ASK_H
#define MMGI_GUARD_ASK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "os/map_query.h"

/** Takes room for a question, since a handler's stack may be small. Returns NULL when the wait for room has no end. */
struct map_scratch *mmgi_ask_begin(void);
void mmgi_ask_end(struct map_scratch *scratch);

/**
 * Takes a turn at something that one thread at a time may do; storing 0 ends the turn. A turn belongs to a process, so a
 * forked child takes over what its parent has left taken. Returns false when the wait has no end.
 */
bool mmgi_ask_take_turn(_Atomic int *taken);

/** Returns true when an instruction at an address that can be read may run again; false when it has done so too often. */
bool mmgi_ask_may_retry(uintptr_t address);

#endif
