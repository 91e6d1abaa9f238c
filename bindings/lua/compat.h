/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Hides the differences between the C interfaces of Lua 5.1 (and LuaJIT), 5.2, 5.3 and 5.4 from all other files. The
 * main difference is in numbers: since 5.3 Lua has integers of 64 bits; before, all numbers are doubles, which are
 * exact only below 2^53.
 */
#ifndef MMAPGUARD_LUA_COMPAT_H
#define MMAPGUARD_LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>

#include <stdbool.h>
#include <stdint.h>

#if LUA_VERSION_NUM < 502
#define lua_rawlen lua_objlen
#define LUA_OK 0
#endif

/** 1 when numbers have an integer subtype, else 0. */
#define MMGL_HAS_INTEGERS (LUA_VERSION_NUM >= 503)
/**
 * Strings up to this size are copied before Lua gets them, because Lua hashes such strings before it copies them. Lua
 * 5.1 and LuaJIT hash strings of every size. Later versions hash strings of up to 40 bytes; the limit here is higher,
 * since a build may change theirs.
 */
#if LUA_VERSION_NUM >= 502
#define MMGL_STACK_COPY 256u
#else
#define MMGL_STACK_COPY 8192u
#endif
/** The value of LUA_GCISRUNNING. LuaJIT has it but does not declare it for 5.1. Lua 5.1 returns -1 for it. */
#define MMGL_GC_IS_RUNNING 9

/** The first integer whose successor is not a double. */
#define MMGL_EXACT (UINT64_C(1) << 53)

/**
 * Returns the type of the value at `index`. For a 64-bit integer of LuaJIT's FFI it returns LUA_TNUMBER, and replaces
 * the value by a number of Lua.
 */
#if LUA_VERSION_NUM == 501
/* The type of a cdata of LuaJIT's FFI. The headers of LuaJIT have no name for it. */
#define MMGL_TYPE_CDATA 10

/** Does what mmgl_number_type() does, for a cdata. */
int mmgl_cdata_type(lua_State *L, int index);

static inline int
mmgl_number_type(lua_State *L, int index)
{
    int type = lua_type(L, index);

    return type == MMGL_TYPE_CDATA ? mmgl_cdata_type(L, index) : type;
}
#else
#define mmgl_number_type lua_type /* only LuaJIT, which loads modules for 5.1, has such integers */
#endif

/** Does what mmgl_check_integer() and mmgl_opt_integer() do, for every argument. */
int64_t mmgl_check_any_integer(lua_State *L, int arg);
int64_t mmgl_opt_any_integer(lua_State *L, int arg, int64_t otherwise);

/** Stores an integer argument, and returns true. Returns false for other arguments, and for some that are integers. */
static inline bool
mmgl_take_integer(lua_State *L, int arg, int64_t *value)
{
#if MMGL_HAS_INTEGERS
    int is_integer;

    *value = lua_tointegerx(L, arg, &is_integer);
    return is_integer != 0;
#else
    lua_Number number = lua_tonumber(L, arg);

    /* 0 may stand for a value that is no number. NaN fails every comparison. */
    if (!(number > -(lua_Number)MMGL_EXACT && number < (lua_Number)MMGL_EXACT && number != 0))
        return false;
    *value = (int64_t)number; /* the number is in range, so the cast is defined */
    return (lua_Number)*value == number;
#endif
}

/**
 * Returns an integer argument. Raises an error when it is not a whole number, or, where numbers are doubles, not exact.
 */
static inline int64_t
mmgl_check_integer(lua_State *L, int arg)
{
    int64_t value;

    return mmgl_take_integer(L, arg, &value) ? value : mmgl_check_any_integer(L, arg);
}

/** Does the same, with a default for none and nil. */
static inline int64_t
mmgl_opt_integer(lua_State *L, int arg, int64_t otherwise)
{
    int64_t value;

    return mmgl_take_integer(L, arg, &value) ? value : mmgl_opt_any_integer(L, arg, otherwise);
}

/** Does the same, and raises an error when the integer is outside a range. */
int64_t mmgl_check_range(lua_State *L, int arg, int64_t least, int64_t most);

/** Returns a string argument, as luaL_checklstring() does, with one call less when there is one. */
static inline const char *
mmgl_check_string(lua_State *L, int arg, size_t *size)
{
    const char *text = lua_tolstring(L, arg, size);

    return text != NULL ? text : luaL_checklstring(L, arg, size);
}

/**
 * Returns true when the value at `index` is a number that mmgl_check_integer() takes. Otherwise returns false and
 * stores the reason in `*why`.
 */
bool mmgl_to_integer(lua_State *L, int index, int64_t *value, const char **why);

/** The largest count that the numbers of this Lua can hold. */
#define MMGL_MAX_COUNT (MMGL_HAS_INTEGERS ? (uint64_t)INT64_MAX : MMGL_EXACT)

/** Raises the error for an integer that the numbers of this Lua cannot hold. */
int mmgl_refuse_count(lua_State *L);

/** Pushes an integer. Raises an error when the numbers of this Lua cannot hold it. */
void mmgl_push_integer(lua_State *L, int64_t value);

/** Pushes a number that is not negative. Raises an error when the numbers of this Lua cannot hold it. */
static inline void
mmgl_push_count(lua_State *L, uint64_t value)
{
    if (value > MMGL_MAX_COUNT)
        mmgl_refuse_count(L);
#if MMGL_HAS_INTEGERS
    lua_pushinteger(L, (lua_Integer)value);
#else
    lua_pushnumber(L, (lua_Number)value);
#endif
}

/** Sets a field of the table at the top of the stack. */
void mmgl_set_integer(lua_State *L, const char *key, int64_t value);

/**
 * Pushes an integer that names something. When the numbers of this Lua cannot hold it, pushes its decimal digits as a
 * string.
 */
void mmgl_push_identity(lua_State *L, uint64_t value);

/** Sets a field of the table at the top of the stack to such an integer. */
void mmgl_set_identity(lua_State *L, const char *key, uint64_t value);

#endif
