# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Puts the declarations of mmapguard.h and of shared.h, without their comments, and the layout of their structures into
# the FFI module: cmake -Dheaders=MMAPGUARD.H,SHARED.H -Dlayout= -Dtemplate= -Doutput= -P make_ffi.cmake

string(REPLACE "," ";" headers "${headers}")
foreach(header IN LISTS headers)
  file(READ "${header}" text)
  string(REGEX MATCH "/[*] MMGL?_CDEF_BEGIN [*]/" begin_mark "${text}")
  string(REGEX MATCH "/[*] MMGL?_CDEF_END [*]/" end_mark "${text}")
  if(NOT begin_mark OR NOT end_mark)
    message(FATAL_ERROR "${header} has no part between two marks MMG_CDEF_BEGIN and MMG_CDEF_END")
  endif()
  string(FIND "${text}" "${begin_mark}" begin)
  string(FIND "${text}" "${end_mark}" end)
  math(EXPR length "${end} - ${begin}")
  string(SUBSTRING "${text}" ${begin} ${length} part)
  string(REGEX REPLACE "/[*]([^*]|[*]+[^*/])*[*]+/" "" part "${part}")
  string(REGEX REPLACE "[ \t]+\n" "\n" part "${part}")
  string(REGEX REPLACE "\n\n+" "\n" part "${part}")
  string(REGEX REPLACE "^\n" "" part "${part}")
  get_filename_component(name "${header}" NAME_WE)
  set(MMAPGUARD_CDEF_${name} "${part}")
endforeach()
file(READ "${layout}" MMAPGUARD_LAYOUT)
configure_file("${template}" "${output}" @ONLY)
