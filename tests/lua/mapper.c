/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A module that maps files without mmapguard, as modules of other authors do. guard_process guards such mappings.
 * Usage: `local map = require "mapper"; print(map(path, size)(position))`.
 */
#define _POSIX_C_SOURCE 200809L /* O_CLOEXEC */

#include <lauxlib.h>
#include <lua.h>

#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

int luaopen_mapper(lua_State *L);

static int
byte_at(lua_State *L)
{
    const volatile unsigned char *bytes = lua_touserdata(L, lua_upvalueindex(1));

    lua_pushinteger(L, bytes[luaL_checkinteger(L, 1) - 1]);
    return 1;
}

static int
map(lua_State *L)
{
    int fd = open(luaL_checkstring(L, 1), O_RDONLY | O_CLOEXEC);
    void *bytes = mmap(NULL, (size_t)luaL_checkinteger(L, 2), PROT_READ, MAP_SHARED, fd, 0);

    if (fd < 0 || bytes == MAP_FAILED)
        return luaL_error(L, "the file cannot be mapped");
    close(fd);
    lua_pushlightuserdata(L, bytes);
    lua_pushcclosure(L, byte_at, 1);
    return 1;
}

int
luaopen_mapper(lua_State *L)
{
    lua_pushcfunction(L, map);
    return 1;
}
