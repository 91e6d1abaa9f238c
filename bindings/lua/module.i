/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The Lua module. SWIG makes the module table, the constants and the functions that need no region; regions and
 * spans are userdata written by hand, because SWIG's own class can be freed twice through __gc, has no __close, and
 * is slow.
 *
 * SWIG passes every integer through a double. So each integer type that occurs gets typemaps of its own, of one
 * line, for a condition on LUA_VERSION_NUM in a typemap would be SWIG's to evaluate, who does not know it.
 */
%module mmapguard

%{
#include "view.h"

/* Nothing but the module's table is left behind: SWIG would add the global functions swig_type and swig_equals. */
#undef SWIG_Lua_add_function
#define SWIG_Lua_add_function(L, name, function) ((void)(function))

/* No SWIG type is used here, so there is nothing to share with other modules. Without this, running out of memory
   while types are registered would leave them half made for the next state that loads the module. */
#undef SWIG_GetModule
#define SWIG_GetModule(clientdata) ((void)(clientdata), (swig_module_info *)NULL)
#undef SWIG_SetModule
#define SWIG_SetModule(clientdata, pointer) ((void)(clientdata), (void)(pointer))
/* The functions check their arguments themselves, with the messages of all others. SWIG's own check would take each
   userdata for one of SWIG's, and read what is not there. */
#undef SWIG_check_num_args
#define SWIG_check_num_args(function, least, most) (void)SWIG_arg;
%}

%typemap(in) uint32_t "$1 = (uint32_t)mmgl_check_range(L, $input, 0, UINT32_MAX);"
%typemap(in) int32_t "$1 = (int32_t)mmgl_check_range(L, $input, INT32_MIN, INT32_MAX);"
%typemap(out) int32_t, uint32_t "mmgl_push_integer(L, $1); SWIG_arg++;"

/* guard_install() is the one function here that can fail. */
%typemap(out) mmg_status %{
    if ($1 != MMG_OK)
        return luaL_error(L, "%s (%s)", mmg_status_message($1), mmg_status_name($1));
%}

%typemap(out) mmg_stats %{
    mmgl_push_stats(L, &$1);
    SWIG_arg++;
%}

%include "../mmapguard.i"

%init %{
    mmgl_setup(L);
    /* The metatable that SWIG gives to the module is for variables, of which there are none. Its functions trust their
       arguments, and a script could call them. */
    lua_pushnil(L);
    lua_setmetatable(L, -2);
%}
