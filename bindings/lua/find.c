/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The method `find`. The library searches for plain text; patterns are matched in place.
 */
#include "pattern.h"
#include "view.h"

#include <string.h>

/*
 * The code here searches so many bytes for plain text, so that a near match is cheap. Then the library takes over. It
 * first asks the kernel whether the guard is in place, which takes as long as searching some ten thousand bytes.
 */
#define NEARBY 16384u
/* After so many false starts the text is too repetitive, and memmem(3), which takes linear time, takes over. */
#define MAX_FALSE_STARTS 32
/* A pattern of at most so many items is kept on the stack. */
#define STACK_ITEMS 32u

/* Searches on behind a false start. It is kept apart, since most searches have none. */
__attribute__((noinline)) static const unsigned char *
find_further(const unsigned char *hay, const unsigned char *last, const unsigned char *needle, size_t needle_size)
{
    for (int i = 0; i < MAX_FALSE_STARTS; i++) {
        if (hay > last)
            return NULL;
        hay = memchr(hay, needle[0], (size_t)(last - hay) + 1);
        if (hay == NULL || memcmp(hay + 1, needle + 1, needle_size - 1) == 0)
            return hay;
        hay++;
    }
    return memmem(hay, (size_t)(last - hay) + needle_size, needle, needle_size);
}

static inline const unsigned char *
find_bytes(const unsigned char *hay, size_t size, const unsigned char *needle, size_t needle_size)
{
    if (needle_size > size)
        return NULL;
    const unsigned char *hit = memchr(hay, needle[0], size - needle_size + 1);
    if (hit == NULL || needle_size == 1 || memcmp(hit + 1, needle + 1, needle_size - 1) == 0)
        return hit;
    return find_further(hit + 1, hay + (size - needle_size), needle, needle_size);
}

static int
push_place(lua_State *L, uint64_t offset, uint64_t length)
{
    mmgl_push_count(L, offset + 1);
    mmgl_push_count(L, offset + length);
    return 2;
}

static int
find_plain(lua_State *L, const struct mmgl_view *view, uint64_t start, const char *needle, size_t needle_size)
{
    uint64_t rest = view->size - start, place = MMG_NOT_FOUND;
    size_t nearby = rest < NEARBY + needle_size ? (size_t)rest : NEARBY + needle_size;

    if (needle_size == 0)
        return push_place(L, start, 0);
    const unsigned char *hay = view->data + start;
    const unsigned char *hit = find_bytes(hay, nearby, (const unsigned char *)needle, needle_size);
    if (hit != NULL || nearby == rest) {
        uint64_t seen = hit != NULL ? (uint64_t)(hit - hay) + needle_size : rest;
        mmgl_verify(L, view, start, seen);
        return hit != NULL ? push_place(L, start + seen - needle_size, needle_size) : (lua_pushnil(L), 1);
    }
    /* The search starts again from the beginning, since bytes that were searched above may be lost by now. */
    mmg_status status = mmg_find(view->shared->handle, view->start + start, rest, needle, needle_size, &place);
    if (status != MMG_OK)
        return mmgl_raise_loss(L, view, status);
    if (place != MMG_NOT_FOUND)
        return push_place(L, place - view->start, needle_size);
    lua_pushnil(L);
    return 1;
}

static int
push_captures(lua_State *L, const struct mmgl_match *m)
{
    luaL_checkstack(L, m->captured, "too many captures");
    for (int i = 0; i < m->captured; i++) {
        const struct mmgl_capture *capture = &m->captures[i];
        if (capture->is_position)
            mmgl_push_count(L, (uint64_t)(capture->start - m->begin) + 1);
        else
            mmgl_push_bytes(L, capture->start, capture->size);
    }
    return m->captured;
}

/* Kept apart, since its items on the stack would make each plain search slower. */
__attribute__((noinline)) static int
find_pattern(lua_State *L, const struct mmgl_view *view, uint64_t start, const char *pattern, size_t size)
{
    struct mmgl_item few[STACK_ITEMS], *items = few;
    struct mmgl_match m = {.begin = view->data, .end = view->data + view->size};
    const unsigned char *from = view->data + start, *to;
    bool anchored = pattern[0] == '^';
    int results = 1;

    if (anchored) {
        pattern++;
        size--;
    }
    if (size >= STACK_ITEMS) {
        luaL_argcheck(L, size < SIZE_MAX / sizeof *items - 1, 2, "pattern too complex");
        items = lua_newuserdata(L, (size + 1) * sizeof *items);
    }
    const char *wrong = mmgl_pattern_compile(pattern, size, items);
    if (wrong != NULL)
        return luaL_argerror(L, 2, wrong);
    bool found = mmgl_pattern_find(&m, items, anchored, &from, &to);
    if (found) {
        results = push_place(L, (uint64_t)(from - view->data), (uint64_t)(to - from));
        results += push_captures(L, &m);
    } else {
        lua_pushnil(L);
    }
    /* This comes after the last read, so the captures are verified, too. */
    mmgl_verify(L, view, (uint64_t)(m.low - view->data), (uint64_t)(m.high - m.low));
    if (m.too_complex)
        return luaL_argerror(L, 2, "pattern too complex");
    return results;
}

int
mmgl_find(lua_State *L)
{
    struct mmgl_view *view = mmgl_check_view(L);
    size_t size;
    const char *pattern = mmgl_check_string(L, 2, &size);
    uint64_t start = mmgl_check_start(L, view, 3);

    if (start > view->size) {
        const struct mmgl_state *state = lua_touserdata(L, lua_upvalueindex(MMGL_STATE));
        if (!state->clamps_init) {
            lua_pushnil(L);
            return 1;
        }
        start = view->size;
    }
    if (lua_toboolean(L, 4) || mmgl_pattern_is_plain(pattern, size))
        return find_plain(L, view, start, pattern, size);
    return find_pattern(L, view, start, pattern, size);
}

double
mmgl_find_for_ffi(const struct mmgl_view *view, double init, const char *text, uint64_t size, int32_t plain)
{
    if (!(init >= 1 && init <= view->length) || size == 0 || (plain == 0 && !mmgl_pattern_is_plain(text, size)))
        return -1;
    int64_t start = (int64_t)init - 1; /* the cast is defined: the position is inside the view */
    if ((double)(start + 1) < init)
        return -1;
    const unsigned char *hay = view->data + start, *needle = (const unsigned char *)text;
    uint64_t rest = view->size - (uint64_t)start;
    size_t nearby = rest < NEARBY ? (size_t)rest : NEARBY;
    const unsigned char *hit = find_bytes(hay, nearby, needle, (size_t)size);
    if (hit == NULL)
        return -1;
    size_t seen = (size_t)(hit - hay) + (size_t)size;
    if (mmgl_has_loss(view) && mmgl_loss_within(view, (uint64_t)start, seen) != MMG_OK)
        return -1;
    return (double)(start + (hit - hay) + 1);
}
