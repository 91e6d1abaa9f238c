/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lua patterns over bytes that are not a Lua string. The code first turns a pattern into items, which finds every
 * mistake in the pattern, and then matches the items in place. It copies nothing, whatever the size of the text is.
 *
 * Patterns have the meaning of the reference manual of Lua 5.4, section 6.4.1, and also %z of 5.1. The code does not
 * use lua_State: item.h has the kinds of items, pattern.c makes items, and match.c matches them.
 */
#ifndef MMAPGUARD_LUA_PATTERN_H
#define MMAPGUARD_LUA_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define MMGL_MAX_CAPTURES 32

/** One step of a pattern. */
struct mmgl_item {
    unsigned char kind;
    unsigned char repeat;  /* 0, or one of * + - ? */
    unsigned char a, b;    /* a byte, the letter of a class, the two bytes of %b, or the number of a capture */
    unsigned char set[32]; /* one bit for each byte that belongs to a set */
};

struct mmgl_capture {
    const unsigned char *start;
    size_t size;
    bool is_position;
};

struct mmgl_match {
    const unsigned char *begin, *end; /* the text */
    const unsigned char *low, *high;  /* the part of the text that was read */
    int captured;                     /* number of captures of the match */
    struct mmgl_capture captures[MMGL_MAX_CAPTURES];
    int depth;
    bool too_complex;
};

/** Returns true when a pattern is plain text. */
bool mmgl_pattern_is_plain(const char *pattern, size_t size);

/** Turns a pattern into at most size + 1 items. Returns NULL, or what is wrong with the pattern. */
const char *mmgl_pattern_compile(const char *pattern, size_t size, struct mmgl_item *items);

/**
 * Finds the first match from `*start` on. The caller has set `begin` and `end` of the text. Returns true and stores the
 * match in `*start` and `*stop`. Returns false when there is no match, or when `too_complex` is set.
 */
bool mmgl_pattern_find(struct mmgl_match *m, const struct mmgl_item *items, bool anchored, const unsigned char **start,
                       const unsigned char **stop);

#endif
