# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Puts the declarations of mmapguard.h, without their comments, the layout of its structures and the place of the
# library into the FFI module: cmake -Dheader= -Dlayout= -Dlibrary= -Dtemplate= -Doutput= -P make_ffi.cmake

file(READ "${header}" text)
string(FIND "${text}" "/* MMG_CDEF_BEGIN */" begin)
string(FIND "${text}" "/* MMG_CDEF_END */" end)
if(begin EQUAL -1 OR end LESS begin)
  message(FATAL_ERROR "${header} has no part between MMG_CDEF_BEGIN and MMG_CDEF_END")
endif()
math(EXPR length "${end} - ${begin}")
string(SUBSTRING "${text}" ${begin} ${length} MMAPGUARD_CDEF)
string(REGEX REPLACE "/[*]([^*]|[*]+[^*/])*[*]+/" "" MMAPGUARD_CDEF "${MMAPGUARD_CDEF}")
string(REGEX REPLACE "[ \t]+\n" "\n" MMAPGUARD_CDEF "${MMAPGUARD_CDEF}")
string(REGEX REPLACE "\n\n+" "\n" MMAPGUARD_CDEF "${MMAPGUARD_CDEF}")
string(REGEX REPLACE "^\n" "" MMAPGUARD_CDEF "${MMAPGUARD_CDEF}")

if(NOT text MATCHES "#define MMG_ABI_VERSION UINT32_C\\((0x[0-9a-fA-F]+)\\)")
  message(FATAL_ERROR "${header} does not say its MMG_ABI_VERSION")
endif()
math(EXPR MMAPGUARD_ABI_MAJOR "${CMAKE_MATCH_1} >> 16")
math(EXPR MMAPGUARD_ABI_MINOR "${CMAKE_MATCH_1} & 0xffff")
file(READ "${layout}" MMAPGUARD_LAYOUT)
set(MMAPGUARD_LIBRARY "[==[${library}]==]")
configure_file("${template}" "${output}" @ONLY)
