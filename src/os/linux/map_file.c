/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Maps a file at the address that suits its length, and unmaps it. As in map.c, a SAFETY comment above each call says why the
 * call is sound.
 */
#include "os/map.h"

#include <errno.h>
#include <sys/mman.h>

#include "os/linux/addr_border.h"
#include "os/linux/addr_hint.h"

/* Finds a hint for a mapping. If nothing is known, a probe finds out where there is room for it and its alignment. */
static struct addr_hint
hint_find(size_t length, uint64_t offset)
{
    struct addr_hint hint = mmgi_addr_hint_propose(length, offset);

    if (hint.start != 0 || !mmgi_addr_hint_should_probe(length))
        return hint;
    const size_t room = mmgi_addr_hint_probe_size(length), apart = room + ADDR_HINT_APART;
    /* SAFETY: only this thread knows these pages, and nothing is stored in them. Only their address is used. */
    void *start = mmap(NULL, apart, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return hint;
    /* SAFETY: these are the pages of the call above, to which nothing refers. */
    munmap(start, apart);
    mmgi_addr_hint_learn(length, (uintptr_t)start, room);
    return mmgi_addr_hint_propose(length, offset);
}

/* Makes an empty mapping of one page at a free address. Returns false when another mapping is there. */
static bool
keep_page(uintptr_t address, size_t page)
{
    /* SAFETY: without MAP_FIXED the address is only a hint. Nothing is stored in the page, and nothing refers to it. */
    void *kept = mmap((void *)address, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (kept == (void *)address)
        return true;
    if (kept != MAP_FAILED)
        /* SAFETY: this is the page of the call above. */
        munmap(kept, page);
    return false;
}

/* Keeps both pages of the page table beside a border. Returns false when that is not possible. */
static bool
border_keep(uintptr_t border, size_t page)
{
    if (!keep_page(border - ADDR_BORDER_BELOW, page))
        return false;
    if (keep_page(border + ADDR_BORDER_ABOVE, page))
        return true;
    /* SAFETY: this is the page that was made above. */
    munmap((void *)(border - ADDR_BORDER_BELOW), page);
    return false;
}

/* Finds a border of the page table with free addresses on both sides. */
static void
border_find(size_t length, size_t page)
{
    const size_t apart = ADDR_BORDER_ROOM + ADDR_HINT_APART;
    /* SAFETY: only this thread knows these pages, and nothing is stored in them. Only their address is used. */
    void *start = mmap(NULL, apart, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (start == MAP_FAILED)
        return;
    /* SAFETY: these are the pages of the call above, to which nothing refers. */
    munmap(start, apart);
    const uintptr_t border = ((uintptr_t)start / ADDR_HINT_TABLE_PAGE + 2) * ADDR_HINT_TABLE_PAGE;
    if (length >= ADDR_HINT_TABLE_PAGE || border_keep(border, page))
        mmgi_addr_border_set(length, border);
}

/*
 * Returns true when a mapping goes to a border. From 2 MiB on, a mapping of huge pages must be aligned for them: a program that
 * reads all bytes gains far more than another one loses that reads the first byte. Where the kernel does not align, the loss
 * counts up to ADDR_BORDER_UNALIGNED.
 */
static bool
goes_to_border(size_t length, unsigned how)
{
    if (UINTPTR_MAX == UINT32_MAX || length <= ADDR_HINT_SMALL_UP_TO || length > ADDR_BORDER_UP_TO)
        return false;
    return length < ADDR_HINT_TABLE_PAGE || (how & MAP_FILE_SMALL_PAGES) != 0 ||
           ((how & MAP_FILE_UNALIGNED) != 0 && length < ADDR_BORDER_UNALIGNED);
}

/* Returns the address at which a mapping should go, or a hint without an address. */
static struct addr_hint
hint_for(size_t length, uint64_t offset, unsigned how)
{
    struct addr_hint hint = {0, 0};

    if (!goes_to_border(length, how))
        return addr_hint_applies(length) ? hint_find(length, offset) : hint;
    const size_t page = mmgi_map_page_size();
    if (page == 4096 && mmgi_addr_border_take(length, &hint) == ADDR_BORDER_WANTED)
        border_find(length, page);
    return hint;
}

/* Remembers what has become of a hint. */
static void
hint_conclude(size_t length, unsigned how, struct addr_hint *hint, uintptr_t start)
{
    if (addr_border_has(*hint)) {
        mmgi_addr_border_give(length); /* something else is there, now */
        *hint = (struct addr_hint){0, 0};
    } else if (addr_hint_applies(length) && !goes_to_border(length, how)) {
        mmgi_addr_hint_correct(length, hint, start);
    }
}

static void
hint_return(size_t length, struct addr_hint hint)
{
    if (addr_border_has(hint))
        mmgi_addr_border_give(length);
    else
        mmgi_addr_hint_return(length, hint);
}

int
mmgi_map_file(int fd, uint64_t offset, size_t length, size_t page, unsigned how, struct mapping *mapping)
{
    struct addr_hint hint = hint_for(length, offset, how);
    int os_code = 0;

    for (int i = 0; i < 2; i++) {
        /*
         * SAFETY: without MAP_FIXED the address is only a hint, so the call cannot replace an existing mapping. The
         * pages are read-only, so no pointer into them can write. The caller owns the descriptor as long as the mapping
         * lives. When the file shrinks below the mapping, guard/contain.c contains the fault.
         */
        void *base = mmap((void *)hint.start, length, PROT_READ,
                          (i == 0 ? MAP_SHARED : MAP_PRIVATE) | (how & MAP_FILE_POPULATE ? MAP_POPULATE : 0), fd,
                          (off_t)offset);
        if (base != MAP_FAILED) {
            if (hint.start != (uintptr_t)base)
                hint_conclude(length, how, &hint, (uintptr_t)base);
            *mapping = (struct mapping){
                .base = base, .length = length, .page = page, .hint = hint, .is_private = i == 1};
            return 0;
        }
        os_code = errno;
        if (!mmgi_map_is_refusal(os_code))
            break;
    }
    hint_return(length, hint);
    return os_code;
}

void
mmgi_map_release(const struct mapping *mapping)
{
    /*
     * SAFETY: mmgi_map_file() made this mapping, and it is released only once. The region that owns it is destroyed
     * when its handle is closed and no pin is left, so no span points into the mapping.
     */
    munmap(mapping->base, mapping->length);
    hint_return(mapping->length, mapping->hint);
}

void
mmgi_map_pack_closely(void)
{
    mmgi_addr_hint_forget();
}
