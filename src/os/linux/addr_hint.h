/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Address hints: where in the address space a mapping is proposed to go, so that it lies there as it lies in the file.
 * All functions work from every thread, none blocks, and none makes a system call.
 */
#ifndef MMGI_OS_LINUX_ADDR_HINT_H
#define MMGI_OS_LINUX_ADDR_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/map.h"

/** What a page of the page table covers where pages have 4096 bytes; more where they are larger. */
#define ADDR_HINT_TABLE_PAGE ((uintptr_t)2 << 20)

/** Returns true when a mapping of this length gains from a hint. */
static inline bool
addr_hint_applies(size_t length)
{
    return UINTPTR_MAX > UINT32_MAX && length < ADDR_HINT_TABLE_PAGE; /* 32 bits have no address space to spare */
}

/**
 * Proposes a place for `length` bytes from `offset` of a file. The start is 0 when nothing is known. Reserves nothing.
 */
struct addr_hint mmgi_addr_hint_propose(size_t length, uint64_t offset);

/** Returns true when the next open should probe for free address space, since no hint could be given. */
bool mmgi_addr_hint_should_probe(void);

/** Returns how much address space such a probe should ask for. */
size_t mmgi_addr_hint_probe_size(size_t length);

/** Tells where a probe has found free address space. */
void mmgi_addr_hint_learn(uintptr_t start, size_t room);

/** Tells where the kernel has put a mapping. If that is not where the hint said, the hint is corrected. */
void mmgi_addr_hint_correct(struct addr_hint *hint, uintptr_t start);

/** Tells that the place of a hint is free, because the mapping failed or has ended. */
void mmgi_addr_hint_return(struct addr_hint hint);

#endif
