/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The shim between the library and libc. A program that defines open(), malloc() and so on is asked before libc is,
 * by the shared library as well; what comes from elsewhere than the library is passed on untouched. So the n-th call
 * of one function can be made to fail, and every allocation is counted.
 */
#ifndef MMAPGUARD_TESTS_SHIM_H
#define MMAPGUARD_TESTS_SHIM_H

#include <stdbool.h>
#include <stdint.h>

/** The functions that can be made to fail, by the name that the dynamic linker knows. */
#define SHIM_FUNCTIONS(X)                                                                                              \
    X(__fxstat64)                                                                                                      \
    X(__lxstat64)                                                                                                      \
    X(__open64_2)                                                                                                      \
    X(__poll_chk)                                                                                                      \
    X(__pread64_chk)                                                                                                   \
    X(__read_chk)                                                                                                      \
    X(__xstat64)                                                                                                       \
    X(aligned_alloc)                                                                                                   \
    X(calloc)                                                                                                          \
    X(clock_gettime)                                                                                                   \
    X(close)                                                                                                           \
    X(copy_file_range)                                                                                                 \
    X(dup3)                                                                                                            \
    X(fcntl)                                                                                                           \
    X(fcntl64)                                                                                                         \
    X(flock)                                                                                                           \
    X(fstat)                                                                                                           \
    X(fstat64)                                                                                                         \
    X(fstatfs)                                                                                                         \
    X(fstatfs64)                                                                                                       \
    X(getentropy)                                                                                                      \
    X(ioctl)                                                                                                           \
    X(lstat)                                                                                                           \
    X(lstat64)                                                                                                         \
    X(madvise)                                                                                                         \
    X(malloc)                                                                                                          \
    X(mincore)                                                                                                         \
    X(mmap)                                                                                                            \
    X(mmap64)                                                                                                          \
    X(mprotect)                                                                                                        \
    X(mremap)                                                                                                          \
    X(munmap)                                                                                                          \
    X(nanosleep)                                                                                                       \
    X(open)                                                                                                            \
    X(open64)                                                                                                          \
    X(poll)                                                                                                            \
    X(pread)                                                                                                           \
    X(pread64)                                                                                                         \
    X(process_vm_readv)                                                                                                \
    X(pthread_create)                                                                                                  \
    X(pwrite)                                                                                                          \
    X(pwrite64)                                                                                                        \
    X(read)                                                                                                            \
    X(readlink)                                                                                                        \
    X(realloc)                                                                                                         \
    X(sigaction)                                                                                                       \
    X(sigtimedwait)                                                                                                    \
    X(sigwaitinfo)                                                                                                     \
    X(stat)                                                                                                            \
    X(stat64)                                                                                                          \
    X(statfs64)                                                                                                        \
    X(syscall)

enum shim_function {
#define SHIM_NUMBER(name) SHIM_##name,
    SHIM_FUNCTIONS(SHIM_NUMBER)
#undef SHIM_NUMBER
    SHIM_COUNT
};

extern const char *const shim_names[SHIM_COUNT];

/**
 * Instead of an errno: the transfer moves one byte, half of what was asked, or nothing and says that it is the end.
 */
enum {
    SHIM_ONE_BYTE = -1,
    SHIM_HALF = -2,
    SHIM_END = -3,
    SHIM_HOOK = -4
};

/** From now on the n-th call (from 1) of this function by the library fails so, and if it `lasts` every later one, too.
 *  Counting starts anew. */
void shim_arm(enum shim_function function, unsigned nth, int code, bool lasts);
/** What SHIM_HOOK calls, before the call goes on as if nothing had been. */
void shim_set_hook(void (*hook)(void));
/** Let everything through; counting goes on. */
void shim_disarm(void);
/** Returns true when the call has been made to fail. */
bool shim_has_fired(void);
/** Calls that the library made since counting began. */
unsigned shim_calls(enum shim_function function);

/** Calls by syscall(2) whose numbers are kept. */
#define SHIM_NUMBERS 4096U
/** The number of the n-th call by syscall(2) since counting began, or -1. */
long shim_number(unsigned nth);
/** Returns true when the kernel, or a filter in front of it, may answer the system call of this number so. */
bool shim_may_answer(long number, int code);
/** From now on the kernel does not know PROCMAP_QUERY, as before Linux 6.11. */
void shim_forget_map_query(void);
/** Blocks of memory that the library has allocated and not freed. */
int64_t shim_blocks(void);

/** Look at everything that the library asks of libc. Calls `tell` with each name that is not one of the above and not
 *  known to be harmless; returns how many there were, or -1 if the library's file cannot be read. */
int shim_unknown_imports(void (*tell)(const char *name));

#endif
