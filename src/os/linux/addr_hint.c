/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel puts a mapping at any free page. On a fault it also maps the pages around the faulting page, as far as
 * they are in the same 64 KiB block of addresses (fault_around_bytes, mm/memory.c). So a mapping that starts in the
 * middle of such a block takes one fault more. Processors that can join entries of the page table (64 KiB on arm64)
 * need the same alignment for that. A mapping across a multiple of 2 MiB may need two pages for its page table. So this
 * file proposes aligned addresses for mappings of at most 256 KiB. Mappings from 2 MiB on are aligned for huge pages, as
 * the kernel does itself (thp_get_unmapped_area).
 *
 * The kernel alone chooses for the lengths between. Linux 6.18 maps a whole piece of the page cache on the first fault,
 * if the piece lies within one page of the page table. For a piece of 1 MiB that takes twice as long as to map 64 KiB,
 * and half as long as 16 faults. A program that reads one byte would lose by an aligned address, and a program that
 * reads all bytes would win. Nobody knows which one it is, so it gets what any other mapping gets. A piece of 256 KiB
 * is mapped at the price of 64 KiB.
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

/* Where mappings of one kind go. The members are guesses, so all accesses to them are relaxed. */
struct zone {
    _Atomic uintptr_t next_ceiling; /* the next mapping should end here or below; 0: not known */
    _Atomic uint32_t misses;
};

static struct zone small_zone, large_zone;

static struct zone *
zone_of(size_t length)
{
    return length < ADDR_HINT_TABLE_PAGE ? &small_zone : &large_zone;
}

/* How mappings of one kind are placed. */
struct rule {
    uintptr_t alignment; /* a mapping has this alignment in memory as in the file */
    uintptr_t table;     /* a page of the page table covers so many bytes, and is freed with the last mapping in it */
    uintptr_t room;      /* a mapping starts so far behind the start of what that page covers */
};

static inline struct rule
rule_of(size_t length)
{
    const struct rule small = {(uintptr_t)64 << 10, ADDR_HINT_TABLE_PAGE, (uintptr_t)128 << 10};
    const struct rule large = {ADDR_HINT_TABLE_PAGE, (uintptr_t)1 << 30, (uintptr_t)512 << 20};

    return length < ADDR_HINT_TABLE_PAGE ? small : large;
}

static inline uintptr_t
align_below(const struct rule *rule, uintptr_t ceiling, size_t length, uintptr_t phase)
{
    return (ceiling - length - phase) / rule->alignment * rule->alignment + phase;
}

/* Returns the highest address below a ceiling at which a mapping is aligned, needs one page of the page table, and leaves
   room before it in what that page covers. */
static inline uintptr_t
carve(const struct rule *rule, uintptr_t ceiling, size_t length, uintptr_t phase)
{
    const uintptr_t room = length <= rule->table - rule->room - rule->alignment ? rule->room : 0;
    uintptr_t start = align_below(rule, ceiling, length, phase);
    uintptr_t border = (start + length - 1) / rule->table * rule->table;

    return start < border + room ? align_below(rule, border, length, phase) : start;
}

/*
 * Does the same for a mapping that needs more than one page of the page table. It starts near the end of what the first
 * of these pages covers, so that little is searched when the mapping ends.
 */
static inline uintptr_t
carve_long(const struct rule *rule, uintptr_t ceiling, size_t length, uintptr_t phase)
{
    return align_below(rule, ceiling, length, phase) / rule->table * rule->table - rule->alignment + phase;
}

/* The rule is known to the compiler at both calls, so that nothing is left of the difference. */
static inline __attribute__((always_inline)) struct addr_hint
propose(struct zone *zone, struct rule rule, size_t length, uint64_t offset, bool is_long)
{
    const uintptr_t phase = (uintptr_t)(offset % rule.alignment);
    struct addr_hint hint = {0, atomic_load_explicit(&zone->next_ceiling, memory_order_relaxed)};

    do {
        if (hint.ceiling < 2 * rule.table || hint.ceiling - 2 * rule.table < length)
            return (struct addr_hint){0, 0};
        hint.start = is_long ? carve_long(&rule, hint.ceiling, length, phase)
                             : carve(&rule, hint.ceiling, length, phase);
        /* The exchange makes threads that run at the same time propose different addresses. */
    } while (!atomic_compare_exchange_weak_explicit(&zone->next_ceiling, &hint.ceiling, hint.start,
                                                    memory_order_relaxed, memory_order_relaxed));
    return hint;
}

struct addr_hint
mmgi_addr_hint_propose(size_t length, uint64_t offset)
{
    const struct rule rule = rule_of(length);

    if (length < ADDR_HINT_TABLE_PAGE)
        return propose(&small_zone, rule, length, offset, false);
    return propose(&large_zone, rule, length, offset, length > rule.table - rule.room - rule.alignment);
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
    const struct rule rule = rule_of(length);

    return 2 * (length + rule.alignment + rule.table); /* room beside a border, and up to the next border below */
}

void
mmgi_addr_hint_learn(size_t length, uintptr_t start, size_t room)
{
    const uintptr_t table = rule_of(length).table;

    atomic_store_explicit(&zone_of(length)->next_ceiling, (start + room) / table * table, memory_order_relaxed);
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

/* Without a ceiling there is no hint, and after this number of misses there is no probe. */
void
mmgi_addr_hint_forget(void)
{
    atomic_store_explicit(&small_zone.next_ceiling, 0, memory_order_relaxed);
    atomic_store_explicit(&small_zone.misses, 3, memory_order_relaxed);
}
