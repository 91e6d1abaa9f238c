/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel puts a mapping at any free page. On a fault it also maps the pages around the faulting page, as far as
 * they are in the same 64 KiB block of addresses (fault_around_bytes, mm/memory.c). So a mapping that starts in the
 * middle of such a block takes one fault more. Processors that can join entries of the page table (64 KiB on arm64)
 * need the same alignment for that. A mapping across a multiple of 2 MiB may need two pages for its page table. So this
 * file proposes aligned addresses for mappings below 2 MiB. Mappings from 2 MiB on are aligned for huge pages, as the
 * kernel does itself (thp_get_unmapped_area).
 *
 * When a mapping ends, and it was alone in its page of the page table, the kernel frees that page, too. The kernel then
 * has to flush the translations from the start of what the page covers up to the last page that was touched. Up to 33
 * pages it flushes one by one (tlb_single_page_flush_ceiling, arch/x86/mm/tlb.c). For the 16 pages of one fault that
 * takes longer than to flush all, even when the program then needs 128 translations again. So a mapping starts behind
 * the first 32 pages, and the first one in a page of the page table that other mappings do not share. Mappings from
 * 2 MiB on cannot start there; for them the same is done with the next level of the page table, whose pages cover 1 GiB.
 *
 * mmap(2) takes an address as a hint: if the address is in use, the kernel chooses another one. So a wrong hint costs
 * nothing. The hint is the address below the last mapping, or the address of a released mapping, as the kernel itself
 * would choose. One variable for each kind of mapping remembers that address, and it need not be right.
 */
#include "os/linux/addr_hint.h"

#include <stdatomic.h>

/*
 * A probe costs two system calls. The code makes one after 1, 2, 4, ... wrong guesses, and from this number on after
 * each multiple of it.
 */
#define MAX_PROBE_PERIOD 64u

/* Where mappings of one kind go. The atomic members are guesses, so all accesses to them are relaxed. */
struct zone {
    const uintptr_t alignment; /* a mapping has this alignment in memory as in the file */
    const uintptr_t table;     /* a page of the page table covers so many bytes, and frees itself with the mapping */
    const uintptr_t room;      /* a mapping starts so far behind the start of what that page covers */
    _Atomic uintptr_t next_ceiling; /* the next mapping should end here or below; 0: not known */
    _Atomic uint32_t misses;
};

static struct zone small = {(uintptr_t)64 << 10, ADDR_HINT_TABLE_PAGE, (uintptr_t)128 << 10, 0, 0};
static struct zone large = {ADDR_HINT_TABLE_PAGE, (uintptr_t)1 << 30, (uintptr_t)512 << 20, 0, 0};

static struct zone *
zone_of(size_t length)
{
    return length < ADDR_HINT_TABLE_PAGE ? &small : &large;
}

static uintptr_t
align_below(const struct zone *zone, uintptr_t ceiling, size_t length, uintptr_t phase)
{
    return (ceiling - length - phase) / zone->alignment * zone->alignment + phase;
}

/*
 * Returns the highest address below a ceiling at which a mapping is aligned, needs one page of the page table, and leaves
 * room before it in what that page covers. A large mapping that is too long for that starts near the end of what a page
 * covers, so that little is searched for pages when it ends.
 */
static uintptr_t
carve(const struct zone *zone, uintptr_t ceiling, size_t length, uintptr_t phase)
{
    const bool fits = length <= zone->table - zone->room - zone->alignment;
    uintptr_t start = align_below(zone, ceiling, length, phase);
    uintptr_t border = (start + length - 1) / zone->table * zone->table;

    if (!fits && zone == &large)
        return start / zone->table * zone->table - zone->alignment + phase;
    return start < border + (fits ? zone->room : 0) ? align_below(zone, border, length, phase) : start;
}

struct addr_hint
mmgi_addr_hint_propose(size_t length, uint64_t offset)
{
    struct zone *zone = zone_of(length);
    const uintptr_t phase = (uintptr_t)(offset % zone->alignment);
    struct addr_hint hint = {0, atomic_load_explicit(&zone->next_ceiling, memory_order_relaxed)};

    do {
        if (hint.ceiling < 2 * zone->table || hint.ceiling - 2 * zone->table < length)
            return (struct addr_hint){0, 0};
        hint.start = carve(zone, hint.ceiling, length, phase);
        /* The exchange makes threads that run at the same time propose different addresses. */
    } while (!atomic_compare_exchange_weak_explicit(&zone->next_ceiling, &hint.ceiling, hint.start,
                                                    memory_order_relaxed, memory_order_relaxed));
    return hint;
}

static bool
is_time_to_probe(const struct zone *zone)
{
    uint32_t count = atomic_load_explicit(&zone->misses, memory_order_relaxed);

    return count % MAX_PROBE_PERIOD == 0 || (count < MAX_PROBE_PERIOD && (count & (count - 1)) == 0);
}

bool
mmgi_addr_hint_should_probe(size_t length)
{
    return is_time_to_probe(zone_of(length));
}

size_t
mmgi_addr_hint_probe_size(size_t length)
{
    const struct zone *zone = zone_of(length);

    /* room beside a border, for the alignment, and up to the next border below */
    return 2 * length + 2 * zone->alignment + 2 * zone->table;
}

void
mmgi_addr_hint_learn(size_t length, uintptr_t start, size_t room)
{
    struct zone *zone = zone_of(length);

    atomic_store_explicit(&zone->next_ceiling, (start + room) / zone->table * zone->table, memory_order_relaxed);
}

void
mmgi_addr_hint_correct(size_t length, struct addr_hint *hint, uintptr_t start)
{
    struct zone *zone = zone_of(length);

    if (start == hint->start)
        return;
    *hint = (struct addr_hint){start, 0};
    atomic_fetch_add_explicit(&zone->misses, 1, memory_order_relaxed);
    atomic_store_explicit(&zone->next_ceiling, is_time_to_probe(zone) ? 0 : start, memory_order_relaxed);
}

/* The ceiling only rises here. So when mappings end in any order, the highest address is used again first. */
void
mmgi_addr_hint_return(size_t length, struct addr_hint hint)
{
    struct zone *zone = zone_of(length);
    uintptr_t ceiling = atomic_load_explicit(&zone->next_ceiling, memory_order_relaxed);

    while (ceiling < hint.ceiling && !atomic_compare_exchange_weak_explicit(&zone->next_ceiling, &ceiling, hint.ceiling,
                                                                            memory_order_relaxed, memory_order_relaxed))
        continue;
}
