# SPDX-License-Identifier: MIT OR Apache-2.0
#
# Stops, with one sentence, where the library cannot work. Otherwise turns the C language on and says what all files of
# the project are compiled with on this platform.

# Before any compiler is looked for: on the other systems it would fail for reasons of its own.
if(NOT CMAKE_SYSTEM_NAME STREQUAL Linux)
  message(FATAL_ERROR "mmapguard is a library for Linux; this build is for ${CMAKE_SYSTEM_NAME}.")
endif()
enable_language(C)
if(NOT CMAKE_C_COMPILER_ID MATCHES "GNU|Clang")
  message(FATAL_ERROR "mmapguard needs GCC or Clang; ${CMAKE_C_COMPILER} is ${CMAKE_C_COMPILER_ID}.")
endif()

# The signal handler and the fast paths work on 64-bit numbers without a lock.
include(CheckCSourceCompiles)
check_c_source_compiles([[
#include <stdatomic.h>
#if ATOMIC_LLONG_LOCK_FREE != 2 || ATOMIC_INT_LOCK_FREE != 2 || ATOMIC_POINTER_LOCK_FREE != 2
#error "not always without a lock"
#endif
int main(void) { return 0; }
]] MMAPGUARD_HAS_ATOMICS)
if(NOT MMAPGUARD_HAS_ATOMICS)
  message(FATAL_ERROR
    "mmapguard needs a processor with lock-free 64-bit atomic operations (-march=... may choose one); "
    "${CMAKE_C_COMPILER} compiles for one without.")
endif()

# With 32 bits, offsets and times of files are 64-bit numbers only on demand.
if(CMAKE_SIZEOF_VOID_P EQUAL 4)
  add_compile_definitions(_FILE_OFFSET_BITS=64 _TIME_BITS=64)
  # GCC tells how it passes vectors and 64-bit atomics to what other compilers made. None leave the library.
  add_compile_options(-Wno-psabi)
endif()
