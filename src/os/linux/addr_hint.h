/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Proposes addresses for mappings, so that a mapping has the same alignment in memory as in the file. Any thread may
 * call any function. No function blocks or makes a system call.
 */
#ifndef MMGI_OS_LINUX_ADDR_HINT_H
#define MMGI_OS_LINUX_ADDR_HINT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/map.h"

/** One page of the page table covers so many bytes when pages have 4096 bytes, and more when they are larger. */
#define ADDR_HINT_TABLE_PAGE ((uintptr_t)2 << 20)

/** A mapping of one small page has nothing to align. It is better off in a page of the page table that is there already. */
#define ADDR_HINT_FROM 4097u
/** From here up to ADDR_HINT_TABLE_PAGE the kernel alone chooses; addr_hint.c says why. */
#define ADDR_HINT_SMALL_UP_TO ((size_t)256 << 10)
/** A longer mapping is rare, and address space has an end. */
#define ADDR_HINT_UP_TO ((uint64_t)64 << 30)

/**
 * Hints stay so far below the addresses that the kernel would choose. What the program maps later goes there, and would soon
 * share pages of the page table with our mappings.
 */
#define ADDR_HINT_APART ((size_t)64 << 20)

/** Returns true when a mapping of this length gains from a hint. */
static inline bool
addr_hint_applies(size_t length)
{
    /* Each difference is one comparison, since it is huge when the length is below the range. 32 bits have no address
       space to spare. */
    return UINTPTR_MAX > UINT32_MAX &&
           ((uint64_t)length - ADDR_HINT_FROM <= ADDR_HINT_SMALL_UP_TO - ADDR_HINT_FROM ||
            (uint64_t)length - ADDR_HINT_TABLE_PAGE <= ADDR_HINT_UP_TO - ADDR_HINT_TABLE_PAGE);
}

/**
 * Proposes an address for `length` bytes from `offset` of a file. The start is 0 when no address is known. The function
 * does not reserve the address.
 */
struct addr_hint mmgi_addr_hint_propose(size_t length, uint64_t offset);

/** Returns true when the next open should probe for free address space, since no hint could be given. */
bool mmgi_addr_hint_should_probe(size_t length);

/** Returns how much address space such a probe should ask for. */
size_t mmgi_addr_hint_probe_size(size_t length);

/** Remembers where a probe has found free address space. The next mappings of about this length go there. */
void mmgi_addr_hint_learn(size_t length, uintptr_t start, size_t room);

/** Corrects a hint when the kernel has put the mapping at another address. */
void mmgi_addr_hint_correct(size_t length, struct addr_hint *hint, uintptr_t start);

/** Remembers that the address of a hint is free, because the mapping failed or has ended. */
void mmgi_addr_hint_return(size_t length, struct addr_hint hint);

/** Makes the next small mapping go where the kernel puts it. */
void mmgi_addr_hint_forget(void);

#endif
