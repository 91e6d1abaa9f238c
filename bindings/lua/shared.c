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

    return mmgl_has_loss(view) && mmgl_loss_within(view, from, length) != MMG_OK;
}

/* Refuses a copy. Makes the buffer empty, so that the module need not look at the result before it makes a string. */
static int32_t
no_turn(mmgl_buffer *buffer)
{
    buffer->size = 0;
    return -1;
}

/* Kept apart, so that a copy from a region without losses needs no place on the stack. */
__attribute__((noinline)) static int32_t
turn_without_loss(const mmgl_view *view, uint64_t offset, mmgl_buffer *buffer)
{
    return mmgl_loss_within(view, offset, (uint64_t)buffer->size) != MMG_OK ? no_turn(buffer) : buffer->turn;
}

/* Ends a copy. Returns what copy_part() returns. */
static inline int32_t
end_copy(const mmgl_view *view, uint64_t offset, size_t size, mmgl_buffer *buffer)
{
    int32_t turn = (int32_t)((uint32_t)buffer->turn + 2); /* never -1 */

    buffer->turn = turn;
    buffer->size = (int32_t)size;
    return mmgl_has_loss(view) ? turn_without_loss(view, offset, buffer) : turn;
}

/*
 * Copies bytes by a call, and is kept apart for the same reason. The compiler would replace memcpy(3) by an instruction
 * that takes longer to start than the function takes for some hundred bytes. It leaves memmove(3) alone.
 */
__attribute__((noinline)) static int32_t
copy_by_call(const mmgl_view *view, uint64_t offset, size_t size, mmgl_buffer *buffer)
{
    memmove(buffer->bytes, view->data + offset, size);
    return end_copy(view, offset, size, buffer);
}

/* Copies bytes as two halves, which may overlap. So both are read before either is written. */
static inline void
copy_halves(uint8_t *to, const uint8_t *from, size_t size, size_t half)
{
    uint8_t first[16], last[16];

    memcpy(first, from, half);
    memcpy(last, from + size - half, half);
    memcpy(to, first, half);
    memcpy(to + size - half, last, half);
}

static int32_t
copy_part(const mmgl_view *view, double i, double j, mmgl_buffer *buffer)
{
    /* The comparisons are false for NaN, too. Numbers that pass them fit into an int64_t. */
    if (!(i >= 1 && j >= i && j <= view->length))
        return no_turn(buffer);
    int64_t from = (int64_t)i, to = (int64_t)j, more = to - from;
    if ((double)from < i || (double)to < j || more >= (int64_t)sizeof buffer->bytes)
        return no_turn(buffer);
    uint64_t offset = (uint64_t)from - 1;
    size_t size = (size_t)more + 1;
    const uint8_t *data = view->data + offset;

    /* Most strings are short, and then two halves are quicker than a call. */
    if (size >= 16 && size <= 32) {
        copy_halves(buffer->bytes, data, size, 16);
    } else if (size >= 8 && size < 16) {
        copy_halves(buffer->bytes, data, size, 8);
    } else if (size >= 4 && size < 8) {
        copy_halves(buffer->bytes, data, size, 4);
    } else {
        return copy_by_call(view, offset, size, buffer);
    }
    return end_copy(view, offset, size, buffer);
}

static int32_t
copy_lines(mmgl_reader *reader)
{
    const mmgl_view *view = reader->view;
    const size_t room = sizeof reader->bytes - 1;

    if (view == NULL)
        return 0;
    if (view->data == NULL)
        return -1;
    uint64_t offset = (uint64_t)reader->offset, rest = offset < view->size ? view->size - offset : 0;
    if (rest == 0)
        return 0;
    size_t size = rest < room ? (size_t)rest : room;
    reader->start = reader->stop = 0;
    memcpy(reader->bytes, view->data + offset, size);
    if (mmgl_has_loss(view) && mmgl_loss_within(view, offset, size) != MMG_OK)
        return -1;
    const uint8_t *end = memrchr(reader->bytes, '\n', size);
    if (size == rest) { /* the last line has no end, or an end that is the last byte */
        reader->bytes[size] = '\n';
        reader->stop = (int32_t)(reader->bytes[size - 1] == '\n' ? size : size + 1);
    } else if (end == NULL) {
        return -1;
    } else {
        size = (size_t)(end - reader->bytes) + 1;
        reader->stop = (int32_t)size;
    }
    reader->offset = (double)(offset + size);
    return 1;
}

static const mmgl_calls calls = {
    .is_lost = is_lost,
    .copy_part = copy_part,
    .copy_lines = copy_lines,
    .find_byte = memchr,
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
