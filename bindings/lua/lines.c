/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The method `lines`: an iterator over lines or blocks, as io.lines returns.
 */
#include "view.h"

#include <string.h>

/** The state of an iterator. It is an upvalue of the iterator's function. */
struct reader {
    uint64_t position;
    uint64_t block; /* 0: lines */
    bool keeps_end; /* lines include their end */
};

enum {
    READER_VIEW = 1,
    READER
};

/* Pushes the part at `position`, which is before the end. Returns the position behind the part. */
static uint64_t
push_part(lua_State *L, const struct mmgl_view *view, const struct reader *reader)
{
    uint64_t start = reader->position, rest = view->size - start, length = reader->block, end = 0;

    if (length == 0) {
        const unsigned char *from = view->data + start;
        const unsigned char *newline = memchr(from, '\n', (size_t)rest);
        length = newline != NULL ? (uint64_t)(newline - from) : rest;
        end = newline != NULL ? 1 : 0;
    } else if (length > rest) {
        length = rest;
    }
    mmgl_push_bytes(L, view->data + start, (size_t)(length + (reader->keeps_end ? end : 0)));
    mmgl_verify(L, view, start, length + end);
    return start + length + end;
}

static int
next_part(lua_State *L)
{
    struct mmgl_view *view = lua_touserdata(L, lua_upvalueindex(READER_VIEW));
    struct reader *reader = lua_touserdata(L, lua_upvalueindex(READER));

    if (view == NULL) /* at the end */
        return 0;
    if (view->data == NULL)
        return luaL_error(L, "attempt to use a closed %s", view->is_span != 0 ? "span" : "region");
    if (reader->position == view->size) {
        /* Code that LuaJIT has compiled may keep the iterator after its loop. The iterator must not keep the region. */
        lua_pushnil(L);
        lua_replace(L, lua_upvalueindex(READER_VIEW));
        return 0;
    }
    reader->position = push_part(L, view, reader);
    return 1;
}

int
mmgl_line_at(lua_State *L)
{
    struct reader reader = {.position = (uint64_t)lua_tonumber(L, 2)}; /* exact: an offset inside the view */

    push_part(L, mmgl_check_view(L), &reader);
    return 1;
}

int
mmgl_lines(lua_State *L)
{
    struct reader reader = {0};

    mmgl_check_view(L);
    if (mmgl_number_type(L, 2) == LUA_TNUMBER) {
        reader.block = (uint64_t)mmgl_check_range(L, 2, 1, INT64_MAX);
    } else {
        const char *format = luaL_optstring(L, 2, "l");
        format += *format == '*'; /* formats started with "*" up to Lua 5.2 */
        luaL_argcheck(L, (*format == 'l' || *format == 'L') && format[1] == '\0', 2, "invalid format");
        reader.keeps_end = *format == 'L';
    }
    lua_settop(L, 1);
    *(struct reader *)lua_newuserdata(L, sizeof reader) = reader;
    lua_pushcclosure(L, next_part, READER);
    return 1;
}
