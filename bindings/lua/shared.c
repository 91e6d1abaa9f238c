/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Gives the FFI module for LuaJIT what it needs from the C module: the metatables, the methods, and functions that
 * compiled code calls. The FFI module finds them in the registry, to which scripts have access only by the debug
 * library.
 */
#include "view.h"

#include <string.h>

#if LUA_VERSION_NUM == 501

static int32_t
is_lost(const mmgl_view *view, double offset, double size)
{
    uint64_t from = (uint64_t)offset, length = (uint64_t)size; /* exact: both are inside the view */

    if (length == 1 ? !mmgl_zero_may_be_lost(view, from) : !mmgl_may_be_lost(view, from, length))
        return 0;
    return mmgl_loss_within(view, from, length) != MMG_OK;
}

/*
 * Copies a range of the view into the buffer, which has room for it. The code looks for zeros in the copy, because the
 * copy does not change any more.
 */
static inline double
copy_range(const mmgl_view *view, int64_t offset, int64_t size, mmgl_buffer *buffer)
{
    buffer->uses++;
    memcpy(buffer->bytes, view->data + offset, (size_t)size);
    /* The buffer is not larger than a page, so a loss shows as a zero at the first or the last byte. */
    if (size > 0 && (buffer->bytes[0] == 0 || buffer->bytes[size - 1] == 0) && view->shared->page != 0 &&
        mmgl_loss_within(view, (uint64_t)offset, (uint64_t)size) != MMG_OK)
        return -1;
    return (double)size;
}

static double
copy_part(const mmgl_view *view, double i, double j, mmgl_buffer *buffer)
{
    /* The comparisons are false for NaN, too. Numbers that pass them fit into an int64_t. */
    if (!(i >= 1 && j >= i && j <= view->length && j - i < sizeof buffer->bytes))
        return -1;
    int64_t from = (int64_t)i, to = (int64_t)j;
    if ((double)from != i || (double)to != j)
        return -1;
    return copy_range(view, from - 1, to - from + 1, buffer);
}

static double
copy_line(mmgl_reader *reader, mmgl_buffer *buffer)
{
    const mmgl_view *view = reader->view;

    if (view == NULL)
        return -2;
    if (view->data == NULL)
        return -1;
    int64_t offset = (int64_t)reader->offset, rest = (int64_t)view->size - offset;
    if (rest <= 0)
        return -2;
    const unsigned char *line = view->data + offset;
    size_t most = rest < (int64_t)sizeof buffer->bytes ? (size_t)rest : sizeof buffer->bytes;
    const unsigned char *newline = memchr(line, '\n', most);
    if (newline == NULL && (int64_t)most < rest)
        return -1;
    int64_t size = newline != NULL ? newline - line : rest;
    double copied = copy_range(view, offset, size, buffer);
    if (copied >= 0)
        reader->offset = (double)(offset + size + 1);
    return copied;
}

static const mmgl_calls calls = {
    .is_lost = is_lost,
    .copy_part = copy_part,
    .copy_line = copy_line,
    .find_nearby = mmgl_find_for_ffi,
};

void
mmgl_share(lua_State *L, int methods)
{
    lua_createtable(L, 0, 10);
    lua_pushvalue(L, lua_upvalueindex(MMGL_MODULE));
    lua_setfield(L, -2, "module");
    lua_pushvalue(L, lua_upvalueindex(MMGL_REGION));
    lua_getfield(L, -1, "__index");
    lua_setfield(L, -3, "index");
    lua_getfield(L, -1, "__len");
    lua_setfield(L, -3, "length");
    lua_setfield(L, -2, "region");
    lua_pushvalue(L, lua_upvalueindex(MMGL_SPAN));
    lua_setfield(L, -2, "span");
    lua_pushvalue(L, methods);
    lua_setfield(L, -2, "methods");
    mmgl_push_method(L, mmgl_line_at);
    lua_setfield(L, -2, "line_at");
    *(mmgl_calls *)lua_newuserdata(L, sizeof calls) = calls;
    lua_setfield(L, -2, "calls");
    mmgl_set_integer(L, "view_size", (int64_t)sizeof(mmgl_view));
    mmgl_set_integer(L, "calls_size", (int64_t)sizeof(mmgl_calls));
    lua_setfield(L, LUA_REGISTRYINDEX, "mmapguard.shared");
}

#else

void
mmgl_share(lua_State *L, int methods)
{
    (void)L; /* only a build for Lua 5.1 needs this, since LuaJIT loads such builds */
    (void)methods;
}

#endif
