/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * find: plain text by the library, patterns in place.
 */
#include "pattern.h"
#include "view.h"

#include <string.h>

/* So far plain text is looked for here, which is as quick as a script expects of a match nearby. The library's own
 * search takes over then: it first asks the kernel whether the guard stands. */
#define NEARBY 4096u
/* Items of a pattern that are kept on the stack. */
#define FEW_ITEMS 32u

static const unsigned char *
find_nearby(const unsigned char *hay, size_t size, const unsigned char *needle, size_t needle_size)
{
    if (needle_size > size)
        return NULL;
    const unsigned char *last = hay + (size - needle_size);
    while (hay <= last) {
        hay = memchr(hay, needle[0], (size_t)(last - hay) + 1);
        if (hay == NULL || memcmp(hay, needle, needle_size) == 0)
            return hay;
        hay++;
    }
    return NULL;
}

static int
push_place(lua_State *L, uint64_t offset, uint64_t length)
{
    mgl_push_count(L, offset + 1);
    mgl_push_count(L, offset + length);
    return 2;
}

static int
find_plain(lua_State *L, const struct view *view, uint64_t start, const char *needle, size_t needle_size)
{
    uint64_t rest = view->size - start, place = MMG_NOT_FOUND;
    size_t nearby = rest < NEARBY ? (size_t)rest : NEARBY;

    if (needle_size == 0)
        return push_place(L, start, 0);
    const unsigned char *hay = view->data + start;
    const unsigned char *hit = find_nearby(hay, nearby, (const unsigned char *)needle, needle_size);
    if (hit != NULL || nearby == rest) {
        uint64_t seen = hit != NULL ? (uint64_t)(hit - hay) + needle_size : rest;
        mgl_verify(L, view, start, seen);
        return hit != NULL ? push_place(L, start + seen - needle_size, needle_size) : (lua_pushnil(L), 1);
    }
    /* From `start` again rather than where we stopped: what was seen here counts, too, if it is lost by now. */
    mmg_status status = mmg_find(view->shared->handle, view->start + start, rest, needle, needle_size, &place);
    if (status != MMG_OK)
        return mgl_raise_loss(L, view, status);
    if (place != MMG_NOT_FOUND)
        return push_place(L, place - view->start, needle_size);
    lua_pushnil(L);
    return 1;
}

static int
push_captures(lua_State *L, const struct match *m)
{
    luaL_checkstack(L, m->captured, "too many captures");
    for (int i = 0; i < m->captured; i++) {
        const struct capture *capture = &m->captures[i];
        if (capture->is_position)
            mgl_push_count(L, (uint64_t)(capture->start - m->begin) + 1);
        else
            mgl_push_bytes(L, capture->start, capture->size);
    }
    return m->captured;
}

static int
find_pattern(lua_State *L, const struct view *view, uint64_t start, const char *pattern, size_t size)
{
    struct item few[FEW_ITEMS], *items = few;
    struct match m = {.begin = view->data, .end = view->data + view->size};
    const unsigned char *from = view->data + start, *to;
    bool anchored = pattern[0] == '^';
    int results = 1;

    if (anchored) {
        pattern++;
        size--;
    }
    if (size >= FEW_ITEMS) {
        luaL_argcheck(L, size < SIZE_MAX / sizeof *items - 1, 2, "pattern too complex");
        items = lua_newuserdata(L, (size + 1) * sizeof *items);
    }
    const char *wrong = pattern_compile(pattern, size, items);
    if (wrong != NULL)
        return luaL_argerror(L, 2, wrong);
    bool found = pattern_find(&m, items, anchored, &from, &to);
    if (found) {
        results = push_place(L, (uint64_t)(from - view->data), (uint64_t)(to - from));
        results += push_captures(L, &m);
    } else {
        lua_pushnil(L);
    }
    /* After everything was read, the captures too. */
    mgl_verify(L, view, (uint64_t)(m.low - view->data), (uint64_t)(m.high - m.low));
    if (m.too_complex)
        return luaL_argerror(L, 2, "pattern too complex");
    return results;
}

int
mgl_find(lua_State *L)
{
    struct view *view = mgl_check_view(L);
    size_t size;
    const char *pattern = luaL_checklstring(L, 2, &size);
    uint64_t start = mgl_check_start(L, view, 3);

    if (start > view->size) {
        lua_pushnil(L);
        return 1;
    }
    if (lua_toboolean(L, 4) || pattern_is_plain(pattern, size))
        return find_plain(L, view, start, pattern, size);
    return find_pattern(L, view, start, pattern, size);
}
