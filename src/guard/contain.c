/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The size of the file tells the causes of a fault apart. A fault behind the end of the file means that the file was cut: the
 * code replaces the whole tail in one call, so a large file that was cut to nothing costs one signal. A fault inside the
 * file means that the device failed: the code replaces one page, or more where one page after another fails. It records the
 * loss before it replaces a page, so a reader that sees a zero of that page also finds the loss.
 *
 * The code blocks all signals while it holds a mapping. Otherwise a handler of the host that leaves by longjmp(3), or the
 * cancellation of the thread, could leave the mapping held for ever.
 */
#include "guard/contain.h"

#include <stdatomic.h>
#include <stdint.h>

#include "guard/adopted.h"
#include "guard/ask.h"
#include "guard/registry.h"
#include "guard/spares.h"
#include "os/file.h"
#include "os/map.h"
#include "os/map_query.h"
#include "os/signal.h"

/* The largest number of pages that one failure gives up, where one page after another fails. Each failure may have taken the
   device seconds. */
#define MAX_RUN_PAGES 256u
/* After so many failed pages in a row, a failure gives up more than the page that was touched. */
#define MIN_RUN_PAGES 8u

static _Atomic unsigned long long contained;

/* A mapping that is held, and the status of its file now. */
struct held {
    uint32_t number;
    struct registration r;
    struct file_status status;
    bool is_known; /* fstat(2) succeeded, and the descriptor still names the file */
};

static void
look_at_file(struct held *held)
{
    const struct registration *r = &held->r;

    if ((r->traits & MAPPING_IS_ADOPTED) != 0 && r->inode != 0) {
        /* The registration has the device as the list of mappings names it, which on some file systems fstat(2) does not. */
        held->is_known = mmgi_file_status(r->fd, &held->status) == 0 && held->status.inode == r->inode;
        return;
    }
    held->is_known = (r->inode == 0 ? mmgi_file_status(r->fd, &held->status)
                                    : mmgi_file_status_if(r->fd, r->device, r->inode, &held->status)) == 0;
}

/* Returns how many bytes at the start of the mapping the file still has. */
static uint64_t
present_bytes(const struct held *held)
{
    return held->status.size > held->r.file_offset ? held->status.size - held->r.file_offset : 0;
}

/* Returns the offset in the mapping of the first page that lies wholly behind the end of the file. */
static size_t
tail_start(const struct held *held)
{
    const struct registration *r = &held->r;
    uint64_t present = present_bytes(held);

    if (present < r->secured)
        present = r->secured;
    if (present >= r->length)
        return r->length;
    return ((size_t)present + r->page - 1) / r->page *
           r->page; /* fits: the result is at most the length of the mapping */
}

/* Records a loss between two offsets in the mapping, as far as it is inside the region. */
static void
lose(const struct held *held, uint64_t from, size_t to, mmg_status cause)
{
    size_t lead = held->r.lead;

    if (to > lead && to > from)
        mmgi_registry_lose(held->number, from > lead ? from - lead : 0, to - (from > lead ? from : lead), cause);
    if (to > from && mmgi_registry_has_adopted()) /* another region may have the same addresses */
        mmgi_registry_lose_everywhere(&(struct lost_range){.from = (uintptr_t)held->r.start + (size_t)from,
                                                           .to = (uintptr_t)held->r.start + to,
                                                           .inode = held->r.inode,
                                                           .offset = held->r.file_offset + from},
                                      held->number, cause);
}

/* Replaces pages of a mapping by zeros. `fault` is the offset of the page that was touched, or the length of the mapping
   where that page is not known. */
static enum replaced
replace(const struct held *held, size_t from, size_t to, size_t fault)
{
    unsigned char *start = held->r.start;
    /* A spare page cannot replace a huge page. */
    bool has_fault = fault < held->r.length && held->r.page == mmgi_map_page_size();
    unsigned char *touched = has_fault ? start + fault : NULL;

    if ((held->r.traits & MAPPING_IS_ADOPTED) != 0)
        return mmgi_adopted_replace(&held->r, from, to, fault);
    if (from == held->r.secured && to == held->r.length)
        return mmgi_spares_replace_at_last(start + from, to - from, touched, MAP_ACCESS_READ);
    return mmgi_spares_replace(start + from, to - from, touched, MAP_ACCESS_READ);
}

/*
 * Returns true when pages between two offsets must not be given up beside the one that failed, since they are memory of the
 * owner of an adopted mapping.
 */
static bool
has_copies(const struct held *held, size_t from, size_t to)
{
    return (held->r.traits & MAPPING_IS_ADOPTED) != 0 && mmgi_adopted_has_copies(&held->r, from, to);
}

/*
 * Replaces everything in a mapping that comes from the file. To replace a part of a mapping takes one or two mappings more,
 * which the process may not have. This takes none. All replaced bytes are recorded as lost.
 */
static enum replaced
contain_all(const struct held *held, mmg_status cause)
{
    if (has_copies(held, held->r.secured, held->r.length))
        return REPLACED_NOTHING;
    lose(held, held->r.secured, held->r.length, cause);
    return replace(held, held->r.secured, held->r.length, held->r.length);
}

static bool
contain_tail(const struct held *held, size_t fault)
{
    size_t from = tail_start(held);

    /* All bytes behind the end of the file are lost, also those on its last page, which the kernel shows as zeros. */
    lose(held, present_bytes(held), held->r.length, MMG_E_TRUNCATED);
    enum replaced done = replace(held, from, held->r.length, fault);
    if (done == REPLACED_NOTHING) {
        from = held->r.secured;
        done = contain_all(held, MMG_E_TRUNCATED);
    }
    if (done == REPLACED_ALL) {
        struct repairs *repairs = mmgi_registry_repairs(held->number);
        size_t known = atomic_load_explicit(&repairs->tail, memory_order_relaxed);
        while (from < known && !atomic_compare_exchange_weak(&repairs->tail, &known, from))
            continue;
    }
    return done != REPLACED_NOTHING;
}

static bool
contain_pages(const struct held *held, size_t from, size_t to, size_t fault, mmg_status cause)
{
    const size_t length = held->r.length;

    lose(held, from, to, cause);
    if (replace(held, from, to, fault) != REPLACED_NOTHING)
        return true;
    /* Replacing pages in the middle takes two more mappings, which the process may not have. Replacing all pages from
       there to the end takes one more. */
    if (has_copies(held, to, length))
        return false;
    lose(held, from, length, cause);
    return replace(held, from, length, length) != REPLACED_NOTHING || contain_all(held, cause) != REPLACED_NOTHING;
}

/*
 * Returns true when a page is behind the end of a file on a stacked file system. There the last page of the mapping may be
 * zeros that another thread has just put there, and no sign of a cut any more.
 */
static bool
is_behind_stacked_end(const struct held *held, size_t from)
{
    return (held->r.traits & MAPPING_IS_STACKED) != 0 && held->is_known && present_bytes(held) <= from;
}

/*
 * Returns the cause of a failed page inside the file. Perhaps the file was cut and has grown again before the guard looked;
 * then the page can be read again. But a page can also be read again after a short failure of the device. The times of the
 * file tell the two cases apart: in the first one the file was written to. Several threads may have touched pages before the
 * file grew again, so each page is tried. After a page that still cannot be read, the code tries no other page in the same
 * state of the file, since every try may take long.
 */
static mmg_status
cause_inside(const struct held *held, size_t from)
{
    struct repairs *repairs = mmgi_registry_repairs(held->number);

    if ((held->r.traits & MAPPING_IS_DEVICE) != 0 || !held->is_known)
        return MMG_E_IO;
    if (is_behind_stacked_end(held, from))
        return MMG_E_TRUNCATED;
    int64_t changed = held->status.changed.seconds * INT64_C(1000000000) + held->status.changed.nanoseconds;
    if (atomic_load_explicit(&repairs->judged, memory_order_relaxed) == changed)
        return MMG_E_IO;
    if (mmgi_file_probe(held->r.fd, held->r.file_offset + from) == 0)
        return MMG_E_TRUNCATED;
    atomic_store_explicit(&repairs->judged, changed, memory_order_relaxed);
    return MMG_E_IO;
}

/*
 * Extends a failed page to more pages, where a run of failed pages makes it likely that the next ones fail, too. It doubles
 * the run, in the direction of the run. After a short run the function changes nothing.
 */
static void
continue_run(const struct held *held, size_t *from, size_t *to)
{
    struct repairs *repairs = mmgi_registry_repairs(held->number);
    const size_t page = held->r.page, length = atomic_load_explicit(&repairs->run_length, memory_order_relaxed);
    bool is_after = length > 0 && *from == atomic_load_explicit(&repairs->run_end, memory_order_relaxed);
    bool is_before = length > 0 && *to == atomic_load_explicit(&repairs->run_start, memory_order_relaxed);
    size_t step = length < MIN_RUN_PAGES * page ? page : length;

    if (step > MAX_RUN_PAGES * page)
        step = MAX_RUN_PAGES * page;
    if (is_after)
        *to = step < held->r.length - *from ? *from + step : held->r.length;
    else if (is_before)
        *from = step < *to ? *to - step : 0;
    /* Relaxed: threads may mix their values. The run only decides how many pages the next failure gives up. */
    atomic_store_explicit(&repairs->run_start, *from, memory_order_relaxed);
    atomic_store_explicit(&repairs->run_end, *to, memory_order_relaxed);
    atomic_store_explicit(&repairs->run_length, *to - *from + (is_after || is_before ? length : 0),
                          memory_order_relaxed);
}

static bool
contain_inside(const struct held *held, size_t offset)
{
    size_t fault = offset / held->r.page * held->r.page, from = fault, to = from + held->r.page;
    mmg_status cause = cause_inside(held, from);

    /* The bytes behind the end of the file on its last page are lost as well. */
    if (is_behind_stacked_end(held, from))
        lose(held, present_bytes(held), from, MMG_E_TRUNCATED);
    if (cause == MMG_E_IO)
        continue_run(held, &from, &to);
    if (to - from > held->r.page && has_copies(held, from, to)) {
        from = fault;
        to = fault + held->r.page;
    }
    return contain_pages(held, from, to, fault, cause);
}

/* Records and replaces bytes that the hardware has lost. Their number is a power of two, and in the file as in memory they
   start at a multiple of that number. */
static bool
contain_poison(const struct held *held, size_t offset, size_t poisoned)
{
    const struct registration *r = &held->r;
    const uint64_t unit = poisoned > r->page ? poisoned : r->page;
    const uint64_t first = (r->file_offset + offset) / unit * unit;
    const size_t fault = offset / r->page * r->page;
    const uint64_t end = first + unit - r->file_offset;
    size_t from = first > r->file_offset ? (size_t)(first - r->file_offset) : 0;
    size_t to = end < r->length ? (size_t)end : r->length;

    if (has_copies(held, from, to)) {
        from = fault;
        to = fault + r->page;
        if (has_copies(held, from, to)) /* the hardware has lost memory of the owner, and no byte of the file */
            return false;
    }
    return contain_pages(held, from, to, fault, MMG_E_POISONED);
}

static void
count(const struct held *held)
{
    mmgi_registry_count_fault(held->number);
    atomic_fetch_add_explicit(&contained, 1, memory_order_relaxed); /* a counter */
}

/*
 * Returns true when the mapping has no pages behind the end of the file any more. On a stacked file system (overlay) the
 * descriptor may lead to another file than the mapping, so there the function looks at the last page that still comes from the
 * file: behind it are the zeros of an earlier cut.
 */
static bool
tail_is_gone(const struct held *held)
{
    if ((held->r.traits & MAPPING_IS_STACKED) == 0)
        return true;
    const size_t end = atomic_load_explicit(&mmgi_registry_repairs(held->number)->tail, memory_order_relaxed);
    return end == 0 || !mmgi_map_is_readable(held->r.start + end - 1);
}

static bool
contain_held(struct held *held, void *address, size_t poisoned)
{
    const size_t offset = (size_t)((unsigned char *)address - held->r.start);

    if (poisoned > 0)
        return contain_poison(held, offset, poisoned);
    look_at_file(held);
    if (held->is_known && (held->r.traits & MAPPING_IS_DEVICE) == 0 && offset >= tail_start(held) && tail_is_gone(held))
        return contain_tail(held, offset / held->r.page * held->r.page);
    return contain_inside(held, offset);
}

/* Returns what is mapped at the address of a fault. Only for an adopted mapping the kernel must be asked. */
static enum adopted_place
place_of(const struct held *held, const void *address)
{
    if ((held->r.traits & MAPPING_IS_ADOPTED) == 0)
        return ADOPTED_THERE;
    return mmgi_adopted_look(&held->r, (size_t)((const unsigned char *)address - held->r.start));
}

/* What became of a fault in a mapping. */
enum answer {
    ANSWER_DONE,     /* the instruction can run again */
    ANSWER_DENIED,   /* the fault is in this mapping, and cannot be contained */
    ANSWER_ELSEWHERE /* the mapping is adopted, and something else lies there by now */
};

/* Contains a fault in a mapping that is held, and ends the hold. */
static enum answer
answer(struct held *held, void *address, size_t poisoned)
{
    const enum adopted_place place = place_of(held, address);
    enum answer result = place == ADOPTED_THERE ? ANSWER_DENIED : ANSWER_ELSEWHERE;

    if (place == ADOPTED_THERE && contain_held(held, address, poisoned)) {
        count(held);
        result = ANSWER_DONE;
    } else if (poisoned == 0 && place_of(held, address) == ADOPTED_READABLE && /* perhaps only by now */
               mmgi_ask_may_retry((uintptr_t)address))
        result = ANSWER_DONE;
    mmgi_registry_let_go(held->number);
    return result;
}

bool
mmgi_contain_fault(void *address, size_t poisoned, bool at_end)
{
    const uint64_t before = mmgi_signal_block_all();
    struct held held;
    enum answer result = ANSWER_ELSEWHERE;
    uint32_t after = 0;

    held.number = mmgi_registry_hold(address, &held.r);
    const uint32_t first = held.number;
    while (held.number != 0 && (result = answer(&held, address, poisoned)) == ANSWER_ELSEWHERE) {
        /* What lies there now may be another mapping of the registry, such as a region that was opened since. */
        held.number = mmgi_registry_hold_after(after, first, address, &held.r);
        after = held.number;
    }
    const bool done = result == ANSWER_DONE;
    if (!done || !at_end)
        mmgi_signal_unblock(before);
    return done;
}

/* Replaces the tail of one mapping, unless that was done before. A recorded loss is no proof that it was done, since
   mmg_check() only records. */
static bool
contain_tail_of(uint32_t number)
{
    const uint64_t before = mmgi_signal_block_all();
    struct held held = {.number = number};
    bool done = false;

    if (mmgi_registry_hold_number(number, &held.r)) {
        look_at_file(&held);
        size_t from = held.is_known && (held.r.traits & MAPPING_IS_DEVICE) == 0 ? tail_start(&held) : held.r.length;
        done = from < held.r.length && from < atomic_load(&mmgi_registry_repairs(number)->tail) &&
               tail_is_gone(&held) && contain_tail(&held, held.r.length);
        if (done)
            count(&held);
        mmgi_registry_let_go(number);
    }
    mmgi_signal_unblock(before);
    return done;
}

bool
mmgi_contain_truncated(void)
{
    uint32_t limit = mmgi_registry_limit();
    bool found = false;

    for (uint32_t number = 1; number <= limit; number++)
        found |= contain_tail_of(number);
    return found;
}

unsigned long long
mmgi_contain_count(void)
{
    return atomic_load_explicit(&contained, memory_order_relaxed);
}
