/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A host of Lua for the tests, so that sanitizers and valgrind can check the module:
 *
 *     host SCRIPT [ARGUMENT...]            run a script as `lua` does
 *     host --memory SCRIPT [ARGUMENT...]   the script returns a function; call it again and again, with each
 * allocation of
 *                                          Lua failing in turn, alone and with all that follow
 *     host --memory-all ...                the same, while the script itself is loaded and run, too
 *
 * After each run nothing may be left: no block of memory, no handle, no region.
 */
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mmapguard.h"

/* The memory of Lua, and the allocation that must fail. */
struct memory {
    long blocks;
    long number; /* the number of allocations so far, while `armed` is true */
    long fails;  /* the number of the allocation that fails; 0: none */
    bool all_after, armed, failed;
};

static void *
allocate(void *data, void *block, size_t old_size, size_t new_size)
{
    struct memory *memory = data;

    if (new_size == 0) {
        if (block != NULL)
            memory->blocks--;
        free(block);
        return NULL;
    }
    /* Shrinking a block never fails, since Lua relies on that. */
    if (memory->armed && (block == NULL || new_size > old_size)) {
        memory->number++;
        if (memory->fails != 0 &&
            (memory->number == memory->fails || (memory->all_after && memory->number > memory->fails))) {
            memory->failed = true;
            return NULL;
        }
    }
    void *moved = realloc(block, new_size);
    if (moved != NULL && block == NULL)
        memory->blocks++;
    return moved;
}

static int
fail(const char *what, const char *why)
{
    fprintf(stderr, "host: %s: %s\n", what, why != NULL ? why : "an error that is not a string");
    return EXIT_FAILURE;
}

static void
set_arguments(lua_State *L, char **arguments)
{
    lua_newtable(L);
    for (int i = 0; arguments[i] != NULL; i++) {
        lua_pushstring(L, arguments[i]);
        lua_rawseti(L, -2, i);
    }
    lua_setglobal(L, "arg");
}

static int
run_script(char **arguments)
{
    lua_State *L = luaL_newstate();
    int result = EXIT_SUCCESS;

    if (L == NULL)
        return fail(arguments[0], "not enough memory");
    luaL_openlibs(L);
    set_arguments(L, arguments);
    if (luaL_loadfile(L, arguments[0]) != 0 || lua_pcall(L, 0, 0, 0) != 0)
        result = fail(arguments[0], lua_tostring(L, -1));
    lua_close(L);
    return result;
}

/* Makes a state that uses the allocator above, if this Lua allows that. */
static lua_State *
new_state(struct memory *memory)
{
    lua_State *L = lua_newstate(allocate, memory);

    if (L != NULL)
        luaL_openlibs(L);
    return L;
}

/* Runs a script inside lua_pcall(), since even loading it may run out of memory. */
static int
run_protected(lua_State *L)
{
    char **arguments = lua_touserdata(L, 1);
    struct memory *memory = lua_touserdata(L, 2);

    if (luaL_loadfile(L, arguments[0]) != 0)
        return lua_error(L);
    lua_call(L, 0, 1);
    memory->armed = true;
    lua_call(L, 0, 0);
    return 0;
}

/* Runs the script with one failing allocation. Returns false when something is left. */
static bool
run_once(char **arguments, struct memory *memory, bool from_the_start)
{
    lua_State *L = new_state(memory);
    bool good = true;

    if (L == NULL)
        return fail(arguments[0], "this Lua takes no allocator") == EXIT_SUCCESS;
    set_arguments(L, arguments);
    lua_pushcfunction(L, run_protected);
    lua_pushlightuserdata(L, arguments);
    lua_pushlightuserdata(L, memory);
    memory->armed = from_the_start;
    int status = lua_pcall(L, 2, 0, 0);
    memory->armed = false;
    if (status != 0) {
        const char *message = lua_tostring(L, -1);
        good = memory->failed && message != NULL &&
               (strstr(message, "memory") != NULL || strstr(message, "not load") != NULL);
        if (!good)
            fail(arguments[0], message);
    }
    lua_close(L);
    mmg_stats stats = MMG_STATS_INIT;
    mmg_stats_get(&stats);
    if (memory->blocks != 0 || stats.handles != 0 || stats.regions != 0 || stats.mappings != 0) {
        fprintf(stderr, "host: allocation %ld%s fails: %ld blocks, %llu handles, %llu regions are left\n",
                memory->fails, memory->all_after ? " and all after" : "", memory->blocks,
                (unsigned long long)stats.handles, (unsigned long long)stats.regions);
        good = false;
    }
    return good;
}

static int
run_short_of_memory(char **arguments, bool from_the_start)
{
    for (int all_after = 0; all_after < 2; all_after++) {
        long fails = 1;
        for (;; fails++) {
            struct memory memory = {.fails = fails, .all_after = all_after != 0};
            if (!run_once(arguments, &memory, from_the_start))
                return EXIT_FAILURE;
            if (!memory.failed)
                break;
        }
        if (fails == 1)
            return fail(arguments[0], "allocates nothing");
        printf("%ld allocations failed in turn%s, nothing is left\n", fails - 1,
               all_after ? ", with all that follow" : "");
    }
    return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    bool all = argc > 1 && strcmp(argv[1], "--memory-all") == 0;

    if (all || (argc > 1 && strcmp(argv[1], "--memory") == 0))
        return argc > 2 ? run_short_of_memory(argv + 2, all) : fail("usage", "host --memory SCRIPT");
    return argc > 1 ? run_script(argv + 1) : fail("usage", "host [--memory] SCRIPT");
}
