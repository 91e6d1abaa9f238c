/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The life of a view, its positions, and the messages about lost bytes.
 */
#include "view.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --------------------------------------------------------------------------------------------------- arguments -- */

struct mmgl_view *
mmgl_test_view(lua_State *L)
{
    /* Only a full userdata can be a view. A light one is a pointer of other code. */
    if (lua_type(L, 1) != LUA_TUSERDATA || !lua_getmetatable(L, 1))
        return NULL;
    bool is_view = lua_rawequal(L, -1, lua_upvalueindex(MMGL_REGION)) ||
                   lua_rawequal(L, -1, lua_upvalueindex(MMGL_SPAN));
    lua_pop(L, 1);
    return is_view ? lua_touserdata(L, 1) : NULL;
}

struct mmgl_view *
mmgl_to_view(lua_State *L)
{
    struct mmgl_view *view = mmgl_test_view(L);

    /* A function of the FFI module passes nil on where its caller gave no value. */
    if (view == NULL)
        luaL_argerror(L, 1,
                      lua_pushfstring(L, "region or span expected, got %s",
                                      lua_isnoneornil(L, 1) ? "no value" : luaL_typename(L, 1)));
    return view;
}

_Atomic(const void *) mmgl_known_views[MMGL_KNOWN_VIEWS];

static void
forget_view(const struct mmgl_view *view)
{
    const void *known = view;

    atomic_compare_exchange_strong_explicit(mmgl_known_place(view), &known, NULL, memory_order_relaxed,
                                            memory_order_relaxed);
}

struct mmgl_view *
mmgl_check_unknown_view(lua_State *L)
{
    struct mmgl_view *view = mmgl_to_view(L);

    if (view->data == NULL)
        luaL_error(L, "attempt to use a closed %s", view->is_span != 0 ? "span" : "region");
    atomic_store_explicit(mmgl_known_place(view), view, memory_order_relaxed);
    return view;
}

/*
 * Converts a position that may count from the end to one that counts from the start. Returns 0 when it is before the
 * start.
 */
static uint64_t
from_start(const struct mmgl_view *view, int64_t position)
{
    if (position >= 0)
        return (uint64_t)position;
    uint64_t back = 0 - (uint64_t)position; /* unsigned, since -INT64_MIN does not fit into an int64_t */
    return back <= view->size ? view->size - back + 1 : 0;
}

uint64_t
mmgl_slice(const struct mmgl_view *view, int64_t i, int64_t j, uint64_t *length)
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
mmgl_check_slice(lua_State *L, const struct mmgl_view *view, int arg, uint64_t *length)
{
    int64_t i = mmgl_opt_integer(L, arg, 1), j = mmgl_opt_integer(L, arg + 1, -1);

    return mmgl_slice(view, i, j, length);
}

uint64_t
mmgl_check_any_start(lua_State *L, const struct mmgl_view *view, int arg)
{
    uint64_t from = from_start(view, mmgl_opt_integer(L, arg, 1));

    return from < 1 ? 0 : from - 1;
}

bool
mmgl_constant(lua_State *L, const char *prefix, const char *word, uint32_t *value)
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
    lua_rawget(L, lua_upvalueindex(MMGL_MODULE));
    bool known = lua_type(L, -1) == LUA_TNUMBER;
    if (known)
        *value = (uint32_t)lua_tonumber(L, -1); /* exact: the constants of the header are small and not negative */
    lua_pop(L, 1);
    return known;
}

/* -------------------------------------------------------------------------------------------------------- life -- */

struct mmgl_view *
mmgl_new_view(lua_State *L, bool is_span)
{
    struct mmgl_view *view = lua_newuserdata(L, sizeof *view);

    memset(view, 0, sizeof *view);
    view->is_span = is_span ? 1 : 0;
    lua_pushvalue(L, lua_upvalueindex(is_span ? MMGL_SPAN : MMGL_REGION));
    lua_setmetatable(L, -2);
    return view;
}

void
mmgl_fill_view(struct mmgl_view *view, uint64_t start)
{
    view->data = view->pin.data;
    view->size = view->pin.size;
    view->length = (double)view->pin.size;
    view->reach = view->pin.size < INT32_MAX ? (int32_t)view->pin.size : INT32_MAX;
    view->start = start;
    view->seal = mmgl_seal_of(view);
}

mmg_status
mmgl_release(lua_State *L, struct mmgl_view *view)
{
    struct mmgl_shared *shared = view->shared;
    mmg_status status = mmg_unpin(&view->pin); /* the pin may be empty */

    forget_view(view);
    view->seal = 0;
    view->data = NULL;
    view->losses = NULL;
    view->size = 0;
    view->length = 0;
    view->reach = 0;
    view->shared = NULL;
    if (shared == NULL)
        return status;
    struct mmgl_state *state = shared->state;
    state->views--;
    if (--shared->holders == 0) {
        void *allocator_data;
        lua_Alloc allocate = lua_getallocf(L, &allocator_data);
        state->bytes -= shared->weight;
        if (shared->handle != 0)
            mmg_close(shared->handle, 0); /* cannot fail: the handle is open, and only this code has it */
        allocate(allocator_data, shared, shared->room, 0);
    }
    return status;
}

/* ------------------------------------------------------------------------------------------------------- bytes -- */

mmg_info
mmgl_describe(const struct mmgl_view *view)
{
    mmg_info info = MMG_INFO_INIT;

    mmg_info_get(view->shared->handle, &info); /* cannot fail: the handle is open, and the size is that of the header */
    return info;
}

mmg_status
mmgl_loss_within(const struct mmgl_view *view, uint64_t offset, uint64_t length)
{
    mmg_span probe;
    mmg_status status = mmg_pin(view->shared->handle, view->start + offset, length, &probe);

    return status == MMG_OK ? mmg_unpin(&probe) : status;
}

void
mmgl_push_loss(lua_State *L, const struct mmgl_view *view, mmg_status status)
{
    mmg_info info = mmgl_describe(view);
    char place[48] = "";

    if (info.fault_offset != MMG_TO_END)
        snprintf(place, sizeof place, ", first at offset %" PRIu64, info.fault_offset);
    luaL_where(L, 1);
    lua_pushfstring(L, "%s: %s%s (%s)", view->shared->name, mmg_status_message(status), place, mmg_status_name(status));
    lua_concat(L, 2);
}

int
mmgl_raise_loss(lua_State *L, const struct mmgl_view *view, mmg_status status)
{
    mmgl_push_loss(L, view, status);
    return lua_error(L);
}

void
mmgl_push_bytes(lua_State *L, const unsigned char *data, size_t size)
{
    /*
     * Lua first hashes a string that it interns, and copies it afterwards. If the bytes changed in between, the string
     * would have a wrong hash, and would not equal any other string. So bytes that may be interned are copied before
     * Lua gets them.
     */
    char copy[MMGL_STACK_COPY];

    if (size <= sizeof copy) {
        memcpy(copy, data, size);
        lua_pushlstring(L, copy, size);
    } else {
#if LUA_VERSION_NUM >= 502
        lua_pushlstring(L, (const char *)data, size); /* Lua does not intern such a string, and copies it only once */
#else
        void *large = lua_newuserdata(L, size);
        memcpy(large, data, size);
        lua_pushlstring(L, large, size);
        lua_remove(L, -2);
#endif
    }
}
