/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Stands in front of the calls that change mappings. The guard asks the kernel what is mapped at a place and replaces it in
 * a second call; the kernel has none that does both. So while a handler is between the two, the program's own changes wait,
 * and the handler waits for those that have begun. Changes that the C library makes for itself, or a program by system calls
 * of its own, pass by.
 *
 * A handler may interrupt a change of its own thread: that one it does not wait for. Every wait has an end, since a program
 * can leave a change by longjmp(3) out of a handler of its own: then the gate stays open for the rest of the process.
 */
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "guard/ask.h"
#include "os/linux/map_directly.h"
#include "os/thread.h"

/* A wait is given up after so many short sleeps: about ten seconds. */
#define MAX_WAITS 200000

/* The library is in memory from the start of the program, so its variables of a thread have fixed places. */
#define IN_THREAD static _Thread_local __attribute__((tls_model("initial-exec")))

static atomic_int changing;       /* threads that are in a change */
static atomic_bool is_closed;     /* a handler replaces pages */
static atomic_bool is_given_up;   /* a change has no end */
IN_THREAD atomic_int own_changes; /* those of this thread, which a handler may have interrupted */

/* -------------------------------------------------------------------------------------------------------- the gate -- */

/* Either the change sees the closed gate, or the handler sees the change: both write first, and read then. */
static void
change_begin(void)
{
    const int saved = errno;

    for (int i = 0; i < MAX_WAITS; i++) {
        atomic_fetch_add(&own_changes, 1);
        atomic_fetch_add(&changing, 1);
        if (!atomic_load(&is_closed))
            return;
        atomic_fetch_sub(&changing, 1);
        atomic_fetch_sub(&own_changes, 1);
        mmgi_thread_sleep_briefly();
        errno = saved;
    }
    atomic_store(&is_given_up, true);
    atomic_fetch_add(&own_changes, 1);
    atomic_fetch_add(&changing, 1);
}

static void
change_end(void)
{
    atomic_fetch_sub(&changing, 1);
    atomic_fetch_sub(&own_changes, 1);
}

static void
close_gate(void)
{
    atomic_store(&is_closed, true);
    for (int i = 0; atomic_load(&changing) > atomic_load(&own_changes) && !atomic_load(&is_given_up); i++) {
        if (i == MAX_WAITS)
            atomic_store(&is_given_up, true);
        mmgi_thread_sleep_briefly();
    }
}

static void
open_gate(void)
{
    atomic_store(&is_closed, false);
}

static const struct change_gate gate = {.close = close_gate, .open = open_gate};

void
changes_begin(void)
{
    mmgi_ask_set_gate(&gate);
}

void
changes_after_fork(void)
{
    atomic_store(&changing, atomic_load(&own_changes)); /* nobody else is there yet */
    atomic_store(&is_closed, false);
}

/* ---------------------------------------------------------------------------------------------- the next functions -- */

/* As the C library has them; on 32 bits mmap() takes an offset of 32 bits, and mmap64() one of 64. */
#if defined(__GLIBC__)
typedef long narrow_offset;
#else
typedef off_t narrow_offset;
#endif

typedef void *map_function(void *, size_t, int, int, int, narrow_offset);
typedef void *map_wide_function(void *, size_t, int, int, int, int64_t);
typedef int unmap_function(void *, size_t);
typedef int protect_function(void *, size_t, int);
typedef void *remap_function(void *, size_t, size_t, int, ...);

/*
 * Looks a function up at its first use, which may be before the object is initialised. The loader may want memory for that,
 * and so call one of these functions: then it gets NULL.
 */
static void *
next_of(_Atomic(void *) *known, const char *name)
{
    IN_THREAD bool is_looking;
    void *found = atomic_load_explicit(known, memory_order_acquire);

    if (found != NULL || is_looking)
        return found;
    is_looking = true;
    found = dlsym(RTLD_NEXT, name);
    is_looking = false;
    atomic_store_explicit(known, found, memory_order_release);
    return found;
}

/* --------------------------------------------------------------------------------------- functions of the C library -- */

void *changing_map(void *start, size_t length, int access, int flags, int fd, narrow_offset offset) __asm__("mmap");
void *changing_map_wide(void *start, size_t length, int access, int flags, int fd, int64_t offset) __asm__("mmap64");
int changing_unmap(void *start, size_t length) __asm__("munmap");
int changing_protect(void *start, size_t length, int access) __asm__("mprotect");
void *changing_remap(void *start, size_t length, size_t fresh_length, int flags, ...) __asm__("mremap");

/*
 * Maps by a function of the C library, or by the system call when that function is not known. `is_wide` tells which of its
 * two types the function has.
 */
static void *
map_by(void *found, bool is_wide, void *start, size_t length, int access, int flags, int fd, int64_t offset)
{
    const bool replaces = (flags & MAP_FIXED) != 0; /* a mapping at a place of the kernel's choice replaces nothing */
    map_wide_function *map_wide = NULL;
    map_function *map = NULL;
    void *base;

    if (is_wide)
        memcpy((void *)&map_wide, (const void *)&found, sizeof found); /* dlsym(3) returns functions as objects */
    else
        memcpy((void *)&map, (const void *)&found, sizeof found);
    if (replaces)
        change_begin();
    if (map_wide != NULL)
        base = map_wide(start, length, access, flags, fd, offset);
    else if (map != NULL)
        base = map(start, length, access, flags, fd, (narrow_offset)offset); /* the caller had it in this type */
    else
        base = mmgi_map_directly(start, length, access, flags, fd, offset);
    if (replaces)
        change_end();
    return base;
}

EXPORTED void *
changing_map(void *start, size_t length, int access, int flags, int fd, narrow_offset offset)
{
    static _Atomic(void *) known;

    return map_by(next_of(&known, "mmap"), false, start, length, access, flags, fd, offset);
}

EXPORTED void *
changing_map_wide(void *start, size_t length, int access, int flags, int fd, int64_t offset)
{
    static _Atomic(void *) known;

    return map_by(next_of(&known, "mmap64"), true, start, length, access, flags, fd, offset);
}

EXPORTED int
changing_unmap(void *start, size_t length)
{
    static _Atomic(void *) known;
    unmap_function *next = NULL;
    void *found = next_of(&known, "munmap");

    memcpy((void *)&next, (const void *)&found, sizeof found);
    change_begin();
    int result = next != NULL ? next(start, length) : mmgi_unmap_directly(start, length);
    change_end();
    return result;
}

EXPORTED int
changing_protect(void *start, size_t length, int access)
{
    static _Atomic(void *) known;
    protect_function *next = NULL;
    void *found = next_of(&known, "mprotect");

    memcpy((void *)&next, (const void *)&found, sizeof found);
    change_begin();
    int result = next != NULL ? next(start, length, access) : mmgi_protect_directly(start, length, access);
    change_end();
    return result;
}

EXPORTED void *
changing_remap(void *start, size_t length, size_t fresh_length, int flags, ...)
{
    static _Atomic(void *) known;
    remap_function *next = NULL;
    void *found = next_of(&known, "mremap");
    va_list rest;

    memcpy((void *)&next, (const void *)&found, sizeof found);
    va_start(rest, flags);
    void *target = va_arg(rest, void *); /* a word, or absent, and then nobody looks at it */
    va_end(rest);
    change_begin();
    void *base = next != NULL ? next(start, length, fresh_length, flags, target)
                              : mmgi_remap_directly(start, length, fresh_length, flags, target);
    change_end();
    return base;
}
