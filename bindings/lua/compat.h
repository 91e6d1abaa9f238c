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

/** Have numbers an integer subtype? */
#define MGL_HAS_INTEGERS (LUA_VERSION_NUM >= 503)
/** Strings longer than this are copied as they are; shorter ones, or all in Lua 5.1 and LuaJIT, are hashed first. It
 *  is 40 where Lua was built as it comes; much more is allowed for. */
#define MGL_HASHED 256u
/** LUA_GCISRUNNING, which LuaJIT knows without declaring it for 5.1, and 5.1 answers with -1. */
#define MGL_GC_IS_RUNNING 9

/** The first integer that a double cannot tell from its neighbour. */
#define MGL_EXACT (UINT64_C(1) << 53)

/** Check an integer argument: a whole number, and where numbers are doubles one that is exact. */
int64_t mgl_check_integer(lua_State *L, int arg);

/** The same with a default for none and nil. */
int64_t mgl_opt_integer(lua_State *L, int arg, int64_t otherwise);

/** The same for a range. */
int64_t mgl_check_range(lua_State *L, int arg, int64_t least, int64_t most);

/** Is the value at `index` a number that mgl_check_integer() takes? If not, `*why` says what is wrong with it. */
bool mgl_to_integer(lua_State *L, int index, int64_t *value, const char **why);

/** Push an integer; an error where it does not fit. */
void mgl_push_integer(lua_State *L, int64_t value);
void mgl_push_count(lua_State *L, uint64_t value);

/** Set a field of the table at the top of the stack. */
void mgl_set_integer(lua_State *L, const char *key, int64_t value);

/** Push an integer that names something: where it does not fit, its decimal digits as a string. */
void mgl_push_identity(lua_State *L, uint64_t value);

#endif
