/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The shim between the library and libc. When a program defines open(), malloc() and so on, the shared library calls
 * these functions, too, in place of those of libc. The shim passes calls of all other code on unchanged. So it can make
 * the n-th call of a function fail, and count every allocation.
 */
#ifndef MMAPGUARD_TESTS_SHIM_H
#define MMAPGUARD_TESTS_SHIM_H

#include <stdbool.h>
#include <stdint.h>

/** The functions that can be made to fail, with their names for the dynamic linker. */
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
    X(posix_fadvise)                                                                                                   \
    X(posix_fadvise64)                                                                                                 \
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
 * Values in place of an errno: the transfer moves one byte, half of the bytes, or nothing, as at the end of a file.
 */
enum {
    SHIM_ONE_BYTE = -1,
    SHIM_HALF = -2,
    SHIM_END = -3,
    SHIM_HOOK = -4
};

/**
 * Makes the library's n-th call of this function fail, counted from 1. With `lasts` every later call fails, too. The
 * counts start again.
 */
void shim_arm(enum shim_function function, unsigned nth, int code, bool lasts);
/** Sets the function that SHIM_HOOK calls before the call itself goes on normally. */
void shim_set_hook(void (*hook)(void));
/** Lets all calls through. They are still counted. */
void shim_disarm(void);
/** Returns true when a call was made to fail. */
bool shim_has_fired(void);
/** Returns how many calls of this function the library has made since the counts started. */
unsigned shim_calls(enum shim_function function);

/** The numbers of at most so many calls by syscall(2) are stored. */
#define SHIM_NUMBERS 4096U
/** Returns the system call number of the n-th call by syscall(2) since the counts started, or -1. */
long shim_number(unsigned nth);
/** Returns true when the kernel or a filter may answer this system call with this error. */
bool shim_may_answer(long number, int code);
/** From now on the kernel seems not to know PROCMAP_QUERY, as before Linux 6.11. */
void shim_forget_map_query(void);
/** Returns the number of blocks that the library has allocated and not freed. */
int64_t shim_blocks(void);

/** Look at everything that the library asks of libc. Calls `tell` with each name that is not one of the above and not
 *  known to be harmless; returns how many there were, or -1 if the library's file cannot be read. */
int shim_unknown_imports(void (*tell)(const char *name));

#endif
