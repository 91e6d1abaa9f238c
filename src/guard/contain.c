/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The size of the file tells the causes apart. A fault behind its end is a truncation, and the whole tail is replaced
 * at once, so that a large file cut to nothing costs one signal. A fault inside is the device's, and costs a page.
 * The loss is recorded before the page is replaced, so nobody can read a zero and be told that all is well.
 */
#include "guard/contain.h"

#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/map.h"
#include "guard/registry.h"

static _Atomic unsigned long long contained;

/* First page of a mapping that lies wholly behind the end of the file, as an offset in the mapping. */
static size_t
tail_start(const struct registration *r, uint64_t file_size)
{
    uint64_t present = file_size > r->file_offset ? file_size - r->file_offset : 0;
    if (present < r->secured)
        present = r->secured;
    if (present >= r->length)
        return r->length;
    return ((size_t)present + r->page - 1) / r->page * r->page; /* fits: less than the length of a mapping */
}

static bool
replace(const struct registration *r, size_t from, size_t to)
{
    return mmgi_map_replace_with_zeros(r->start + from, to - from) == 0;
}

/* Record a loss given in offsets of the mapping; only the part in the region is anybody's loss. */
static void
lose(uint32_t number, const struct registration *r, size_t from, size_t to, mmg_status cause)
{
    size_t lead = r->lead;

    if (to > lead)
        mmgi_registry_lose(number, from > lead ? from - lead : 0, to - (from > lead ? from : lead), cause);
}

static bool
contain_tail(uint32_t number, const struct registration *r, uint64_t file_size)
{
    size_t from = tail_start(r, file_size);

    /* Lost are all bytes behind the end of the file; those on its last page read as zeros without our doing. */
    size_t lost = file_size > r->file_offset ? (size_t)(file_size - r->file_offset) : 0;
    lose(number, r, lost, r->length, MMG_E_TRUNCATED);
    return replace(r, from, r->length);
}

static bool
contain_pages(uint32_t number, const struct registration *r, size_t from, size_t to, mmg_status cause)
{
    lose(number, r, from, to, cause);
    if (replace(r, from, to))
        return true;
    /* A hole costs two more mappings, and vm.max_map_count may be reached; the rest of the mapping costs one, the whole
       of it none. What is replaced is lost, and is recorded as such. */
    lose(number, r, from, r->length, cause);
    if (replace(r, from, r->length))
        return true;
    lose(number, r, 0, r->length, cause);
    return replace(r, 0, r->length);
}

static bool
contain_inside(uint32_t number, const struct registration *r, size_t offset, size_t poisoned)
{
    size_t unit = poisoned > r->page ? poisoned : r->page;
    size_t from = offset / unit * unit, to = from + unit;
    unsigned char probe;

    if (to > r->length)
        to = r->length;
    if (poisoned > 0)
        return contain_pages(number, r, from, to, MMG_E_POISONED);
    /* A byte that the kernel can read now was behind the end when it faulted: the file was cut, and has grown again. */
    bool readable = pread(r->fd, &probe, 1, (off_t)(r->file_offset + from)) == 1;
    return contain_pages(number, r, from, to, readable ? MMG_E_TRUNCATED : MMG_E_IO);
}

bool
mmgi_contain_fault(void *address, size_t poisoned)
{
    struct registration r;
    struct stat status;
    uint32_t number = mmgi_registry_hold(address, &r);

    if (number == 0)
        return false;
    size_t offset = (size_t)((unsigned char *)address - r.start);
    /* fstat(2) is async-signal-safe (signal-safety(7)). If it fails, so will every read: an error of the device. */
    bool sized = !r.is_device && poisoned == 0 && fstat(r.fd, &status) == 0;
    bool done = sized && offset >= tail_start(&r, (uint64_t)status.st_size)
                    ? contain_tail(number, &r, (uint64_t)status.st_size)
                    : contain_inside(number, &r, offset, poisoned);
    if (done) {
        mmgi_registry_count_fault(number);
        atomic_fetch_add_explicit(&contained, 1, memory_order_relaxed); /* a counter */
    }
    mmgi_registry_let_go(number);
    return done;
}

bool
mmgi_contain_truncated(void)
{
    uint32_t limit = mmgi_registry_limit();
    bool found = false;

    for (uint32_t number = 1; number <= limit; number++) {
        struct registration r;
        struct stat status;
        if (!mmgi_registry_hold_number(number, &r))
            continue;
        if (!r.is_device && fstat(r.fd, &status) == 0) {
            size_t from = tail_start(&r, (uint64_t)status.st_size);
            /* A tail that is recorded as lost from its first byte was replaced before. */
            uint64_t offset = from > r.lead ? from - r.lead : 0;
            if (from < r.length && registry_loss_within(number, offset, 1) == MMG_OK &&
                contain_tail(number, &r, (uint64_t)status.st_size)) {
                mmgi_registry_count_fault(number);
                atomic_fetch_add_explicit(&contained, 1, memory_order_relaxed);
                found = true;
            }
        }
        mmgi_registry_let_go(number);
    }
    return found;
}

unsigned long long
mmgi_contain_count(void)
{
    return atomic_load_explicit(&contained, memory_order_relaxed);
}
