/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A fault maps up to 16 pages, but only as far as one page of the page table covers them (do_fault_around, mm/memory.c).
 * When the mapping ends, each of these pages is taken out of the page table, and its translation is flushed. Most programs
 * read either the start of a file or all of it. So a mapping starts two pages below such a border: a program that reads
 * the start pays for two pages, and a program that reads all bytes has as many faults as anywhere else.
 *
 * For a mapping below 2 MiB, both pages of the page table would be made and freed with each mapping, which takes longer than
 * a fault. The kernel frees such a page only when no mapping is left in what it covers (free_pgtables, mm/memory.c). So two
 * empty mappings of one page stay beside the place, and keep both. A mapping from 2 MiB on needs pages of its own anywhere.
 *
 * There is one place for mappings below 2 MiB, and one for longer ones. A place serves one mapping at a time, which suffices
 * for programs that go from file to file. While it is taken, the kernel chooses for the others. A program that maps few files
 * does not pay for the place.
 */
#include "os/linux/addr_border.h"

#include <stdatomic.h>

/* The library finds a border for the mapping with this number, and again after each multiple if that failed. */
#define FIRST_TRY 4u
#define TRY_PERIOD 64u

/* The place at one border. All accesses are relaxed: only the address is handed over, and the kernel guards the rest. */
struct place {
    _Atomic uintptr_t border; /* 0: not known */
    _Atomic uint32_t taken;
    _Atomic uint32_t count; /* mappings that would have gone there while no border was known */
};

static struct place short_place, long_place;

static struct place *
place_of(size_t length)
{
    return length < ADDR_HINT_TABLE_PAGE ? &short_place : &long_place;
}

enum addr_border_answer
mmgi_addr_border_take(size_t length, struct addr_hint *hint)
{
    struct place *place = place_of(length);
    const uintptr_t border = atomic_load_explicit(&place->border, memory_order_relaxed);

    if (border == 0) {
        const uint32_t count = atomic_fetch_add_explicit(&place->count, 1, memory_order_relaxed) + 1;
        return count == FIRST_TRY || count % TRY_PERIOD == 0 ? ADDR_BORDER_WANTED : ADDR_BORDER_NONE;
    }
    if (atomic_load_explicit(&place->taken, memory_order_relaxed) != 0 ||
        atomic_exchange_explicit(&place->taken, 1, memory_order_relaxed) != 0)
        return ADDR_BORDER_NONE;
    *hint = (struct addr_hint){border - ADDR_BORDER_HEAD, UINTPTR_MAX};
    return ADDR_BORDER_TAKEN;
}

void
mmgi_addr_border_set(size_t length, uintptr_t border)
{
    atomic_store_explicit(&place_of(length)->border, border, memory_order_relaxed);
}

void
mmgi_addr_border_give(size_t length)
{
    atomic_store_explicit(&place_of(length)->taken, 0, memory_order_relaxed);
}
