/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel puts a mapping at any free page. On a fault it also maps the pages around the faulting page, as far as
 * they are in the same 64 KiB block of addresses (fault_around_bytes, mm/memory.c). So a mapping that starts in the
 * middle of such a block takes one fault more. Processors that can join entries of the page table (64 KiB on arm64)
 * need the same alignment for that. A mapping across a multiple of 2 MiB may need two pages for its page table. So this
 * file proposes aligned addresses for mappings below 2 MiB. The kernel itself aligns larger mappings, for huge pages
 * (thp_get_unmapped_area).
 *
 * When a mapping ends, and it was alone in its page of the page table, the kernel frees that page, too. The kernel then
 * has to flush the translations from the start of what the page covers up to the last page that was touched. Up to 33
 * pages it flushes one by one (tlb_single_page_flush_ceiling, arch/x86/mm/tlb.c). For the 16 pages of one fault that
 * takes longer than to flush all, even when the program then needs 128 translations again. So a mapping starts behind
 * the first 32 pages, and the first one in a page of the page table that other mappings do not share.
 *
 * mmap(2) takes an address as a hint: if the address is in use, the kernel chooses another one. So a wrong hint costs
 * nothing. The hint is the address below the last mapping, or the address of a released mapping, as the kernel itself
 * would choose. One variable remembers that address, and it need not be right.
 */
#include "os/linux/addr_hint.h"

#include <stdatomic.h>

#define ALIGNMENT ((uintptr_t)64 << 10)
#define TABLE_PAGE ADDR_HINT_TABLE_PAGE
#define FLUSH_ROOM ((uintptr_t)128 << 10)
/*
 * A probe costs two system calls. The code makes one after 1, 2, 4, ... wrong guesses, and from this number on after
 * each multiple of it.
 */
#define MAX_PROBE_PERIOD 64u

/* Both values are guesses, so all accesses are relaxed. */
static _Atomic uintptr_t next_ceiling; /* the next mapping should end here or below; 0: not known */
static _Atomic uint32_t misses;

static uintptr_t
align_below(uintptr_t ceiling, size_t length, uintptr_t phase)
{
    return (ceiling - length - phase) / ALIGNMENT * ALIGNMENT + phase;
}

/* Returns the highest address below a ceiling at which a mapping is aligned, needs one page of the page table, and leaves
   room before it in what that page covers, if it is short enough for that. */
static uintptr_t
carve(uintptr_t ceiling, size_t length, uintptr_t phase)
{
    const uintptr_t room = length <= TABLE_PAGE - FLUSH_ROOM - ALIGNMENT ? FLUSH_ROOM : 0;
    uintptr_t start = align_below(ceiling, length, phase);
    uintptr_t border = (start + length - 1) / TABLE_PAGE * TABLE_PAGE;

    return start < border + room ? align_below(border, length, phase) : start;
}

struct addr_hint
mmgi_addr_hint_propose(size_t length, uint64_t offset)
{
    const uintptr_t phase = (uintptr_t)(offset % ALIGNMENT);
    struct addr_hint hint = {0, atomic_load_explicit(&next_ceiling, memory_order_relaxed)};

    do {
        if (hint.ceiling < 2 * TABLE_PAGE || hint.ceiling - 2 * TABLE_PAGE < length)
            return (struct addr_hint){0, 0};
        hint.start = carve(hint.ceiling, length, phase);
        /* The exchange makes threads that run at the same time propose different addresses. */
    } while (!atomic_compare_exchange_weak_explicit(&next_ceiling, &hint.ceiling, hint.start, memory_order_relaxed,
                                                    memory_order_relaxed));
    return hint;
}

bool
mmgi_addr_hint_should_probe(void)
{
    uint32_t count = atomic_load_explicit(&misses, memory_order_relaxed);

    return count % MAX_PROBE_PERIOD == 0 || (count < MAX_PROBE_PERIOD && (count & (count - 1)) == 0);
}

size_t
mmgi_addr_hint_probe_size(size_t length)
{
    /* room beside a multiple of 2 MiB, for the alignment, and up to the next multiple below */
    return 2 * length + 2 * ALIGNMENT + FLUSH_ROOM + TABLE_PAGE;
}

void
mmgi_addr_hint_learn(uintptr_t start, size_t room)
{
    atomic_store_explicit(&next_ceiling, (start + room) / TABLE_PAGE * TABLE_PAGE, memory_order_relaxed);
}

void
mmgi_addr_hint_correct(struct addr_hint *hint, uintptr_t start)
{
    if (start == hint->start)
        return;
    *hint = (struct addr_hint){start, 0};
    atomic_fetch_add_explicit(&misses, 1, memory_order_relaxed);
    atomic_store_explicit(&next_ceiling, mmgi_addr_hint_should_probe() ? 0 : start, memory_order_relaxed);
}

/* The ceiling only rises here. So when mappings end in any order, the highest address is used again first. */
void
mmgi_addr_hint_return(struct addr_hint hint)
{
    uintptr_t ceiling = atomic_load_explicit(&next_ceiling, memory_order_relaxed);

    while (ceiling < hint.ceiling && !atomic_compare_exchange_weak_explicit(&next_ceiling, &ceiling, hint.ceiling,
                                                                            memory_order_relaxed, memory_order_relaxed))
        continue;
}
