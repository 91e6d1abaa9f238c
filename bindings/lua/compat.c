/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Converts integers from and to Lua, both for versions that have integers and for versions whose numbers are doubles.
 */
#include "compat.h"

#include <inttypes.h>
#include <stdio.h>

static const char no_integer[] = "number has no integer representation";
#if !MMGL_HAS_INTEGERS
static const char not_exact[] = "number is not exact beyond 2^53";
#endif

bool
mmgl_to_integer(lua_State *L, int index, int64_t *value, const char **why)
{
#if MMGL_HAS_INTEGERS
    int is_integer;
    lua_Integer integer = lua_tointegerx(L, index, &is_integer);

    *value = integer;
    *why = no_integer;
    return is_integer != 0;
#else
    lua_Number number = lua_tonumber(L, index);

    /* 2^53 itself is refused, since a script that means 2^53 + 1 gets the same number. NaN fails every comparison. */
    if (!(number > -(lua_Number)MMGL_EXACT && number < (lua_Number)MMGL_EXACT)) {
        *why = number > 0 || number < 0 ? not_exact : no_integer;
        if (number - number != 0) /* it is infinite or NaN */
            *why = no_integer;
        return false;
    }
    *value = (int64_t)number; /* the number is in range, so the cast is defined; the next line refuses fractions */
    *why = no_integer;
    return (lua_Number)*value == number;
#endif
}

#if LUA_VERSION_NUM == 501

int
mmgl_cdata_type(lua_State *L, int index)
{
    /* The C interface cannot read a cdata, but tonumber() can. It rounds numbers beyond 2^53, and these are refused
       anyway. */
    lua_pushvalue(L, index);
    lua_getglobal(L, "tonumber");
    lua_insert(L, -2);
    lua_call(L, 1, 1);
    if (lua_type(L, -1) != LUA_TNUMBER) {
        lua_pop(L, 1);
        return MMGL_TYPE_CDATA;
    }
    lua_replace(L, index < 0 ? index - 1 : index);
    return LUA_TNUMBER;
}

#endif

int64_t
mmgl_check_any_integer(lua_State *L, int arg)
{
    int64_t value = 0;
    const char *why;

    mmgl_number_type(L, arg);
    luaL_checknumber(L, arg); /* raises the error that names the type */
    luaL_argcheck(L, mmgl_to_integer(L, arg, &value, &why), arg, why);
    return value;
}

int64_t
mmgl_opt_any_integer(lua_State *L, int arg, int64_t otherwise)
{
    return lua_isnoneornil(L, arg) ? otherwise : mmgl_check_any_integer(L, arg);
}

int64_t
mmgl_check_range(lua_State *L, int arg, int64_t least, int64_t most)
{
    int64_t value = mmgl_check_integer(L, arg);

    luaL_argcheck(L, value >= least && value <= most, arg, "value out of range");
    return value;
}

int
mmgl_refuse_count(lua_State *L)
{
    return luaL_error(L, "an integer beyond %s cannot be a number of this Lua", MMGL_HAS_INTEGERS ? "2^63" : "2^53");
}

void
mmgl_push_integer(lua_State *L, int64_t value)
{
#if MMGL_HAS_INTEGERS
    lua_pushinteger(L, (lua_Integer)value);
#else
    /* The negation is unsigned, since -INT64_MIN does not fit into an int64_t. */
    if ((value < 0 ? 0 - (uint64_t)value : (uint64_t)value) > MMGL_MAX_COUNT)
        mmgl_refuse_count(L);
    lua_pushnumber(L, (lua_Number)value);
#endif
}

void
mmgl_set_integer(lua_State *L, const char *key, int64_t value)
{
    mmgl_push_integer(L, value);
    lua_setfield(L, -2, key);
}

void
mmgl_push_identity(lua_State *L, uint64_t value)
{
    char digits[24];

    if (value <= MMGL_MAX_COUNT) {
        mmgl_push_count(L, value);
        return;
    }
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    lua_pushstring(L, digits);
}

void
mmgl_set_identity(lua_State *L, const char *key, uint64_t value)
{
    mmgl_push_identity(L, value);
    lua_setfield(L, -2, key);
}
