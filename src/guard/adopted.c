/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * For the kernel an adopted mapping can be several mappings, after mprotect(2) or madvise(2) on a part of it, or after
 * a page in its middle was replaced. The code looks at each part, and replaces it if it still shows the file at the
 * right offset.
 */
#include "guard/adopted.h"

#include "guard/ask.h"
#include "os/map.h"
#include "os/map_query.h"

/* One fault looks at so many parts. Touching a later part causes another fault. */
#define MAX_PARTS 64

/* Returns true when an area shows at `address` what the mapping showed there when it was adopted. */
static bool
is_same(const struct registration *r, const struct map_area *area, uintptr_t address)
{
    const uint64_t offset = r->file_offset + (address - (uintptr_t)r->start);

    /* The registration has no inode when the file of the region was replaced by a snapshot, which no other process can
       open. */
    if (area->inode == 0 || (r->inode != 0 && (area->inode != r->inode || area->device != r->device)))
        return false;
    return area->offset + (address - area->start) == offset;
}

enum adopted_place
mmgi_adopted_look(const struct registration *r, size_t offset)
{
    const uintptr_t address = (uintptr_t)r->start + offset;
    struct map_scratch *scratch = mmgi_ask_begin();
    struct map_area area;

    if (scratch == NULL)
        return ADOPTED_GONE;
    int os_code = mmgi_map_find(address, NULL, scratch->text, &area);
    mmgi_ask_end(scratch);
    if (os_code == 0 && is_same(r, &area, address))
        return ADOPTED_THERE;
    return os_code == 0 && mmgi_map_is_readable(r->start + offset) ? ADOPTED_READABLE : ADOPTED_GONE;
}

/* Asks what is mapped at an address, once no change of a mapping is under way any more. */
static bool
look(int list, uintptr_t at, char *text, struct map_area *area)
{
    mmgi_map_await_changes();
    return mmgi_map_list_find(list, at, NULL, text, area) == 0;
}

/*
 * Replaces one part after another. No other system call lies between the kernel's answer about a part and its
 * replacement.
 */
static enum replaced
replace_parts(const struct registration *r, uintptr_t at, uintptr_t end, uintptr_t fault, int list, char *text)
{
    const bool is_last = at == (uintptr_t)r->start &&
                         end == (uintptr_t)r->start + r->length; /* nothing larger is left to try */
    enum replaced result = REPLACED_NOTHING;
    struct map_area area;

    for (int i = 0; i < MAX_PARTS && at < end && look(list, at, text, &area); i++) {
        uintptr_t stop = area.end < end ? area.end : end;
        if (is_same(r, &area, at)) {
            unsigned char *first = r->start + (at - (uintptr_t)r->start);
            unsigned char *touched = fault >= at && fault < stop ? r->start + (fault - (uintptr_t)r->start) : NULL;
            enum replaced done = is_last ? mmgi_spares_replace_at_last(first, stop - at, touched, area.access)
                                         : mmgi_spares_replace(first, stop - at, touched, area.access);
            if (done == REPLACED_NOTHING || done == REPLACED_PAGE)
                return done;
            result = REPLACED_ALL;
        }
        at = stop;
    }
    return result;
}

enum replaced
mmgi_adopted_replace(const struct registration *r, size_t from, size_t to, size_t fault)
{
    const uintptr_t start = (uintptr_t)r->start;
    struct map_scratch *scratch = mmgi_ask_begin();
    enum replaced done = REPLACED_NOTHING;

    if (scratch != NULL && mmgi_ask_begin_replacing()) {
        int list;
        if (mmgi_map_list_open(&list) == 0) {
            done = replace_parts(r, start + from, start + to, start + fault, list, scratch->text);
            mmgi_map_list_close(list);
        }
        mmgi_ask_end_replacing();
    }
    if (scratch != NULL)
        mmgi_ask_end(scratch);
    return done;
}

bool
mmgi_adopted_has_copies(const struct registration *r, size_t from, size_t to)
{
    uintptr_t at = (uintptr_t)r->start + from;
    const uintptr_t end = (uintptr_t)r->start + to;
    struct map_scratch *scratch = mmgi_ask_begin();
    struct map_area area;
    bool result = false;

    if (scratch == NULL)
        return true; /* the answer is not known, so the caller must leave the pages alone */
    /* Parts that show the file no more are not replaced, so it does not matter what is in them. */
    for (int i = 0; i < MAX_PARTS && at < end && !result && mmgi_map_find(at, NULL, scratch->text, &area) == 0; i++) {
        const uintptr_t stop = area.end < end ? area.end : end;
        result = !area.is_shared && is_same(r, &area, at) && mmgi_map_has_copies(at, stop, scratch->text);
        at = stop;
    }
    mmgi_ask_end(scratch);
    return result;
}

/* Returns true when each part of a range shows the file, can be read and nothing else. Says whether a part is private. */
static bool
shows_file(const struct registration *r, uintptr_t at, uintptr_t end, char *text, bool *is_private)
{
    struct map_area area;
    int list;

    *is_private = false;
    if (mmgi_map_list_open(&list) != 0)
        return false;
    while (at < end && look(list, at, text, &area) && is_same(r, &area, at) && area.access == MAP_ACCESS_READ) {
        *is_private |= !area.is_shared;
        at = area.end;
    }
    mmgi_map_list_close(list);
    return at >= end;
}

bool
mmgi_adopted_is_untouched(const struct registration *r, size_t from, size_t to)
{
    const uintptr_t at = (uintptr_t)r->start + from, end = (uintptr_t)r->start + to;
    struct map_scratch *scratch = mmgi_ask_begin();
    bool is_private;

    if (scratch == NULL)
        return false;
    bool result = shows_file(r, at, end, scratch->text, &is_private);
    /* To ask about every page takes long where there are many. So the parts are looked at once more afterwards. */
    if (result && is_private)
        result = mmgi_map_has_no_copies(at, end, scratch->text) && shows_file(r, at, end, scratch->text, &is_private);
    mmgi_ask_end(scratch);
    return result;
}
