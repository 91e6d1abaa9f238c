/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where in the address space a mapping is proposed to go, so that it lies there as it does in the file.
 */
#ifndef MMGI_OS_ADDR_HINT_H
#define MMGI_OS_ADDR_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A place for a mapping. */
struct addr_hint {
    uintptr_t start;   /* a hint for mmap(2); 0: none */
    uintptr_t ceiling; /* what it was carved from; 0: nothing that would be worth remembering */
};

/** Does a mapping of this length gain from a place that is proposed? */
bool mmgi_addr_hint_applies(size_t length);

/** Propose a place for `length` bytes from `offset` of a file, as far as is known where. Nothing is reserved. */
struct addr_hint mmgi_addr_hint_propose(size_t length, uint64_t offset);

/** Is it time to search for room, as no place could be proposed? If so: for how much, and what was found. */
bool mmgi_addr_hint_should_probe(void);
size_t mmgi_addr_hint_probe_size(size_t length);
void mmgi_addr_hint_learn(uintptr_t start, size_t room);

/** Tell where the kernel has put a mapping instead of at `*hint`, which becomes that. */
void mmgi_addr_hint_correct(struct addr_hint *hint, uintptr_t start);

/** Nothing is there (any more). */
void mmgi_addr_hint_return(struct addr_hint hint);

#endif
