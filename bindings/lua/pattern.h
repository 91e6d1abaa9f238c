/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lua patterns over bytes that are not a Lua string. A pattern is first turned into items, which finds everything that
 * is wrong with it, and then matched in place: nothing is copied, whatever the size of the text.
 *
 * Means the same as the reference manual of Lua 5.4, section 6.4.1, with %z of 5.1. Knows nothing of lua_State.
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
    unsigned char a, b;    /* a byte, a class letter, the two of %b, the number of a capture */
    unsigned char set[32]; /* one bit for each byte that belongs to a set */
};

struct mmgl_capture {
    const unsigned char *start;
    size_t size;
    bool is_position;
};

struct mmgl_match {
    const unsigned char *begin, *end; /* the text */
    const unsigned char *low, *high;  /* what of it was looked at */
    int captured;                     /* captures of the match */
    struct mmgl_capture captures[MMGL_MAX_CAPTURES];
    int depth;
    bool too_complex;
};

/** Has a pattern anything but plain text? */
bool mmgl_pattern_is_plain(const char *pattern, size_t size);

/** Turn a pattern into at most size + 1 items. Returns NULL, or what is wrong with it. */
const char *mmgl_pattern_compile(const char *pattern, size_t size, struct mmgl_item *items);

/**
 * Find the first match from `*start` on; begin and end of the text are set by the caller. Returns true, and the
 * match from `*start` to `*stop`; or false: there is none, or `too_complex` is set.
 */
bool mmgl_pattern_find(struct mmgl_match *m, const struct mmgl_item *items, bool anchored, const unsigned char **start,
                       const unsigned char **stop);

#endif
