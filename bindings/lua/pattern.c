/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lua patterns: a backtracking matcher over items. The depth of its recursion is limited as in Lua, so that no pattern
 * exhausts the stack of C.
 */
#include "pattern.h"

#include <ctype.h>
#include <string.h>

#define MAX_DEPTH 200

enum kind {
    BYTE,          /* `a` */
    ANY,           /* . */
    CLASS,         /* % and the letter `a` */
    SET,           /* [set] */
    OPEN,          /* ( with number `a` */
    OPEN_POSITION, /* () with number `a` */
    CLOSE,         /* ) of number `a` */
    BACK,          /* %1 ... with number `a` */
    BALANCE,       /* %bxy */
    FRONTIER,      /* %f[set] */
    AT_END,        /* $ */
    DONE           /* the end of the pattern */
};

/* ------------------------------------------------------------------------------------------------------- items -- */

bool
mmgl_pattern_is_plain(const char *pattern, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (pattern[i] != '\0' && strchr("^$*+?.([%-", pattern[i]) != NULL)
            return false;
    return true;
}

static bool
in_class(unsigned char byte, unsigned char letter)
{
    int is;

    switch (tolower(letter)) {
    case 'a':
        is = isalpha(byte);
        break;
    case 'c':
        is = iscntrl(byte);
        break;
    case 'd':
        is = isdigit(byte);
        break;
    case 'g':
        is = isgraph(byte);
        break;
    case 'l':
        is = islower(byte);
        break;
    case 'p':
        is = ispunct(byte);
        break;
    case 's':
        is = isspace(byte);
        break;
    case 'u':
        is = isupper(byte);
        break;
    case 'w':
        is = isalnum(byte);
        break;
    case 'x':
        is = isxdigit(byte);
        break;
    case 'z':
        is = byte == 0;
        break;
    default:
        return byte == letter;
    }
    return (is != 0) != (isupper(letter) != 0);
}

static bool
in_set(const struct mmgl_item *item, unsigned char byte)
{
    return (item->set[byte >> 3] >> (byte & 7) & 1) != 0;
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
        if (in_class((unsigned char)byte, letter))
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

/* ---------------------------------------------------------------------------------------------------- matching -- */

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
        return in_class(*s, item->a);
    default:
        return in_set(item, *s);
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
    return !in_set(item, before) && in_set(item, here);
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
