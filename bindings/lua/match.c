/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Matches the items of a pattern, with backtracking. The depth of the recursion is limited as in Lua, so that no pattern
 * exhausts the stack of C.
 */
#include "item.h"

#include <string.h>

#define MAX_DEPTH 200

/* The analyzer assumes that a match may end at NULL, since match() returns its argument. */
/* NOLINTBEGIN(clang-analyzer-core.NullDereference) */

/* Returns true when the byte at `s` matches an item that stands for one byte. */
static inline bool
matches(struct mmgl_match *m, const unsigned char *s, const struct mmgl_item *item)
{
    if (s >= m->end)
        return false;
    if (s >= m->high)
        m->high = s + 1;
    switch (item->kind) {
    case BYTE:
        return *s == item->a;
    case ANY:
        return true;
    case CLASS:
        return mmgl_in_class(*s, item->a);
    default:
        return mmgl_in_set(item, *s);
    }
}

/* NOLINTEND(clang-analyzer-core.NullDereference) */

/* NOLINTBEGIN(misc-no-recursion): backtracking, to a depth of MAX_DEPTH. */

static const unsigned char *match(struct mmgl_match *m, const unsigned char *s, const struct mmgl_item *item);

static const unsigned char *
match_most(struct mmgl_match *m, const unsigned char *s, const struct mmgl_item *item)
{
    size_t count = 0;

    while (matches(m, s + count, item))
        count++;
    for (;; count--) {
        const unsigned char *stop = match(m, s + count, item + 1);
        if (stop != NULL || count == 0 || m->too_complex)
            return stop;
    }
}

static const unsigned char *
match_least(struct mmgl_match *m, const unsigned char *s, const struct mmgl_item *item)
{
    for (;; s++) {
        const unsigned char *stop = match(m, s, item + 1);
        if (stop != NULL || m->too_complex || !matches(m, s, item))
            return stop;
    }
}

static const unsigned char *
match_capture(struct mmgl_match *m, const unsigned char *s, const struct mmgl_item *item)
{
    struct mmgl_capture *capture = &m->captures[item->a];
    const struct mmgl_capture before = *capture;

    if (item->kind == CLOSE) {
        capture->size = (size_t)(s - capture->start);
    } else {
        *capture = (struct mmgl_capture){.start = s, .is_position = item->kind == OPEN_POSITION};
        m->captured = item->a + 1;
    }
    const unsigned char *stop = match(m, s, item + 1);
    if (stop == NULL)
        *capture = before;
    return stop;
}

static const unsigned char *
match_back(struct mmgl_match *m, const unsigned char *s, const struct mmgl_item *item)
{
    const struct mmgl_capture *capture = &m->captures[item->a];

    if (capture->is_position || capture->size > (size_t)(m->end - s))
        return NULL;
    if (s + capture->size > m->high)
        m->high = s + capture->size;
    return memcmp(capture->start, s, capture->size) == 0 ? s + capture->size : NULL;
}

static const unsigned char *
match_balance(struct mmgl_match *m, const unsigned char *s, const struct mmgl_item *item)
{
    size_t depth = 1;
    const unsigned char *p = s;

    if (p == m->end)
        return NULL;
    bool opens = *p++ == item->a;
    for (; opens && depth > 0 && p < m->end; p++) {
        if (*p == item->b)
            depth--;
        else if (*p == item->a)
            depth++;
    }
    if (p > m->high)
        m->high = p;
    return depth == 0 ? p : NULL;
}

static bool
is_frontier(struct mmgl_match *m, const unsigned char *s, const struct mmgl_item *item)
{
    unsigned char before = s > m->begin ? s[-1] : 0, here = s < m->end ? *s : 0;

    if (s > m->begin && s - 1 < m->low)
        m->low = s - 1;
    if (s < m->end && s >= m->high)
        m->high = s + 1;
    return !mmgl_in_set(item, before) && mmgl_in_set(item, here);
}

/*
 * Matches an item that stands for one byte and may be repeated. Returns the end of the match, or NULL. When the
 * matching must go on at `*s` with the next item, the function also sets `*over` to false.
 */
static const unsigned char *
match_repeated(struct mmgl_match *m, const unsigned char **s, const struct mmgl_item *item, bool *over)
{
    const unsigned char *stop;

    *over = true;
    switch (item->repeat) {
    case '*':
        return match_most(m, *s, item);
    case '+':
        return matches(m, *s, item) ? match_most(m, *s + 1, item) : NULL;
    case '-':
        return match_least(m, *s, item);
    case '?':
        if (matches(m, *s, item) && ((stop = match(m, *s + 1, item + 1)) != NULL || m->too_complex))
            return stop;
        *over = false;
        return NULL;
    default:
        if (matches(m, *s, item)) {
            *over = false;
            ++*s;
        }
        return NULL;
    }
}

/* Matches items from `item` on at `s`. Returns the end of the match, or NULL. */
static const unsigned char *
match(struct mmgl_match *m, const unsigned char *s, const struct mmgl_item *item)
{
    const unsigned char *stop = NULL, *next;
    bool over = false;

    if (m->depth == MAX_DEPTH) {
        m->too_complex = true;
        return NULL;
    }
    m->depth++;
    for (; !over; item++) {
        switch (item->kind) {
        case OPEN:
        case OPEN_POSITION:
        case CLOSE:
            stop = match_capture(m, s, item);
            over = true;
            break;
        case BACK:
        case BALANCE:
            next = item->kind == BACK ? match_back(m, s, item) : match_balance(m, s, item);
            over = next == NULL;
            if (!over)
                s = next;
            break;
        case FRONTIER:
            over = !is_frontier(m, s, item);
            break;
        case AT_END:
            over = s != m->end;
            break;
        case DONE:
            stop = s;
            over = true;
            break;
        default:
            stop = match_repeated(m, &s, item, &over);
            break;
        }
    }
    m->depth--;
    return stop;
}

/* NOLINTEND(misc-no-recursion) */

bool
mmgl_pattern_find(struct mmgl_match *m, const struct mmgl_item *items, bool anchored, const unsigned char **start,
                  const unsigned char **stop)
{
    const unsigned char *s = *start;
    /* When the match must start with a certain byte, memchr(3) finds that byte fast. */
    bool jumps = !anchored && items->kind == BYTE && (items->repeat == 0 || items->repeat == '+');

    m->low = m->high = s;
    do {
        if (jumps) {
            const unsigned char *next = s < m->end ? memchr(s, items->a, (size_t)(m->end - s)) : NULL;
            if (next == NULL) {
                m->high = m->end;
                return false;
            }
            s = next;
        }
        m->captured = 0;
        *stop = match(m, s, items);
        if (*stop != NULL) {
            *start = s;
            if (*stop > m->high)
                m->high = *stop;
            return true;
        }
    } while (s++ < m->end && !anchored && !m->too_complex);
    return false;
}
