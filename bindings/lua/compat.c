/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Integers in and out, for Lua versions that have them and for those whose numbers are doubles.
 */
#include "compat.h"

#include <inttypes.h>
#include <stdio.h>

static const char no_integer[] = "number has no integer representation";
#if !MGL_HAS_INTEGERS
static const char not_exact[] = "number is not exact beyond 2^53";
#endif

bool
mgl_to_integer(lua_State *L, int index, int64_t *value, const char **why)
{
#if MGL_HAS_INTEGERS
    int is_integer;
    lua_Integer integer = lua_tointegerx(L, index, &is_integer);

    *value = integer;
    *why = no_integer;
    return is_integer != 0;
#else
    lua_Number number = lua_tonumber(L, index);

    /* 2^53 itself is refused: it is also what a script gets that wrote 2^53 + 1. NaN fails every comparison. */
    if (!(number > -(lua_Number)MGL_EXACT && number < (lua_Number)MGL_EXACT)) {
        *why = number > 0 || number < 0 ? not_exact : no_integer;
        if (number - number != 0) /* infinite, or NaN */
            *why = no_integer;
        return false;
    }
    *value = (int64_t)number; /* in range, so the cast is defined; what is behind the point is compared next */
    *why = no_integer;
    return (lua_Number)*value == number;
#endif
}

int64_t
mgl_check_integer(lua_State *L, int arg)
{
    int64_t value = 0;
    const char *why;

    if (!mgl_to_integer(L, arg, &value, &why) || (value == 0 && !MGL_HAS_INTEGERS)) {
        luaL_checknumber(L, arg); /* the error that names the type */
        luaL_argcheck(L, mgl_to_integer(L, arg, &value, &why), arg, why);
    }
    return value;
}

int64_t
mgl_opt_integer(lua_State *L, int arg, int64_t otherwise)
{
    return lua_isnoneornil(L, arg) ? otherwise : mgl_check_integer(L, arg);
}

int64_t
mgl_check_range(lua_State *L, int arg, int64_t least, int64_t most)
{
    int64_t value = mgl_check_integer(L, arg);

    luaL_argcheck(L, value >= least && value <= most, arg, "value out of range");
    return value;
}

static bool
fits(uint64_t magnitude)
{
    return magnitude <= (MGL_HAS_INTEGERS ? (uint64_t)INT64_MAX : MGL_EXACT);
}

static void
push_fitting(lua_State *L, int64_t value)
{
#if MGL_HAS_INTEGERS
    lua_pushinteger(L, (lua_Integer)value);
#else
    lua_pushnumber(L, (lua_Number)value);
#endif
}

void
mgl_push_integer(lua_State *L, int64_t value)
{
    /* Negated as unsigned, where INT64_MIN has a negative. */
    if (!MGL_HAS_INTEGERS && !fits(value < 0 ? 0 - (uint64_t)value : (uint64_t)value))
        luaL_error(L, "an integer beyond 2^53 cannot be a number of this Lua");
    push_fitting(L, value);
}

void
mgl_push_count(lua_State *L, uint64_t value)
{
    if (!fits(value))
        luaL_error(L, "an integer beyond %s cannot be a number of this Lua", MGL_HAS_INTEGERS ? "2^63" : "2^53");
    push_fitting(L, (int64_t)value); /* it fits */
}

void
mgl_set_integer(lua_State *L, const char *key, int64_t value)
{
    mgl_push_integer(L, value);
    lua_setfield(L, -2, key);
}

void
mgl_push_identity(lua_State *L, uint64_t value)
{
    char digits[24];

    if (fits(value)) {
        push_fitting(L, (int64_t)value);
        return;
    }
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    lua_pushstring(L, digits);
}
