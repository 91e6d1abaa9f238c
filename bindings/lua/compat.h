/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What differs between the C interfaces of Lua 5.1 (and LuaJIT), 5.2, 5.3 and 5.4, so that every other file is written
 * once. Numbers are the main thing: from 5.3 on a Lua integer has 64 bits; before that all numbers are doubles, exact
 * below 2^53 only.
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
 * Strings up to this size are copied before Lua sees them, because Lua hashes them before it copies them. Lua 5.1 and
 * LuaJIT hash strings of every size; the others do so up to 40 bytes where Lua was built as it comes, and room is left
 * for builds with a larger limit.
 */
#if LUA_VERSION_NUM >= 502
#define MMGL_STACK_COPY 256u
#else
#define MMGL_STACK_COPY 8192u
#endif
/** LUA_GCISRUNNING, which LuaJIT knows without declaring it for 5.1, and 5.1 answers with -1. */
#define MMGL_GC_IS_RUNNING 9

/** The first integer that a double cannot tell from its neighbour. */
#define MMGL_EXACT (UINT64_C(1) << 53)

/**
 * Returns the type of the value at `index`, LUA_TNUMBER for a 64-bit integer of LuaJIT's FFI. Such an integer becomes a
 * number of Lua in its place.
 */
int mmgl_number_type(lua_State *L, int index);

/** Check an integer argument: a whole number, and where numbers are doubles one that is exact. */
int64_t mmgl_check_integer(lua_State *L, int arg);

/** The same with a default for none and nil. */
int64_t mmgl_opt_integer(lua_State *L, int arg, int64_t otherwise);

/** The same for a range. */
int64_t mmgl_check_range(lua_State *L, int arg, int64_t least, int64_t most);

/** Returns true when the value at `index` is a number that mmgl_check_integer() takes; else `*why` says what is wrong. */
bool mmgl_to_integer(lua_State *L, int index, int64_t *value, const char **why);

/** Push an integer; an error where it does not fit. */
void mmgl_push_integer(lua_State *L, int64_t value);
void mmgl_push_count(lua_State *L, uint64_t value);

/** Set a field of the table at the top of the stack. */
void mmgl_set_integer(lua_State *L, const char *key, int64_t value);

/** Push an integer that names something: where it does not fit, its decimal digits as a string. */
void mmgl_push_identity(lua_State *L, uint64_t value);

#endif
