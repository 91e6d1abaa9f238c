/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a view, its positions, and what is said when bytes were lost.
 */
#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------------- arguments -- */

struct view *
mgl_test_view(lua_State *L)
{
    /* A light userdata is a pointer of somebody else's; only a full one can be ours. */
    if (lua_type(L, 1) == LUA_TUSERDATA && lua_getmetatable(L, 1)) {
        bool ours = lua_rawequal(L, -1, lua_upvalueindex(MGL_REGION)) ||
                    lua_rawequal(L, -1, lua_upvalueindex(MGL_SPAN));
        lua_pop(L, 1);
        if (ours)
            return lua_touserdata(L, 1);
    }
    return NULL;
}

struct view *
mgl_to_view(lua_State *L)
{
    struct view *view = mgl_test_view(L);

    if (view == NULL)
        luaL_argerror(L, 1, lua_pushfstring(L, "region or span expected, got %s", luaL_typename(L, 1)));
    return view;
}

struct view *
mgl_check_view(lua_State *L)
{
    struct view *view = mgl_to_view(L);

    if (view->data == NULL)
        luaL_error(L, "attempt to use a closed %s", view->is_span ? "span" : "region");
    return view;
}

/* A position counted from the end becomes one from the start; 0 when it lies before it. */
static uint64_t
from_start(const struct view *view, int64_t position)
{
    if (position >= 0)
        return (uint64_t)position;
    uint64_t back = 0 - (uint64_t)position; /* as unsigned, where INT64_MIN has a negative */
    return back <= view->size ? view->size - back + 1 : 0;
}

uint64_t
mgl_slice(const struct view *view, int64_t i, int64_t j, uint64_t *length)
{
    uint64_t from = from_start(view, i), to = from_start(view, j);

    if (from < 1)
        from = 1;
    if (to > view->size)
        to = view->size;
    *length = to >= from ? to - from + 1 : 0;
    return *length > 0 ? from - 1 : 0;
}

uint64_t
mgl_check_slice(lua_State *L, const struct view *view, int arg, uint64_t *length)
{
    int64_t i = mgl_opt_integer(L, arg, 1), j = mgl_opt_integer(L, arg + 1, -1);

    return mgl_slice(view, i, j, length);
}

uint64_t
mgl_check_start(lua_State *L, const struct view *view, int arg)
{
    uint64_t from = from_start(view, mgl_opt_integer(L, arg, 1));

    return from < 1 ? 0 : from - 1;
}

bool
mgl_constant(lua_State *L, const char *prefix, const char *word, uint32_t *value)
{
    char name[64];
    size_t length = strlen(prefix);

    if (length + strlen(word) >= sizeof name)
        return false;
    memcpy(name, prefix, length);
    for (; *word != '\0'; word++) {
        if (!((*word >= 'a' && *word <= 'z') || *word == '_'))
            return false;
        name[length++] = (char)(*word == '_' ? '_' : *word - 'a' + 'A');
    }
    name[length] = '\0';
    lua_pushstring(L, name);
    lua_rawget(L, lua_upvalueindex(MGL_MODULE));
    bool known = lua_type(L, -1) == LUA_TNUMBER;
    if (known)
        *value = (uint32_t)lua_tonumber(L, -1); /* the header's own constants: small and not negative */
    lua_pop(L, 1);
    return known;
}

/* -------------------------------------------------------------------------------------------------------- life -- */

struct view *
mgl_new_view(lua_State *L, bool is_span)
{
    struct view *view = lua_newuserdata(L, sizeof *view);

    memset(view, 0, sizeof *view);
    view->is_span = is_span;
    lua_pushvalue(L, lua_upvalueindex(is_span ? MGL_SPAN : MGL_REGION));
    lua_setmetatable(L, -2);
    return view;
}

mmg_status
mgl_release(lua_State *L, struct view *view)
{
    struct shared *shared = view->shared;
    mmg_status status = mmg_unpin(&view->pin); /* an empty one is fine */

    view->data = NULL;
    view->size = 0;
    view->shared = NULL;
    if (shared == NULL)
        return status;
    struct budget *budget = shared->budget;
    budget->views--;
    if (--shared->holders == 0) {
        void *allocator_data;
        lua_Alloc allocate = lua_getallocf(L, &allocator_data);
        budget->bytes -= shared->weight;
        if (shared->handle != 0)
            mmg_close(shared->handle, 0); /* cannot fail: the handle is ours alone and open */
        allocate(allocator_data, shared, shared->room, 0);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------------- bytes -- */

mmg_info
mgl_describe(const struct view *view)
{
    mmg_info info = MMG_INFO_INIT;

    mmg_info_get(view->shared->handle, &info); /* cannot fail: the handle is open, the size is the header's own */
    return info;
}

mmg_status
mgl_loss_within(const struct view *view, uint64_t offset, uint64_t length)
{
    mmg_span probe;
    mmg_status status = mmg_pin(view->shared->handle, view->start + offset, length, &probe);

    return status == MMG_OK ? mmg_unpin(&probe) : status;
}

void
mgl_push_loss(lua_State *L, const struct view *view, mmg_status status)
{
    mmg_info info = mgl_describe(view);
    char place[48] = "";

    if (info.fault_offset != MMG_TO_END)
        snprintf(place, sizeof place, ", first at offset %" PRIu64, info.fault_offset);
    luaL_where(L, 1);
    lua_pushfstring(L, "%s: %s%s (%s)", view->shared->name, mmg_status_message(status), place, mmg_status_name(status));
    lua_concat(L, 2);
}

int
mgl_raise_loss(lua_State *L, const struct view *view, mmg_status status)
{
    mgl_push_loss(L, view, status);
    return lua_error(L);
}

void
mgl_push_bytes(lua_State *L, const unsigned char *data, size_t size)
{
    /*
     * Lua hashes a string that it interns and copies it afterwards. Bytes that change in between would leave a string
     * with the hash of another, which equals nothing. So what may be interned is copied before Lua sees it.
     */
    char small[MGL_HASHED];

    if (size <= sizeof small) {
        memcpy(small, data, size);
        lua_pushlstring(L, small, size);
    } else {
#if LUA_VERSION_NUM >= 502
        lua_pushlstring(L, (const char *)data, size); /* not interned: copied only */
#else
        void *copy = lua_newuserdata(L, size);
        memcpy(copy, data, size);
        lua_pushlstring(L, copy, size);
        lua_remove(L, -2);
#endif
    }
}
