/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The table of methods of regions and spans, and the short ones: bytes, parts and closing.
 */
#include "view.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* The upvalue with the table of methods, which only __index has. */
#define METHODS (MMGL_UPVALUES + 1)

/* ------------------------------------------------------------------------------------------------------- bytes -- */

static inline void
push_byte(lua_State *L, const struct mmgl_view *view, uint64_t offset)
{
    unsigned char byte = view->data[offset];

    if (byte == 0) /* a lost byte reads as zero */
        mmgl_verify(L, view, offset, 1);
    lua_pushinteger(L, byte);
}

/* Does what view_index() does, for a number. Kept apart, so that a look-up of a method saves fewer registers. */
__attribute__((noinline)) static int
push_at(lua_State *L)
{
    struct mmgl_view *view = mmgl_check_view(L);
    int64_t position;
    const char *why;

    if (!mmgl_take_integer(L, 2, &position) && !mmgl_to_integer(L, 2, &position, &why))
        return luaL_error(L, "bad argument #1 to '[]' (%s)", why);
    /* Valid positions are 1 to size and -size to -1. As unsigned numbers, all others become offsets beyond the end. */
    uint64_t offset = position > 0 ? (uint64_t)position - 1 : view->size + (uint64_t)position;
    if (position == 0 || offset >= view->size)
        lua_pushnil(L);
    else
        push_byte(L, view, offset);
    return 1;
}

static int
view_index(lua_State *L)
{
    if (mmgl_number_type(L, 2) == LUA_TNUMBER)
        return push_at(L);
    if (lua_gettop(L) != 2) /* only the debug library makes such calls */
        lua_settop(L, 2);
    lua_rawget(L, lua_upvalueindex(METHODS));
    return 1;
}

static int
view_newindex(lua_State *L)
{
    return luaL_error(L, "attempt to change a %s, which is read-only",
                      mmgl_to_view(L)->is_span != 0 ? "span" : "region");
}

static int
view_len(lua_State *L)
{
    mmgl_push_count(L, mmgl_check_view(L)->size);
    return 1;
}

/*
 * Does what view_byte() does, for all arguments; `last` is the index of the last. Kept apart, so that a call for one byte
 * saves fewer registers.
 */
__attribute__((noinline)) static int
push_bytes(lua_State *L, const struct mmgl_view *view, int last)
{
    uint64_t length;
    int64_t i = mmgl_opt_integer(L, 2, 1), j = last > 2 ? mmgl_opt_integer(L, 3, i) : i;
    uint64_t offset = mmgl_slice(view, i, j, &length);

    if (length == 1) {
        push_byte(L, view, offset);
        return 1;
    }
    luaL_argcheck(L, length < INT_MAX / 2, 3, "slice too long");
    luaL_checkstack(L, (int)length, "slice too long");
    for (uint64_t n = 0; n < length; n++)
        lua_pushinteger(L, view->data[offset + n]);
    mmgl_verify(L, view, offset, length);
    return (int)length;
}

static int
view_byte(lua_State *L)
{
    struct mmgl_view *view = mmgl_check_view(L);
    int last = lua_gettop(L);
    int64_t i;

    /* As unsigned numbers, 0 and all positions that count from the end become offsets beyond the end. */
    if (last != 2 || !mmgl_take_integer(L, 2, &i) || (uint64_t)i - 1 >= view->size)
        return push_bytes(L, view, last);
    push_byte(L, view, (uint64_t)i - 1);
    return 1;
}

static int
view_sub(lua_State *L)
{
    struct mmgl_view *view = mmgl_check_view(L);
    uint64_t length;
    int64_t i = mmgl_check_integer(L, 2);
    uint64_t offset = mmgl_slice(view, i, mmgl_opt_integer(L, 3, -1), &length);

    mmgl_push_bytes(L, view->data + offset, (size_t)length);
    mmgl_verify(L, view, offset, length);
    return 1;
}

static int
view_span(lua_State *L)
{
    struct mmgl_view *view = mmgl_check_view(L);
    uint64_t length;
    uint64_t offset = mmgl_check_slice(L, view, 2, &length);
    struct mmgl_view *span = mmgl_new_view(L, true);
    mmg_status status = mmg_pin(view->shared->handle, view->start + offset, length, &span->pin);

    if (status != MMG_OK)
        return mmgl_raise_loss(L, view, status);
    span->shared = view->shared;
    span->losses = view->losses;
    span->shared->holders++;
    span->shared->state->views++;
    mmgl_fill_view(span, view->start + offset);
    return 1;
}

static int
view_tostring(lua_State *L)
{
    struct mmgl_view *view = mmgl_to_view(L);
    const char *what = view->is_span != 0 ? "span" : "region";
    char size[24];

    if (view->data == NULL) {
        lua_pushfstring(L, "%s (closed)", what);
        return 1;
    }
    snprintf(size, sizeof size, "%llu", (unsigned long long)view->size);
    lua_pushfstring(L, "%s (%s, %s bytes)", what, view->shared->name, size);
    return 1;
}

/* ----------------------------------------------------------------------------------------------------- closing -- */

/* Ends a view, and raises an error if what was computed from it does not hold. */
static int
end_view(lua_State *L, struct mmgl_view *view)
{
    mmg_status status = mmgl_verified_state(view);

    if (status != MMG_OK) {
        mmgl_push_loss(L, view, status); /* first: if there is no memory for it, nothing changes */
        mmgl_release(L, view);
        return lua_error(L);
    }
    status = mmgl_release(L, view);
    if (status != MMG_OK) /* bytes were lost after the status was read */
        return luaL_error(L, "%s (%s)", mmg_status_message(status), mmg_status_name(status));
    return 0;
}

static int
view_close(lua_State *L)
{
    struct mmgl_view *view = mmgl_to_view(L);

    if (view->data != NULL)
        end_view(L, view);
    lua_pushboolean(L, 1);
    return 1;
}

/* Ends a view at the end of its scope. When an error has ended the scope, the function raises no other error. */
static int
view_leave(lua_State *L)
{
    struct mmgl_view *view = mmgl_to_view(L);

    if (view->data != NULL && lua_isnoneornil(L, 2))
        return end_view(L, view);
    mmgl_release(L, view);
    return 0;
}

/*
 * The finalizer. It raises no error for any argument, since an error in a finalizer would appear in unrelated code that
 * allocates. With the debug library a script may even give this metatable to a table.
 */
static int
view_collect(lua_State *L)
{
    struct mmgl_view *view = mmgl_test_view(L);

    if (view != NULL)
        mmgl_release(L, view);
    return 0;
}

/* ------------------------------------------------------------------------------------------------------ set-up -- */

static void
push_upvalues(lua_State *L)
{
    for (int i = 1; i <= MMGL_UPVALUES; i++)
        lua_pushvalue(L, lua_upvalueindex(i));
}

void
mmgl_push_method(lua_State *L, lua_CFunction function)
{
    push_upvalues(L);
    lua_pushcclosure(L, function, MMGL_UPVALUES);
}

static const luaL_Reg methods[] = {
    {"advise", mmgl_view_advise},
    {"byte", view_byte},
    {"changed", mmgl_view_changed},
    {"check", mmgl_view_check},
    {"verify", mmgl_view_verify},
    {"close", view_close},
    {"find", mmgl_find},
    {"info", mmgl_view_info},
    {"lines", mmgl_lines},
    {"span", view_span},
    {"sub", view_sub},
    {"unpack", mmgl_unpack},
    {NULL, NULL},
};

static const luaL_Reg metamethods[] = {
    {"__close", view_leave},       {"__gc", view_collect},        {"__len", view_len},
    {"__newindex", view_newindex}, {"__tostring", view_tostring}, {NULL, NULL},
};

static void
add(lua_State *L, int table, const luaL_Reg *functions)
{
    for (; functions->name != NULL; functions++) {
        mmgl_push_method(L, functions->func);
        lua_setfield(L, table, functions->name);
    }
}

static void
fill_metatable(lua_State *L, int metatable, int method_table, const char *name)
{
    add(L, metatable, metamethods);
    push_upvalues(L);
    lua_pushvalue(L, method_table);
    lua_pushcclosure(L, view_index, MMGL_UPVALUES + 1);
    lua_setfield(L, metatable, "__index");
    lua_pushstring(L, name);
    lua_setfield(L, metatable, "__name");
    lua_pushboolean(L, 0); /* getmetatable() returns this to scripts */
    lua_setfield(L, metatable, "__metatable");
}

/* Returns true when string.find of this interpreter treats a start behind the end as the end, as that of 5.1 does. */
static bool
clamps_init(lua_State *L)
{
    bool clamps = LUA_VERSION_NUM < 502;

    lua_getglobal(L, "string"); /* a host may not have loaded the string library */
    if (lua_type(L, -1) == LUA_TTABLE) {
        lua_getfield(L, -1, "find");
        if (lua_iscfunction(L, -1)) {
            lua_pushliteral(L, "");
            lua_pushliteral(L, "");
            lua_pushinteger(L, 3);
            lua_call(L, 3, 1);
            clamps = !lua_isnil(L, -1);
        }
        lua_pop(L, 1);
    }
    lua_pop(L, 1);
    return clamps;
}

/* Runs with the same upvalues as the methods, since it creates the methods from them. */
static int
set_up(lua_State *L)
{
    struct mmgl_state *state = lua_touserdata(L, lua_upvalueindex(MMGL_STATE));

    lua_settop(L, 0);
    state->clamps_init = clamps_init(L);
    lua_newtable(L);
    add(L, 1, methods);
    fill_metatable(L, lua_upvalueindex(MMGL_REGION), 1, "mmapguard.region");
    fill_metatable(L, lua_upvalueindex(MMGL_SPAN), 1, "mmapguard.span");
    mmgl_add_open(L);
    mmgl_add_process(L);
    mmgl_share(L, 1);
    return 0;
}

void
mmgl_setup(lua_State *L)
{
    int module = lua_gettop(L);

    lua_newtable(L);
    lua_newtable(L);
    lua_pushvalue(L, module);
    memset(lua_newuserdata(L, sizeof(struct mmgl_state)), 0, sizeof(struct mmgl_state));
    lua_pushcclosure(L, set_up, MMGL_UPVALUES);
    lua_call(L, 0, 0);
}
