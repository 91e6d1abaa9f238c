# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Fails when an object file of the Lua module defines a global name without a prefix of its own:
#
#     cmake -Dnm=NM "-Dobjects=ONE.o,OTHER.o" -P names.cmake

string(REPLACE "," ";" objects "${objects}")
list(LENGTH objects count)
if(count LESS 5)
  message(FATAL_ERROR "these are not the object files of the module: ${objects}")
endif()
execute_process(COMMAND "${nm}" --extern-only --defined-only --format=posix ${objects}
  OUTPUT_VARIABLE names COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "(^|\n)[A-Za-z_][A-Za-z0-9_.]* [A-Z]" names "${names}")
list(TRANSFORM names STRIP)
list(LENGTH names count)
if(count LESS 20)
  message(FATAL_ERROR "nm named only ${count} symbols")
endif()
# luaopen_ is what Lua looks for; a sanitizer adds names that begin with two underscores.
list(FILTER names EXCLUDE REGEX "^(mmgl_|luaopen_mmapguard|__)")
if(names)
  list(JOIN names ", " names)
  message(FATAL_ERROR "names without the prefix mmgl_: ${names}")
endif()
message(STATUS "${count} names, each with a prefix of its own")
