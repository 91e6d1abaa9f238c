/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The guard for mappings of other code, as a userdata that ends with its scope; and the ledger of losses.
 */
#include "view.h"

#include <inttypes.h>
#include <stdio.h>

/* The registry has the metatable of guards under this name. */
#define GUARD_TYPE "mmapguard.guard"

struct guard {
    bool is_active;
    uint32_t flags;
    uint64_t mark; /* the mark of the ledger when the guard was made */
};

/* Reads one record by mmg_losses_get(). Returns false when there is none. */
static bool
next_loss(lua_State *L, uint64_t since, mmg_loss *loss, uint64_t *next)
{
    uint64_t count = 0;

    *loss = (mmg_loss)MMG_LOSS_INIT;
    mmg_status status = mmg_losses_get(since, loss, 1, &count, next);
    if (status != MMG_OK)
        luaL_error(L, "%s (%s)", mmg_status_message(status), mmg_status_name(status));
    return count == 1;
}

static uint64_t
mark_now(lua_State *L)
{
    uint64_t count, mark = 0;
    mmg_status status = mmg_losses_get(0, NULL, 0, &count, &mark);

    if (status != MMG_OK)
        luaL_error(L, "%s (%s)", mmg_status_message(status), mmg_status_name(status));
    return mark;
}

/* Pushes a record as a table. */
static void
push_loss(lua_State *L, const mmg_loss *loss)
{
    lua_createtable(L, 0, 11);
    mmgl_set_integer(L, "sequence", (int64_t)loss->sequence);
    lua_pushstring(L, mmg_status_name(loss->cause));
    lua_setfield(L, -2, "cause");
    lua_pushstring(L, mmg_term(MMG_TERM_ORIGIN, loss->origin));
    lua_setfield(L, -2, "origin");
    if (loss->path[0] != '\0') {
        lua_pushstring(L, loss->path);
        lua_setfield(L, -2, "path");
    }
    mmgl_set_identity(L, "offset", loss->offset);
    mmgl_set_identity(L, "length", loss->length);
    mmgl_set_identity(L, "device", loss->device);
    mmgl_set_identity(L, "inode", loss->inode);
    mmgl_set_identity(L, "address", loss->address);
    mmgl_set_integer(L, "time_ns", loss->time_ns);
    mmgl_set_integer(L, "thread", (int64_t)loss->thread);
}

/*
 * Pushes three values: a list of the records behind a mark, the mark for the next call, and the number of records that
 * are missing.
 */
static int
push_losses(lua_State *L, uint64_t since, bool only_foreign)
{
    uint64_t missing = 0, next = since;
    mmg_loss loss;
    int size = 0;

    lua_newtable(L);
    while (next_loss(L, since, &loss, &next)) {
        missing += next - since - 1;
        since = next;
        if (only_foreign && loss.origin != MMG_ORIGIN_FOREIGN)
            continue;
        push_loss(L, &loss);
        lua_rawseti(L, -2, ++size);
    }
    mmgl_push_count(L, next);
    mmgl_push_count(L, missing);
    return 3;
}

static int
module_losses(lua_State *L)
{
    int64_t since = mmgl_opt_integer(L, 1, 0);

    luaL_argcheck(L, since >= 0, 1, "a mark is not negative");
    luaL_argcheck(L, (uint64_t)since <= mark_now(L), 1, "there is no such mark yet");
    return push_losses(L, (uint64_t)since, false);
}

/* ------------------------------------------------------------------------------------------------------- guards -- */

static struct guard *
check_guard(lua_State *L)
{
    struct guard *guard = luaL_checkudata(L, 1, GUARD_TYPE);

    if (!guard->is_active)
        luaL_error(L, "this guard has ended");
    return guard;
}

static void
guard_end(struct guard *guard)
{
    if (guard->is_active && mmg_guard_process(MMG_SCOPE_NONE, guard->flags) == MMG_OK)
        guard->is_active = false;
}

/* Raises an error if bytes of a mapping that is not a region were lost since the mark. */
static void
raise_losses(lua_State *L, uint64_t since)
{
    uint64_t next = since, count = 0;
    mmg_loss loss, first = MMG_LOSS_INIT;

    while (next_loss(L, since, &loss, &next)) {
        count += next - since - 1;
        since = next;
        if (loss.origin == MMG_ORIGIN_FOREIGN && count++ == 0)
            first = loss;
    }
    if (count == 0)
        return;
    char place[48], more[48] = "";
    snprintf(place, sizeof place, ", first at offset %" PRIu64, first.offset);
    if (count > 1)
        snprintf(more, sizeof more, "; %" PRIu64 " more losses", count - 1);
    luaL_where(L, 1);
    lua_pushfstring(L, "%s: %s%s (%s)%s", first.path[0] == '\0' ? "a mapping" : first.path,
                    mmg_status_message(first.cause), place, mmg_status_name(first.cause), more);
    lua_concat(L, 2);
    lua_error(L);
}

static int
guard_check(lua_State *L)
{
    raise_losses(L, check_guard(L)->mark);
    lua_settop(L, 1);
    return 1;
}

static int
guard_losses(lua_State *L)
{
    return push_losses(L, check_guard(L)->mark, true);
}

static int
guard_stop(lua_State *L)
{
    struct guard *guard = luaL_checkudata(L, 1, GUARD_TYPE);

    if (guard->is_active) {
        guard_end(guard);
        raise_losses(L, guard->mark);
    }
    lua_pushboolean(L, 1);
    return 1;
}

/*
 * Lua calls it at the end of the scope, with the error that has ended the scope, or nil. Such an error has priority
 * over losses.
 */
static int
guard_leave(lua_State *L)
{
    struct guard *guard = luaL_checkudata(L, 1, GUARD_TYPE);
    bool was_active = guard->is_active;

    guard_end(guard);
    if (was_active && lua_isnoneornil(L, 2))
        raise_losses(L, guard->mark);
    return 0;
}

static int
guard_collect(lua_State *L)
{
    guard_end(luaL_checkudata(L, 1, GUARD_TYPE));
    return 0;
}

static uint32_t
check_flags(lua_State *L)
{
    uint32_t flags = 0, flag = 0;

    if (lua_isnoneornil(L, 1))
        return 0;
    luaL_checktype(L, 1, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 1) != 0; lua_pop(L, 1)) {
        if (lua_type(L, -2) != LUA_TSTRING)
            luaL_argerror(L, 1, "names of options are strings");
        if (!mmgl_constant(L, "PROCESS_", lua_tostring(L, -2), &flag))
            luaL_argerror(L, 1, lua_pushfstring(L, "option '%s': unknown option", lua_tostring(L, -2)));
        if (lua_type(L, -1) != LUA_TBOOLEAN)
            luaL_argerror(L, 1, lua_pushfstring(L, "option '%s': boolean expected", lua_tostring(L, -2)));
        if (lua_toboolean(L, -1))
            flags |= flag;
    }
    return flags;
}

static int
module_guard_process(lua_State *L)
{
    uint32_t flags = check_flags(L);
    struct guard *guard = lua_newuserdata(L, sizeof *guard);

    *guard = (struct guard){.flags = flags, .mark = mark_now(L)};
    luaL_getmetatable(L, GUARD_TYPE);
    lua_setmetatable(L, -2);
    mmg_status status = mmg_guard_process(MMG_SCOPE_FILES, flags);
    if (status != MMG_OK) {
        lua_pushnil(L);
        lua_pushstring(L, mmg_status_message(status));
        mmgl_push_integer(L, status);
        return 3;
    }
    guard->is_active = true;
    return 1;
}

void
mmgl_add_process(lua_State *L)
{
    static const luaL_Reg functions[] = {{"check", guard_check},   {"losses", guard_losses}, {"stop", guard_stop},
                                         {"__close", guard_leave}, {"__gc", guard_collect},  {NULL, NULL}};

    if (luaL_newmetatable(L, GUARD_TYPE)) {
        for (const luaL_Reg *function = functions; function->name != NULL; function++) {
            lua_pushcfunction(L, function->func);
            lua_setfield(L, -2, function->name);
        }
        lua_pushvalue(L, -1);
        lua_setfield(L, -2, "__index");
        lua_pushboolean(L, 0); /* getmetatable() returns this to scripts */
        lua_setfield(L, -2, "__metatable");
    }
    lua_pop(L, 1);
    mmgl_push_method(L, module_guard_process);
    lua_setfield(L, lua_upvalueindex(MMGL_MODULE), "guard_process");
    mmgl_push_method(L, module_losses);
    lua_setfield(L, lua_upvalueindex(MMGL_MODULE), "losses");
}
