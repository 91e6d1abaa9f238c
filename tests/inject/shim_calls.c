/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The functions of the shim. For the linker, every function here has the name of a function of libc. For C it has another
 * name, so that no declaration of a header conflicts. A failed close() or munmap() still does its work, as on Linux. Every
 * other failed call has no effect.
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "shim_internal.h"

/*
 * Memory for allocations long before main(), by the dynamic linker and by sanitizers that are not ready yet. It is
 * never freed. Each block has its size in front.
 */
static _Alignas(max_align_t) unsigned char early[1 << 20];
static atomic_size_t early_used;
static atomic_bool ready;
static _Thread_local bool resolving;

static bool
is_early_time(void)
{
    return resolving || !atomic_load(&ready);
}

static void *
early_allocate(size_t size)
{
    const size_t head = sizeof(max_align_t);
    size_t start = atomic_fetch_add(&early_used, head + ((size + head - 1) & ~(head - 1)));
    if (size > sizeof early || start + head + size > sizeof early) {
        return NULL;
    }
    memcpy(early + start, &size, sizeof size);
    return early + start + head;
}

static bool
is_early(const void *block)
{
    uintptr_t address = (uintptr_t)block; /* the address is only compared */
    return address >= (uintptr_t)early && address < (uintptr_t)early + sizeof early;
}

static size_t
early_size(const void *block)
{
    size_t size;
    memcpy(&size, (const unsigned char *)block - sizeof(max_align_t), sizeof size);
    return size;
}

/* This runs after the constructors of all libraries. */
__attribute__((constructor)) static void
set_up(void)
{
    atomic_store(&ready, true);
    shim_find_library();
}

/* The type for pointers to any function. C allows converting such a pointer to the real type and back. */
typedef void anything(void);

enum {
    SHIM_free = SHIM_COUNT
};

/* Returns the function of libc with that name. */
static anything *
real_of(unsigned function)
{
    static _Atomic(anything *) known[SHIM_COUNT + 1];
    anything *real = atomic_load(&known[function]);
    if (real == NULL) {
        resolving = true;
        void *found = dlsym(RTLD_NEXT, function == SHIM_free ? "free" : shim_names[function]);
        resolving = false;
        if (found == NULL) {
            abort();
        }
        memcpy(&real, &found, sizeof real); /* dlsym() of POSIX returns a function as a pointer to data */
        atomic_store(&known[function], real);
    }
    return real;
}

#define CALLER __builtin_return_address(0)
#define REAL(name) ((__typeof__(&shim_##name))real_of(SHIM_##name))

#define SHIM(type, name, parameters)                                                                                   \
    type shim_##name parameters __asm__(#name);                                                                        \
    type shim_##name parameters

/* Defines a function that fails by returning -1 and setting errno. */
#define FAILING(type, name, parameters, arguments)                                                                     \
    SHIM(type, name, parameters)                                                                                       \
    {                                                                                                                  \
        int code = shim_ask(SHIM_##name, CALLER);                                                                      \
        if (code > 0) {                                                                                                \
            errno = code;                                                                                              \
            return (type)-1;                                                                                           \
        }                                                                                                              \
        return REAL(name) arguments;                                                                                   \
    }

/* Defines such a function that does its work even when it fails. */
#define FAILING_LATE(name, parameters, arguments)                                                                      \
    SHIM(int, name, parameters)                                                                                        \
    {                                                                                                                  \
        int code = shim_ask(SHIM_##name, CALLER);                                                                      \
        int result = REAL(name) arguments;                                                                             \
        if (code > 0) {                                                                                                \
            errno = code;                                                                                              \
            return -1;                                                                                                 \
        }                                                                                                              \
        return result;                                                                                                 \
    }

/* Defines a transfer of `size` bytes, which may also be short. */
#define TRANSFERRING(name, parameters, arguments)                                                                      \
    SHIM(ssize_t, name, parameters)                                                                                    \
    {                                                                                                                  \
        int code = shim_ask(SHIM_##name, CALLER);                                                                      \
        if (code > 0) {                                                                                                \
            errno = code;                                                                                              \
            return -1;                                                                                                 \
        }                                                                                                              \
        if (code == SHIM_END) {                                                                                        \
            return 0;                                                                                                  \
        }                                                                                                              \
        size = code == SHIM_ONE_BYTE && size > 1 ? 1 : code == SHIM_HALF && size > 1 ? size / 2 : size;                \
        return REAL(name) arguments;                                                                                   \
    }

/* The last argument of these functions is a word or missing. Passing one more argument than needed is harmless. */
#define WITH_WORD(name, first, second, question)                                                                       \
    SHIM(int, name, (first one, second other, ...))                                                                    \
    {                                                                                                                  \
        va_list rest;                                                                                                  \
        va_start(rest, other);                                                                                         \
        long word = va_arg(rest, long);                                                                                \
        va_end(rest);                                                                                                  \
        int code = question;                                                                                           \
        if (code > 0) {                                                                                                \
            errno = code;                                                                                              \
            return -1;                                                                                                 \
        }                                                                                                              \
        return REAL(name)(one, other, word);                                                                           \
    }

WITH_WORD(open, const char *, int, shim_ask(SHIM_open, CALLER))
WITH_WORD(open64, const char *, int, shim_ask(SHIM_open64, CALLER))
WITH_WORD(fcntl, int, int, shim_ask_fcntl(SHIM_fcntl, CALLER, other, word))
WITH_WORD(fcntl64, int, int, shim_ask_fcntl(SHIM_fcntl64, CALLER, other, word))
WITH_WORD(ioctl, int, unsigned long, shim_ask(SHIM_ioctl, CALLER))
FAILING(int, __open64_2, (const char *path, int flags), (path, flags))
FAILING(int, dup3, (int fd, int target, int flags), (fd, target, flags))
FAILING(int, flock, (int fd, int operation), (fd, operation))
FAILING(int, fstat, (int fd, struct stat *status), (fd, status))
FAILING(int, fstat64, (int fd, struct stat *status), (fd, status))
FAILING(int, __fxstat64, (int layout, int fd, struct stat *status), (layout, fd, status))
FAILING(int, stat, (const char *path, struct stat *status), (path, status))
FAILING(int, stat64, (const char *path, struct stat *status), (path, status))
FAILING(int, __xstat64, (int layout, const char *path, struct stat *status), (layout, path, status))
FAILING(int, lstat, (const char *path, struct stat *status), (path, status))
FAILING(int, lstat64, (const char *path, struct stat *status), (path, status))
FAILING(int, __lxstat64, (int layout, const char *path, struct stat *status), (layout, path, status))
FAILING(int, fstatfs, (int fd, void *status), (fd, status))
FAILING(int, fstatfs64, (int fd, void *status), (fd, status))
FAILING(void *, mmap, (void *at, size_t size, int protection, int flags, int fd, off_t offset),
        (at, size, protection, flags, fd, offset))
FAILING(void *, mmap64, (void *at, size_t size, int protection, int flags, int fd, off_t offset),
        (at, size, protection, flags, fd, offset))
FAILING(int, mprotect, (void *at, size_t size, int protection), (at, size, protection))
FAILING(int, madvise, (void *at, size_t size, int advice), (at, size, advice))
FAILING(int, mincore, (void *at, size_t size, unsigned char *vector), (at, size, vector))
FAILING(int, poll, (struct pollfd * entries, nfds_t count, int timeout), (entries, count, timeout))
FAILING(int, __poll_chk, (struct pollfd * entries, nfds_t count, int timeout, size_t room),
        (entries, count, timeout, room))
FAILING(int, nanosleep, (const struct timespec *request, struct timespec *rest), (request, rest))
FAILING(int, clock_gettime, (clockid_t clock, struct timespec *now), (clock, now))
FAILING(int, getentropy, (void *buffer, size_t size), (buffer, size))
FAILING(ssize_t, readlink, (const char *path, char *buffer, size_t size), (path, buffer, size))
FAILING(int, statfs64, (const char *path, void *status), (path, status))
FAILING(ssize_t, process_vm_readv,
        (pid_t process, const struct iovec *to, unsigned long to_count, const struct iovec *from,
         unsigned long from_count, unsigned long flags),
        (process, to, to_count, from, from_count, flags))
FAILING(int, sigaction, (int signal_number, const struct sigaction *action, struct sigaction *before),
        (signal_number, action, before))
FAILING(int, sigwaitinfo, (const sigset_t *set, siginfo_t *info), (set, info))
FAILING(int, sigtimedwait, (const sigset_t *set, siginfo_t *info, const struct timespec *timeout), (set, info, timeout))
FAILING_LATE(close, (int fd), (fd))
FAILING_LATE(munmap, (void *at, size_t size), (at, size))
TRANSFERRING(read, (int fd, void *buffer, size_t size), (fd, buffer, size))
TRANSFERRING(__read_chk, (int fd, void *buffer, size_t size, size_t room), (fd, buffer, size, room))
TRANSFERRING(pread, (int fd, void *buffer, size_t size, off_t offset), (fd, buffer, size, offset))
TRANSFERRING(pread64, (int fd, void *buffer, size_t size, off_t offset), (fd, buffer, size, offset))
TRANSFERRING(__pread64_chk, (int fd, void *buffer, size_t size, off_t offset, size_t room),
             (fd, buffer, size, offset, room))
TRANSFERRING(pwrite, (int fd, const void *buffer, size_t size, off_t offset), (fd, buffer, size, offset))
TRANSFERRING(pwrite64, (int fd, const void *buffer, size_t size, off_t offset), (fd, buffer, size, offset))
TRANSFERRING(copy_file_range, (int from, off_t *at, int to, off_t *there, size_t size, unsigned flags),
             (from, at, to, there, size, flags))

SHIM(void *, mremap, (void *at, size_t size, size_t new_size, int flags, ...))
{
    va_list rest;
    va_start(rest, flags);
    void *target = va_arg(rest, void *); /* a word or missing, as above */
    va_end(rest);
    int code = shim_ask(SHIM_mremap, CALLER);
    if (code > 0) {
        errno = code;
        return MAP_FAILED;
    }
    return REAL(mremap)(at, size, new_size, flags, target);
}

SHIM(long, syscall, (long number, ...))
{
    long words[6];
    va_list rest;
    va_start(rest, number);
    for (unsigned index = 0; index < 6; index++) {
        words[index] = va_arg(rest, long); /* words or missing, as above */
    }
    va_end(rest);
    int code = shim_ask_number(number, CALLER);
    if (code > 0) {
        if (number == SYS_close) { /* a failed close still closes */
            REAL(syscall)(number, words[0]);
        }
        errno = code;
        return -1;
    }
    if (number == SYS_ioctl && atomic_load(&shim_map_query_is_unknown) && shim_is_library(CALLER)) {
        errno = ENOTTY;
        return -1;
    }
    if (code == SHIM_ONE_BYTE || code == SHIM_HALF) {
        words[2] = code == SHIM_HALF && words[2] > 1 ? words[2] / 2 : 1;
    }
    return REAL(syscall)(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}

SHIM(int, pthread_create, (pthread_t * thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument))
{
    int code = shim_ask(SHIM_pthread_create, CALLER);
    return code > 0 ? code : REAL(pthread_create)(thread, attributes, body, argument);
}

SHIM(int, posix_fadvise, (int fd, off_t offset, off_t size, int advice))
{
    int code = shim_ask(SHIM_posix_fadvise, CALLER);
    return code > 0 ? code : REAL(posix_fadvise)(fd, offset, size, advice);
}

SHIM(int, posix_fadvise64, (int fd, off_t offset, off_t size, int advice))
{
    int code = shim_ask(SHIM_posix_fadvise64, CALLER);
    return code > 0 ? code : REAL(posix_fadvise64)(fd, offset, size, advice);
}

/* ------------------------------------------------------------------------------------------------------ memory -- */

static void *
count_block(void *block, const void *caller)
{
    if (block != NULL && shim_is_library(caller)) {
        atomic_fetch_add(&shim_live_blocks, 1);
    }
    return block;
}

SHIM(void *, malloc, (size_t size))
{
    if (is_early_time()) {
        return early_allocate(size);
    }
    if (shim_ask(SHIM_malloc, CALLER) > 0) {
        errno = ENOMEM;
        return NULL;
    }
    return count_block(REAL(malloc)(size), CALLER);
}

SHIM(void *, calloc, (size_t count, size_t size))
{
    if (is_early_time()) {
        return early_allocate(count * size); /* the early memory is zero */
    }
    if (shim_ask(SHIM_calloc, CALLER) > 0) {
        errno = ENOMEM;
        return NULL;
    }
    return count_block(REAL(calloc)(count, size), CALLER);
}

SHIM(void *, aligned_alloc, (size_t alignment, size_t size))
{
    if (shim_ask(SHIM_aligned_alloc, CALLER) > 0) {
        errno = ENOMEM;
        return NULL;
    }
    return count_block(REAL(aligned_alloc)(alignment, size), CALLER);
}

SHIM(void *, realloc, (void *block, size_t size))
{
    if (shim_ask(SHIM_realloc, CALLER) > 0) {
        errno = ENOMEM;
        return NULL;
    }
    if (is_early(block) || (block == NULL && is_early_time())) {
        void *copy = is_early_time() ? early_allocate(size) : REAL(malloc)(size);
        if (block != NULL && copy != NULL) {
            memcpy(copy, block, early_size(block) < size ? early_size(block) : size);
        }
        return copy;
    }
    void *moved = REAL(realloc)(block, size);
    return block == NULL ? count_block(moved, CALLER) : moved;
}

SHIM(void, free, (void *block))
{
    if (is_early(block)) {
        return;
    }
    if (block != NULL && shim_is_library(CALLER)) {
        atomic_fetch_sub(&shim_live_blocks, 1);
    }
    REAL(free)(block);
}
