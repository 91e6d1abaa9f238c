# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Installs the Lua modules, and the library beside them, and has every interpreter load them from there:
#
#     cmake -Dbuild= -Dlibrary= -Dlibdir= -Ddatadir= -Dprefix= "-Dinterpreters=5.4=lua5.4;luajit=luajit" -Dfile= -P
# install.cmake

file(REMOVE_RECURSE "${prefix}")
execute_process(COMMAND "${CMAKE_COMMAND}" --install "${build}" --component lua --prefix "${prefix}"
  OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
file(COPY "${library}" DESTINATION "${prefix}/${libdir}" FOLLOW_SYMLINK_CHAIN)
foreach(entry IN LISTS interpreters)
  string(REGEX MATCH "^([^=]*)=(.*)$" entry "${entry}")
  set(name ${CMAKE_MATCH_1})
  set(lua ${CMAKE_MATCH_2})
  set(version ${name})
  set(modules mmapguard)
  if(name STREQUAL luajit)
    set(version 5.1)
    list(APPEND modules mmapguard.ffi)
  endif()
  foreach(module IN LISTS modules)
    execute_process(
      COMMAND "${CMAKE_COMMAND}" -E env --unset=LD_LIBRARY_PATH
        "LUA_CPATH=${prefix}/${libdir}/lua/${version}/?.so" "LUA_PATH=${prefix}/${datadir}/lua/${version}/?.lua"
        "${lua}" -e "local r = assert(require('${module}').open('${file}')) print(#r, r:info().backing) r:close()"
      OUTPUT_VARIABLE said ERROR_VARIABLE wrong RESULT_VARIABLE result OUTPUT_STRIP_TRAILING_WHITESPACE)
    file(SIZE "${file}" size)
    if(NOT result EQUAL 0 OR NOT said STREQUAL "${size}\tmap")
      message(FATAL_ERROR "${name} with ${module}: ${said} ${wrong}")
    endif()
    message(STATUS "${name} found ${module}")
  endforeach()
endforeach()
