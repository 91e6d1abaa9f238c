/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel puts a mapping at any free page. On a fault it also maps the pages around the faulting page, as far as
 * they are in the same 64 KiB block of addresses (fault_around_bytes, mm/memory.c). So a mapping that starts in the
 * middle of such a block takes one fault more. Processors that can join entries of the page table (64 KiB on arm64)
 * need the same alignment for that. A mapping across a multiple of 2 MiB may need two pages for its page table. So this
 * file proposes aligned addresses for mappings below 2 MiB. The kernel itself aligns larger mappings, for huge pages
 * (thp_get_unmapped_area).
 *
 * mmap(2) takes an address as a hint: if the address is in use, the kernel chooses another one. So a wrong hint costs
 * nothing. The hint is the address below the last mapping, or the address of a released mapping, as the kernel itself
 * would choose. One variable remembers that address, and it need not be right.
 */
#include "os/linux/addr_hint.h"

#include <stdatomic.h>

#define ALIGNMENT ((uintptr_t)64 << 10)
#define TABLE_PAGE ADDR_HINT_TABLE_PAGE
/*
 * A probe costs two system calls. The code makes one after 1, 2, 4, ... wrong guesses, and from this number on after
 * each multiple of it.
 */
#define MAX_PROBE_PERIOD 64u

/* Both values are guesses, so all accesses are relaxed. */
static _Atomic uintptr_t next_ceiling; /* the next mapping should end here or below; 0: not known */
static _Atomic uint32_t misses;

/* Returns the highest address below a ceiling at which a mapping is aligned and needs one page of the page table. */
static uintptr_t
carve(uintptr_t ceiling, size_t length, uintptr_t phase)
{
    uintptr_t start = (ceiling - length - phase) / ALIGNMENT * ALIGNMENT + phase;
    uintptr_t border = (start + length - 1) / TABLE_PAGE * TABLE_PAGE;

    return start < border ? (border - length - phase) / ALIGNMENT * ALIGNMENT + phase : start;
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
    return 2 * length + 2 * ALIGNMENT; /* room beside a multiple of 2 MiB, and for the alignment */
}

void
mmgi_addr_hint_learn(uintptr_t start, size_t room)
{
    atomic_store_explicit(&next_ceiling, start + room, memory_order_relaxed);
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
