/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The methods that ask the library about a region or a span (check, verify, info, changed), and `advise`, which tells
 * the library what the script will do with the bytes.
 */
#include "view.h"

#include <stdio.h>

/*
 * Returns the status of a view. A region fails on any loss, and a span fails only on a loss inside it. With `verify` the
 * function also returns MMG_E_CHANGED when the file was written to.
 */
static mmg_status
state_of(const struct mmgl_view *view, bool verify)
{
    mmg_status status = (verify ? mmg_verify : mmg_check)(view->shared->handle);

    if (status == MMG_OK || status == MMG_E_CHANGED || view->is_span == 0)
        return status;
    /* A loss that mmg_check() has found is on record now. If there is none, mmg_check() itself has failed, and its
       status is the result. */
    return mmgl_describe(view).fault_cause == MMG_OK ? status : mmgl_loss_within(view, 0, view->size);
}

int
mmgl_view_check(lua_State *L)
{
    struct mmgl_view *view = mmgl_check_view(L);
    mmg_status status = state_of(view, false);

    if (status != MMG_OK)
        return mmgl_raise_loss(L, view, status);
    lua_settop(L, 1);
    return 1;
}

/*
 * Writes a warning to standard error that the file of a view was written to. lua_warning() is switched off by default.
 */
static void
warn_of_change(const struct mmgl_view *view)
{
    fprintf(stderr, "mmapguard: warning: %s: %s (%s)\n", view->shared->name, mmg_status_message(MMG_E_CHANGED),
            mmg_status_name(MMG_E_CHANGED));
}

mmg_status
mmgl_verified_state(const struct mmgl_view *view)
{
    mmg_status status = state_of(view, true);

    if (status != MMG_E_CHANGED || view->shared->raises_on_change)
        return status;
    warn_of_change(view);
    return MMG_OK;
}

int
mmgl_view_verify(lua_State *L)
{
    struct mmgl_view *view = mmgl_check_view(L);
    mmg_status status = mmgl_verified_state(view);

    if (status != MMG_OK)
        return mmgl_raise_loss(L, view, status);
    lua_settop(L, 1);
    return 1;
}

static void
set_string(lua_State *L, const char *key, const char *value)
{
    lua_pushstring(L, value);
    lua_setfield(L, -2, key);
}

/* Sets a field to true in the table at the top of the stack, for the word of each bit that `what` has. */
static void
set_words(lua_State *L, uint32_t vocabulary, const uint32_t *bits, size_t count, uint32_t what)
{
    for (size_t i = 0; i < count; i++)
        if (what & bits[i]) {
            lua_pushboolean(L, 1);
            lua_setfield(L, -2, mmg_term(vocabulary, bits[i]));
        }
}

/* Removes a field from the table at the top of the stack, whose number means that there is nothing to report. */
static void
set_nothing(lua_State *L, const char *key)
{
    lua_pushnil(L);
    lua_setfield(L, -2, key);
}

/* Sets the field `exceptions`: a table with true for the word of each bit of mmg_info.exceptions. */
static void
set_exceptions(lua_State *L, uint32_t exceptions)
{
    static const uint32_t bits[] = {
#define MMG_EXCEPT_CONSTANT(name) name,
#include "constants.inc"
    };

    lua_newtable(L);
    set_words(L, MMG_TERM_EXCEPT, bits, sizeof bits / sizeof bits[0], exceptions);
    lua_setfield(L, -2, "exceptions");
}

/* Sets the field `means_order`: the list of words in mmg_info.means_order, which has four bits for each. */
static void
set_means_order(lua_State *L, uint64_t order)
{
    lua_newtable(L);
    for (int i = 1; order != 0; i++, order >>= 4) {
        lua_pushstring(L, mmg_term(MMG_TERM_MEANS, (uint32_t)(order & 15)));
        lua_rawseti(L, -2, i);
    }
    lua_setfield(L, -2, "means_order");
}

/* One macro for each type of a member: the call that puts the member into the table. */
#define SET_uint32_t(name) mmgl_set_identity(L, #name, info.name)
#define SET_uint64_t(name) mmgl_set_identity(L, #name, info.name)
#define SET_int32_t(name) mmgl_set_integer(L, #name, info.name)
#define SET_int64_t(name) mmgl_set_integer(L, #name, info.name)
#define SET_mmg_status(name) set_string(L, #name, mmg_status_name(info.name))
#define SET_char(name) set_string(L, #name, info.name)

int
mmgl_view_info(lua_State *L)
{
    struct mmgl_view *view = mmgl_check_view(L);
    mmg_info info = mmgl_describe(view);

    lua_createtable(L, 0, 32);
#define MMG_INFO_FIELD(type, name) SET_##type(name);
#define MMG_INFO_WORD(vocabulary, name) set_string(L, #name, mmg_term(vocabulary, info.name));
#include "fields.inc"
    set_exceptions(L, info.exceptions);
    set_means_order(L, info.means_order);
    if (info.fault_cause == MMG_OK)
        set_nothing(L, "fault_cause");
    if (info.fault_offset == MMG_TO_END)
        set_nothing(L, "fault_offset");
    if (info.lock_error == 0)
        set_nothing(L, "lock_error");
    if (info.os_error == 0)
        set_nothing(L, "os_error");
    return 1;
}

void
mmgl_push_stats(lua_State *L, const mmg_stats *stats)
{
    lua_createtable(L, 0, 12);
#define MMG_STATS_FIELD(type, name) mmgl_set_integer(L, #name, (int64_t)stats->name);
#include "fields.inc"
}

int
mmgl_view_changed(lua_State *L)
{
    static const uint32_t bits[] = {
#define MMG_CHANGED_CONSTANT(name) name,
#include "constants.inc"
    };
    struct mmgl_view *view = mmgl_check_view(L);
    uint32_t what = 0;
    mmg_status status = mmg_changed(view->shared->handle, &what);

    if (status != MMG_OK)
        return mmgl_raise_loss(L, view, status);
    if (what == 0) {
        lua_pushboolean(L, 0);
        return 1;
    }
    lua_newtable(L);
    set_words(L, MMG_TERM_CHANGED, bits, sizeof bits / sizeof bits[0], what);
    return 1;
}

int
mmgl_view_advise(lua_State *L)
{
    struct mmgl_view *view = mmgl_check_view(L);
    uint32_t advice = 0;
    uint64_t length;

    if (mmgl_number_type(L, 2) == LUA_TNUMBER)
        advice = (uint32_t)mmgl_check_range(L, 2, 0, UINT32_MAX);
    else if (!mmgl_constant(L, "ADVICE_", luaL_checkstring(L, 2), &advice))
        return luaL_argerror(L, 2, lua_pushfstring(L, "unknown advice '%s'", lua_tostring(L, 2)));
    uint64_t offset = mmgl_check_slice(L, view, 3, &length);
    mmg_status status = mmg_advise(view->shared->handle, view->start + offset, length, advice);
    if (status == MMG_E_ARGUMENT)
        return luaL_argerror(L, 2, "unknown advice");
    if (status != MMG_OK)
        return mmgl_raise_loss(L, view, status);
    lua_settop(L, 1);
    return 1;
}
