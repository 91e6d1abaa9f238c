/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The owner of a foreign mapping does not know of the guard, and may change the mapping at any moment. So the guard
 * remembers nothing about foreign mappings: at each fault it asks the kernel what is mapped at the address now. If that
 * is not a file that the guard may take care of, the signal is passed on. If the page can be read by now, the
 * instruction runs again: another thread has replaced the page, the file has grown, or the owner has mapped something
 * else.
 *
 * The questions are asked one after another, and the owner or a writer may change things in between. So an answer that
 * makes no sense, such as memory that cannot be read, is not believed before the code has looked a few times.
 */
#include "guard/foreign.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "guard/ask.h"
#include "guard/foreign_file.h"
#include "guard/ledger.h"
#include "guard/process_guard.h"
#include "guard/registry.h"
#include "guard/spares.h"
#include "os/file.h"
#include "os/map.h"
#include "os/map_query.h"
#include "os/signal.h"

/* How often the code looks before it believes answers that do not fit together. */
#define MAX_LOOKS 6

static _Atomic unsigned long long contained;

enum verdict {
    VERDICT_PASS_ON,
    VERDICT_RETRY,
    VERDICT_LOOK_AGAIN,
    VERDICT_CONTAINED
};

/* ------------------------------------------------------------------------------------------------------ containment -- */

/* Records a loss in the ledger, and in each region that shows a part of the lost bytes. */
static void
tell(const struct foreign *f, uintptr_t from, uintptr_t to, mmg_status cause)
{
    static const char gone[] = " (deleted)";
    const char *path = f->scratch->path;
    size_t size = strlen(path);

    if (!f->is_named && size > sizeof gone - 1 && strcmp(path + size - (sizeof gone - 1), gone) == 0)
        size -= sizeof gone - 1;
    mmgi_ledger_write(&(struct ledger_loss){
        .cause = cause,
        .origin = MMG_ORIGIN_FOREIGN,
        .device = f->device,
        .inode = f->inode,
        .offset = f->area.offset + (from - f->area.start),
        .length = to - from,
        .address = from,
        .path = path,
        .path_size = size,
    });
    mmgi_registry_lose_everywhere(
        &(struct lost_range){
            .from = from, .to = to, .inode = f->area.inode, .offset = f->area.offset + (from - f->area.start)},
        0, cause);
}

/*
 * Returns true when the range from `from` to `to` still shows the same file, with the same access, at the same offset.
 */
static bool
is_unchanged(const struct foreign *f, uintptr_t from, uintptr_t to)
{
    const struct map_area *then = &f->area;
    struct map_area now;

    return mmgi_map_list_find(f->list, f->fault, NULL, f->scratch->text, &now) == 0 && now.start <= from &&
           now.end >= to && now.inode == then->inode && now.device == then->device && now.access == then->access &&
           now.is_shared == then->is_shared && now.offset - now.start == then->offset - then->start;
}

/*
 * Records the loss and replaces the pages, after a check that the mapping is unchanged. Only one thread at a time runs
 * this function, so a loss that several threads find at once is recorded once. The loss is recorded first, so that no
 * reader can see a zero without a record. The kernel is asked again last, so that nothing but one system call lies
 * between its answer and the replacement. A change that is under way could end between the two, so the function waits
 * for it before it asks.
 */
static enum verdict
replace_in_turn(const struct foreign *f, uintptr_t from, uintptr_t to, uintptr_t lost_from, mmg_status cause)
{
    unsigned char *start = (unsigned char *)from,
                  *fault = (unsigned char *)f->fault; /* addresses inside the mapping, from the kernel */

    if (f->area.is_from_list)
        mmgi_map_await_changes();
    if (!is_unchanged(f, from, to))
        return VERDICT_RETRY;
    tell(f, lost_from, to, cause);
    if (!f->area.is_from_list) {
        mmgi_map_await_changes();
        if (!is_unchanged(f, from, to))
            return VERDICT_RETRY;
    }
    return mmgi_spares_replace_at_last(start, to - from, fault, f->area.access) == REPLACED_NOTHING ? VERDICT_PASS_ON
                                                                                                    : VERDICT_CONTAINED;
}

/* Calls replace_in_turn() when no other thread of this process is in it. */
static enum verdict
replace(const struct foreign *f, uintptr_t from, uintptr_t to, uintptr_t lost_from, mmg_status cause)
{
    if (!mmgi_ask_begin_replacing())
        return VERDICT_RETRY; /* a thread without processor time has the turn */
    enum verdict verdict = replace_in_turn(f, from, to, lost_from, cause);
    mmgi_ask_end_replacing();
    return verdict;
}

/*
 * Contains a failure of the medium or of the memory. Replaces the unit of `unit` bytes of the file in which the fault
 * lies, as far as it is inside the area. Where the owner of a private mapping has written to pages of the unit, those are
 * not lost with the unit, so the function replaces only the page of the fault.
 */
static enum verdict
contain_pages(const struct foreign *f, size_t unit, mmg_status cause)
{
    const uint64_t at = f->area.offset + (f->fault - f->area.start), first = at / unit * unit;
    uintptr_t from = first > f->area.offset ? f->area.start + (uintptr_t)(first - f->area.offset) : f->area.start;
    const uint64_t rest = unit - (at - first); /* bytes of the unit from the fault on */
    uintptr_t to = f->area.end - f->fault > rest ? f->fault + (uintptr_t)rest : f->area.end;

    if (!f->area.is_shared && mmgi_map_has_copies(from, to, f->scratch->text)) {
        from = f->fault;
        to = f->fault + f->page;
        /* The page is memory of the owner, and no byte of the file; or another thread has replaced it by now. */
        if (mmgi_map_has_copies(from, to, f->scratch->text))
            return cause == MMG_E_POISONED && is_unchanged(f, from, to) ? VERDICT_PASS_ON : VERDICT_RETRY;
    }
    return replace(f, from, to, from, cause);
}

/* Finds the cause of the fault, and contains the fault if the guard may take care of the file. */
static enum verdict
judge(struct foreign *f, uint32_t flags, size_t poisoned)
{
    enum file_medium medium;
    uintptr_t end, tail;

    if (f->area.access == 0)
        return VERDICT_RETRY; /* the owner has forbidden every access since the fault, and shall see that */
    if (!mmgi_foreign_is_in_scope(f, flags) || !mmgi_foreign_look_at_file(f, &medium))
        return VERDICT_PASS_ON;
    /* Pages of a program or a library are not replaced. The code of a library is nearly always mapped beside its data,
       so only a file with the header of a program costs a look at all mappings. */
    bool is_program = f->is_named && f->file_size > 0 && mmgi_file_is_program(f->scratch->path);
    if (mmgi_map_is_loaded(f->list, &f->area, is_program, f->scratch->text))
        return VERDICT_PASS_ON;
    if (f->is_guess && !f->is_named)
        return VERDICT_PASS_ON; /* pages that are withheld on purpose would look like a tail that is lost */
    if (poisoned > 0)
        return contain_pages(f, poisoned > f->page ? poisoned : f->page, MMG_E_POISONED);
    if (mmgi_foreign_is_readable(f->fault))
        return VERDICT_RETRY;
    if (mmgi_foreign_find_end(f, &end, &tail))
        return replace(f, tail, f->area.end, end, MMG_E_TRUNCATED);
    if (f->is_guess)
        return VERDICT_PASS_ON;
    if (!f->is_last_look && (medium == FILE_MEDIUM_MEMORY || mmgi_foreign_file_has_changed(f)))
        return VERDICT_LOOK_AGAIN; /* the file may have been cut, or may have grown, between two questions */
    /* Memory does not fail. A signal for memory comes from a program that wants it (userfaultfd), or from a lack of
       huge pages. */
    return medium == FILE_MEDIUM_MEMORY ? VERDICT_PASS_ON : contain_pages(f, f->page, MMG_E_IO);
}

static enum verdict
look_and_contain(uintptr_t address, int list, size_t poisoned, uint32_t flags, struct map_scratch *scratch,
                 bool is_last_look)
{
    const size_t page = mmgi_map_page_size();
    struct foreign f = {
        .list = list, .scratch = scratch, .fault = address / page * page, .page = page, .is_last_look = is_last_look};
    int os_code = mmgi_map_list_find(list, address, scratch->path, scratch->text, &f.area);

    if (os_code != 0 && os_code != ENOENT)
        return VERDICT_PASS_ON;
    if (os_code == 0 && f.area.inode != 0)
        return judge(&f, flags, poisoned);
    /* Nothing or memory is mapped here now, so the mapping that had the fault is gone. Its owner has removed it, or
       this handler has replaced the page in another thread. Running the instruction again shows which. */
    if (poisoned > 0)
        return VERDICT_PASS_ON;
    if (os_code == ENOENT || mmgi_foreign_is_readable(f.fault))
        return VERDICT_RETRY;
    /* The owner may have mapped another file at this very moment. */
    return is_last_look ? VERDICT_PASS_ON : VERDICT_LOOK_AGAIN;
}

/* Looks until the answers fit together. The caller has blocked all signals. */
static enum verdict
look_until_sure(uintptr_t address, size_t poisoned, uint32_t flags)
{
    struct map_scratch *scratch = mmgi_ask_begin();
    enum verdict verdict = VERDICT_PASS_ON;
    int list;

    if (scratch == NULL) /* threads without processor time, or that wait for a file, have this room; try another one */
        return poisoned > 0 ? VERDICT_PASS_ON : VERDICT_RETRY;
    if (mmgi_map_list_open(&list) == 0) {
        for (int i = 1; i <= MAX_LOOKS && (i == 1 || verdict == VERDICT_LOOK_AGAIN); i++)
            verdict = look_and_contain(address, list, poisoned, flags, scratch, i == MAX_LOOKS);
        mmgi_map_list_close(list);
    }
    mmgi_ask_end(scratch);
    return verdict;
}

bool
mmgi_foreign_contain(void *address, size_t poisoned)
{
    uint32_t flags;

    if (!mmgi_process_guard_is_on(&flags))
        return false;
    const uint64_t before = mmgi_signal_block_all();
    const enum verdict verdict = look_until_sure((uintptr_t)address, poisoned, flags);
    mmgi_signal_unblock(before);
    if (verdict == VERDICT_RETRY)
        return mmgi_ask_may_retry((uintptr_t)address);
    if (verdict == VERDICT_CONTAINED)
        atomic_fetch_add_explicit(&contained, 1, memory_order_relaxed); /* a counter */
    return verdict == VERDICT_CONTAINED;
}

/* Returns true when the last page of an area should be readable, and is not. */
static bool
has_lost_its_end(const struct map_area *area)
{
    return (area->access & (MAP_ACCESS_READ | MAP_ACCESS_EXECUTE)) == MAP_ACCESS_READ &&
           mmgi_foreign_is_missing(area->end - 1);
}

/* Contains the lost tail of each area in the list. Returns how many tails were contained. */
static unsigned
contain_tails(int list, uint32_t flags, struct map_scratch *scratch)
{
    const size_t page = mmgi_map_page_size();
    struct foreign f = {.list = list, .scratch = scratch, .page = page, .is_guess = true};
    unsigned found = 0;

    while (mmgi_map_list_next(list, f.area.end, has_lost_its_end, scratch->path, scratch->text, &f.area) == 0) {
        f.fault = f.area.end - page;
        f.is_named = false;
        found += judge(&f, flags, 0) == VERDICT_CONTAINED;
    }
    return found;
}

bool
mmgi_foreign_contain_truncated(void)
{
    uint32_t flags;
    unsigned found = 0;
    int list;

    if (!mmgi_process_guard_is_on(&flags))
        return false;
    const uint64_t before = mmgi_signal_block_all();
    struct map_scratch *scratch = mmgi_ask_begin();
    if (scratch != NULL && mmgi_map_list_open(&list) == 0) {
        found = contain_tails(list, flags, scratch);
        mmgi_map_list_close(list);
    }
    if (scratch != NULL)
        mmgi_ask_end(scratch);
    mmgi_signal_unblock(before);
    atomic_fetch_add_explicit(&contained, found > 0, memory_order_relaxed); /* a counter of signals */
    return found > 0;
}

unsigned long long
mmgi_foreign_count(void)
{
    return atomic_load_explicit(&contained, memory_order_relaxed);
}
