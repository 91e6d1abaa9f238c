/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Proposes a place across a border of the page table, for mappings that are too long for the places of addr_hint.h. Any
 * thread may call any function. No function blocks or makes a system call.
 */
#ifndef MMGI_OS_LINUX_ADDR_BORDER_H
#define MMGI_OS_LINUX_ADDR_BORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "os/linux/addr_hint.h"

/** A mapping starts so far below the border: two pages. */
#define ADDR_BORDER_HEAD ((uintptr_t)8 << 10)
/** Where the pages are that keep the page table: so far below the border, and so far above. */
#define ADDR_BORDER_BELOW ((uintptr_t)128 << 10)
#define ADDR_BORDER_ABOVE (ADDR_HINT_TABLE_PAGE - 4096)
/** A longer mapping is worth an own part of the page table, at an address of addr_hint.h. */
#define ADDR_BORDER_UP_TO ((size_t)32 << 20)
/** The same, for a file that may have huge pages on a file system whose mappings the kernel does not align for them. */
#define ADDR_BORDER_UNALIGNED (2 * ADDR_HINT_TABLE_PAGE)
/** A border needs so much free address space around it. */
#define ADDR_BORDER_ROOM (2 * ADDR_HINT_TABLE_PAGE + ADDR_BORDER_UP_TO)

/** What mmgi_addr_border_take() has found. */
enum addr_border_answer {
    ADDR_BORDER_NONE,   /* no border is known, or another mapping is there: the kernel chooses */
    ADDR_BORDER_TAKEN,  /* the place belongs to the mapping until mmgi_addr_border_give() */
    ADDR_BORDER_WANTED, /* the caller should find a border and call mmgi_addr_border_set() */
};

/**
 * Takes the place for a mapping of `length` bytes, and stores it in `*hint`. A mapping from ADDR_HINT_TABLE_PAGE on has
 * another border than a shorter one.
 */
enum addr_border_answer mmgi_addr_border_take(size_t length, struct addr_hint *hint);

/** Remembers a border for mappings of about this length: a multiple of ADDR_HINT_TABLE_PAGE. */
void mmgi_addr_border_set(size_t length, uintptr_t border);

/** Returns true when the hint is a place at a border. */
static inline bool
addr_border_has(struct addr_hint hint)
{
    return hint.ceiling == UINTPTR_MAX;
}

/** Gives a place back, because the mapping failed, has ended, or got another address. */
void mmgi_addr_border_give(size_t length);

#endif
