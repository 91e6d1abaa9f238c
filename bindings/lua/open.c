/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opens regions. Takes options from a table, returns failures as nil, message and code, and runs the collector when
 * regions hold too much that the collector cannot see.
 */
#include "view.h"

#include <string.h>

/*
 * A collection takes time, so each limit is twice what the last collection has left, and at least the number here. A
 * mapped region holds a descriptor, of which a process may often have only 1024.
 */
#define MIN_VIEWS_LIMIT 256u
#define MIN_BYTES_LIMIT (UINT64_C(64) << 20)

typedef mmg_status (*opener)(const char *, const mmg_options *, mmg_handle *, mmg_error *);

/* ----------------------------------------------------------------------------------------------------- options -- */

/* The members of mmg_options by name. */
static const struct member {
    const char *name;
    size_t place;
    bool wide; /* 64 bits */
} members[] = {
#define MMG_OPTIONS_FIELD(type, name) {#name, offsetof(mmg_options, name), sizeof(type) == sizeof(uint64_t)},
#include "fields.inc"
};

/* Returns the prefix of the constants that a member takes as words; NULL when the member is a count. */
static const char *
word_prefix(const char *name)
{
    static const char *const prefixes[][2] = {
        {"backing", "BACKING_"}, {"guarantee", "GUARANTEE_"}, {"lock", "LOCK_"}, {"access", "ADVICE_"}};

    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (strcmp(name, prefixes[i][0]) == 0)
            return prefixes[i][1];
    return NULL;
}

/* Returns true when a count takes math.huge, which means "no limit". */
static bool
is_limit(const char *name)
{
    return word_prefix(name) == NULL && strcmp(name, "offset") != 0 && strcmp(name, "length") != 0;
}

static int
bad_option(lua_State *L, const char *name, const char *why)
{
    return luaL_argerror(L, 2, lua_pushfstring(L, "option '%s': %s", name, why));
}

static uint64_t
number_option(lua_State *L, const char *name, bool wide)
{
    uint64_t most = wide ? UINT64_MAX : UINT32_MAX;
    int64_t value = 0;
    const char *why;

    if (mmgl_number_type(L, -1) != LUA_TNUMBER)
        bad_option(L, name, lua_pushfstring(L, "number expected, got %s", luaL_typename(L, -1)));
    lua_Number number = lua_tonumber(L, -1);
    if (is_limit(name) && number > 0 && number - number != 0) /* it is infinite, and not NaN */
        return most;
    if (!mmgl_to_integer(L, -1, &value, &why))
        bad_option(L, name, why);
    if (value < 0 || (uint64_t)value > most)
        bad_option(L, name, "value out of range");
    return (uint64_t)value;
}

/* Stores the value at the top of the stack in a member of the options. */
static void
take_member(lua_State *L, const struct member *member, mmg_options *options)
{
    unsigned char *place = (unsigned char *)options + member->place;
    const char *prefix = word_prefix(member->name);
    uint32_t narrow = 0;

    if (prefix != NULL && lua_type(L, -1) == LUA_TSTRING) {
        const char *word = lua_tostring(L, -1);
        if (!mmgl_constant(L, prefix, word, &narrow))
            bad_option(L, member->name, lua_pushfstring(L, "unknown word '%s'", word));
        memcpy(place, &narrow, sizeof narrow);
        return;
    }
    uint64_t value = number_option(L, member->name, member->wide);
    narrow = (uint32_t)value; /* the value was checked, unless the member is wide */
    if (member->wide)
        memcpy(place, &value, sizeof value);
    else
        memcpy(place, &narrow, sizeof narrow);
}

/* Returns true when the value of the option `on_change`, at the top of the stack, is "raise". */
static bool
take_on_change(lua_State *L)
{
    const char *word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    bool raises = strcmp(word, "raise") == 0;

    if (!raises && strcmp(word, "warn") != 0)
        bad_option(L, "on_change", "'warn' or 'raise' expected");
    return raises;
}

/* Stores the option whose name is at index -2 and whose value is at index -1. */
static void
take_option(lua_State *L, mmg_options *options, bool *raises_on_change)
{
    uint32_t flag = 0;

    if (lua_type(L, -2) != LUA_TSTRING)
        luaL_argerror(L, 2, lua_pushfstring(L, "names of options are strings, not %s", luaL_typename(L, -2)));
    const char *name = lua_tostring(L, -2);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++)
        if (strcmp(name, members[i].name) == 0 && strcmp(name, "flags") != 0) { /* a flag is set by its own name */
            take_member(L, &members[i], options);
            return;
        }
    if (strcmp(name, "on_change") == 0) {
        *raises_on_change = take_on_change(L);
        return;
    }
    bool stable = strcmp(name, "stable") == 0;
    if (!stable && !mmgl_constant(L, "FLAG_", name, &flag))
        bad_option(L, name, "unknown option");
    if (lua_type(L, -1) != LUA_TBOOLEAN)
        bad_option(L, name, lua_pushfstring(L, "boolean expected, got %s", luaL_typename(L, -1)));
    if (!lua_toboolean(L, -1))
        return;
    if (stable)
        options->guarantee = MMG_GUARANTEE_STABLE;
    else
        options->flags |= flag;
}

static void
check_options(lua_State *L, mmg_options *options, bool *raises_on_change)
{
    if (lua_isnoneornil(L, 2))
        return;
    luaL_checktype(L, 2, LUA_TTABLE);
    for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1))
        take_option(L, options, raises_on_change);
}

/* -------------------------------------------------------------------------------------------------- collecting -- */

static void
collect(lua_State *L, struct mmgl_state *state)
{
    if (lua_gc(L, MMGL_GC_IS_RUNNING, 0) != 0) /* do not collect when the script has stopped the collector */
        lua_gc(L, LUA_GCCOLLECT, 0);
    state->views_limit = state->views > MIN_VIEWS_LIMIT / 2 ? state->views * 2 : MIN_VIEWS_LIMIT;
    state->bytes_limit = state->bytes > MIN_BYTES_LIMIT / 2 ? state->bytes * 2 : MIN_BYTES_LIMIT;
}

/* ----------------------------------------------------------------------------------------------------- opening -- */

static struct mmgl_shared *
new_shared(lua_State *L, struct mmgl_state *state, const char *name)
{
    void *allocator_data;
    lua_Alloc allocate = lua_getallocf(L, &allocator_data);
    size_t length = strlen(name) + 1, room = sizeof(struct mmgl_shared) + length;
    struct mmgl_shared *shared = allocate(allocator_data, NULL, 0, room);

    if (shared == NULL)
        return NULL;
    *shared = (struct mmgl_shared){.state = state, .holders = 1, .room = room};
    memcpy(shared->name, name, length);
    state->views++;
    return shared;
}

/* Opens a region for a new, closed view. */
static mmg_status
open_view(lua_State *L, struct mmgl_view *view, opener function, const char *path, const mmg_options *options,
          mmg_error *error)
{
    view->shared = new_shared(L, lua_touserdata(L, lua_upvalueindex(MMGL_STATE)), path);
    if (view->shared == NULL)
        return MMG_E_NO_MEMORY;
    mmg_status status = function(path, options, &view->shared->handle, error);
    if (status != MMG_OK)
        return status;
    status = mmg_pin(view->shared->handle, 0, MMG_TO_END, &view->pin);
    if (status != MMG_OK)
        return status;
    const uint32_t *losses;
    status = mmg_loss_counter(view->shared->handle, &losses);
    if (status != MMG_OK)
        return status;
    view->losses = (const int32_t *)losses;
    mmg_info info = mmgl_describe(view);
    view->shared->weight = info.heap_bytes;
    view->shared->state->bytes += info.heap_bytes;
    mmgl_fill_view(view, 0);
    return MMG_OK;
}

static bool
is_shortage(mmg_status status)
{
    return status == MMG_E_LIMIT || status == MMG_E_NO_MEMORY;
}

static int
open_region(lua_State *L, opener function)
{
    size_t length;
    const char *path = luaL_checklstring(L, 1, &length);
    struct mmgl_state *state = lua_touserdata(L, lua_upvalueindex(MMGL_STATE));
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    bool raises_on_change = false;

    luaL_argcheck(L, strlen(path) == length, 1, "path contains a zero byte");
    check_options(L, &options, &raises_on_change);
    if (state->views >= state->views_limit || state->bytes >= state->bytes_limit)
        collect(L, state);
    struct mmgl_view *view = mmgl_new_view(L, false);
    mmg_status status = open_view(L, view, function, path, &options, &error);
    if (is_shortage(status)) {
        mmgl_release(L, view);
        collect(L, state);
        error = (mmg_error)MMG_ERROR_INIT;
        status = open_view(L, view, function, path, &options, &error);
    }
    if (status == MMG_OK) {
        view->shared->raises_on_change = raises_on_change;
        return 1;
    }
    mmgl_release(L, view);
    lua_pushnil(L);
    if (error.message[0] != '\0')
        lua_pushstring(L, error.message);
    else
        lua_pushfstring(L, "%s: %s", path, mmg_status_message(status));
    mmgl_push_integer(L, status);
    return 3;
}

static int
module_open(lua_State *L)
{
    return open_region(L, mmg_open);
}

static int
module_load(lua_State *L)
{
    return open_region(L, mmg_load);
}

void
mmgl_add_open(lua_State *L)
{
    mmgl_push_method(L, module_open);
    lua_setfield(L, lua_upvalueindex(MMGL_MODULE), "open");
    mmgl_push_method(L, module_load);
    lua_setfield(L, lua_upvalueindex(MMGL_MODULE), "load");
}
