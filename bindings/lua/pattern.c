/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Turns a Lua pattern into items, and finds every mistake in it.
 */
#include "item.h"

#include <string.h>

bool
mmgl_pattern_is_plain(const char *pattern, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (pattern[i] != '\0' && strchr("^$*+?.([%-", pattern[i]) != NULL)
            return false;
    return true;
}

static void
add_range(struct mmgl_item *item, unsigned char first, unsigned char last)
{
    for (unsigned byte = first; byte <= last; byte++)
        item->set[byte >> 3] |= (unsigned char)(1u << (byte & 7));
}

static void
add_class(struct mmgl_item *item, unsigned char letter)
{
    for (unsigned byte = 0; byte < 256; byte++)
        if (mmgl_in_class((unsigned char)byte, letter))
            add_range(item, (unsigned char)byte, (unsigned char)byte);
}

/*
 * Returns the bracket that closes a set, or NULL when there is none. The first byte of the set may itself be a bracket.
 */
static const unsigned char *
end_of_set(const unsigned char *p, const unsigned char *end)
{
    const unsigned char *first = p;

    for (; p < end && (*p != ']' || p == first); p++)
        if (*p == '%')
            p++;
    return p < end ? p : NULL;
}

/*
 * Reads a set. `p` is behind its opening bracket. Returns the place behind the closing bracket, or NULL when there is
 * none.
 */
static const unsigned char *
read_set(struct mmgl_item *item, const unsigned char *p, const unsigned char *end)
{
    bool negated = p < end && *p == '^';

    p += negated ? 1 : 0;
    end = end_of_set(p, end);
    if (end == NULL)
        return NULL;
    memset(item->set, 0, sizeof item->set);
    while (p < end) {
        if (*p == '%') {
            add_class(item, p[1]);
            p += 2;
        } else if (end - p > 2 && p[1] == '-') {
            add_range(item, p[0], p[2]);
            p += 3;
        } else {
            add_range(item, *p, *p);
            p++;
        }
    }
    for (size_t i = 0; negated && i < sizeof item->set; i++)
        item->set[i] = (unsigned char)~item->set[i];
    return end + 1;
}

/* The state of reading a pattern. */
struct reading {
    const unsigned char *p, *end;
    int captures, depth;
    unsigned char unclosed[MMGL_MAX_CAPTURES];
    bool closed[MMGL_MAX_CAPTURES];
};

static const char *
read_open(struct reading *r, struct mmgl_item *item)
{
    bool is_position = r->p < r->end && *r->p == ')';

    if (r->captures == MMGL_MAX_CAPTURES)
        return "too many captures";
    item->kind = is_position ? OPEN_POSITION : OPEN;
    item->a = (unsigned char)r->captures;
    r->closed[r->captures] = is_position;
    if (is_position)
        r->p++;
    else
        r->unclosed[r->depth++] = item->a;
    r->captures++;
    return NULL;
}

static const char *
read_close(struct reading *r, struct mmgl_item *item)
{
    if (r->depth == 0)
        return "invalid pattern capture";
    item->kind = CLOSE;
    item->a = r->unclosed[--r->depth];
    r->closed[item->a] = true;
    return NULL;
}

/* Reads what follows a percent sign. Returns NULL, or what is wrong. */
static const char *
read_escape(struct reading *r, struct mmgl_item *item)
{
    if (r->p == r->end)
        return "malformed pattern (ends with '%')";
    unsigned char letter = *r->p++;
    if (letter == 'b') {
        if (r->end - r->p < 2)
            return "malformed pattern (missing arguments to '%b')";
        item->kind = BALANCE;
        item->a = r->p[0];
        item->b = r->p[1];
        r->p += 2;
    } else if (letter == 'f') {
        if (r->p == r->end || *r->p != '[')
            return "missing '[' after '%f' in pattern";
        item->kind = FRONTIER;
        r->p = read_set(item, r->p + 1, r->end);
        if (r->p == NULL)
            return "malformed pattern (missing ']')";
    } else if (letter >= '0' && letter <= '9') {
        if (letter == '0' || letter - '1' >= r->captures || !r->closed[letter - '1'])
            return "invalid capture index in pattern";
        item->kind = BACK;
        item->a = (unsigned char)(letter - '1');
    } else {
        item->kind = isalpha(letter) ? CLASS : BYTE;
        item->a = letter;
    }
    return NULL;
}

static const char *
read_item(struct reading *r, struct mmgl_item *item)
{
    unsigned char byte = *r->p++;

    *item = (struct mmgl_item){.kind = BYTE, .a = byte};
    switch (byte) {
    case '(':
        return read_open(r, item);
    case ')':
        return read_close(r, item);
    case '$':
        if (r->p == r->end)
            item->kind = AT_END;
        break;
    case '%':
        return read_escape(r, item);
    case '[':
        item->kind = SET;
        r->p = read_set(item, r->p, r->end);
        return r->p == NULL ? "malformed pattern (missing ']')" : NULL;
    case '.':
        item->kind = ANY;
        break;
    default:
        break;
    }
    return NULL;
}

const char *
mmgl_pattern_compile(const char *pattern, size_t size, struct mmgl_item *items)
{
    struct reading r = {.p = (const unsigned char *)pattern, .end = (const unsigned char *)pattern + size};

    for (; r.p < r.end; items++) {
        const char *wrong = read_item(&r, items);
        if (wrong != NULL)
            return wrong;
        if (items->kind <= SET && r.p < r.end && *r.p != '\0' && strchr("*+-?", *r.p) != NULL)
            items->repeat = *r.p++;
    }
    items->kind = DONE;
    return r.depth > 0 ? "unfinished capture" : NULL;
}
