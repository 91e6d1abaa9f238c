/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Decides which calls fail, and counts the calls and the blocks of memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>

#include "shim_internal.h"

const char *const shim_names[SHIM_COUNT] = {
#define SHIM_TEXT(name) #name,
    SHIM_FUNCTIONS(SHIM_TEXT)
#undef SHIM_TEXT
};

static struct {
    atomic_int function; /* the function that fails, or -1 */
    atomic_uint nth;
    atomic_int code;
    atomic_bool lasts;
    atomic_bool fired;
    _Atomic(void (*)(void)) hook;
} armed = {.function = -1};

static atomic_uint calls[SHIM_COUNT];
static atomic_long numbers[SHIM_NUMBERS];
atomic_bool shim_map_query_is_unknown;
atomic_llong shim_live_blocks;

/* The addresses of the library's code. */
static atomic_uintptr_t library_start;
static atomic_uintptr_t library_end;
static char library_path[4096];

void
shim_arm(enum shim_function function, unsigned nth, int code, bool lasts)
{
    for (unsigned index = 0; index < SHIM_COUNT; index++) {
        atomic_store(&calls[index], 0);
    }
    atomic_store(&armed.fired, false);
    atomic_store(&armed.nth, nth);
    atomic_store(&armed.code, code);
    atomic_store(&armed.lasts, lasts);
    atomic_store(&armed.function, (int)function);
}

void
shim_set_hook(void (*hook)(void))
{
    atomic_store(&armed.hook, hook);
}

void
shim_disarm(void)
{
    atomic_store(&armed.function, -1);
}

bool
shim_has_fired(void)
{
    return atomic_load(&armed.fired);
}

unsigned
shim_calls(enum shim_function function)
{
    return atomic_load(&calls[function]);
}

long
shim_number(unsigned nth)
{
    return nth >= 1 && nth <= SHIM_NUMBERS ? atomic_load(&numbers[nth - 1]) : -1;
}

void
shim_forget_map_query(void)
{
    atomic_store(&shim_map_query_is_unknown, true);
}

int64_t
shim_blocks(void)
{
    return atomic_load(&shim_live_blocks);
}

static int
find_library(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    if (strstr(info->dlpi_name, "libmmapguard.so") == NULL) {
        return 0;
    }
    strncpy(library_path, info->dlpi_name, sizeof library_path - 1);
    for (unsigned index = 0; index < info->dlpi_phnum; index++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[index];
        if (header->p_type == PT_LOAD && (header->p_flags & PF_X) != 0) {
            atomic_store(&library_end, info->dlpi_addr + header->p_vaddr + header->p_memsz);
            atomic_store(&library_start, info->dlpi_addr + header->p_vaddr);
        }
    }
    return 1;
}

void
shim_find_library(void)
{
    dl_iterate_phdr(find_library, NULL);
}

const char *
shim_library(void)
{
    return library_path;
}

bool
shim_is_library(const void *caller)
{
    uintptr_t address = (uintptr_t)caller; /* the address is only compared */
    return address >= atomic_load(&library_start) && address < atomic_load(&library_end);
}

int
shim_ask(enum shim_function function, const void *caller)
{
    if (!shim_is_library(caller)) {
        return 0;
    }
    unsigned number = atomic_fetch_add(&calls[function], 1) + 1;
    unsigned nth = atomic_load(&armed.nth);
    if (atomic_load(&armed.function) != (int)function || number < nth || (number > nth && !atomic_load(&armed.lasts))) {
        return 0;
    }
    atomic_store(&armed.fired, true);
    if (atomic_load(&armed.code) == SHIM_HOOK) {
        void (*hook)(void) = atomic_load(&armed.hook);
        hook();
        return 0;
    }
    return atomic_load(&armed.code);
}

/* Returns true when a command of fcntl(2) may fail with this error. */
static bool
is_plausible(int command, long word, int code)
{
    switch (command) {
    case F_GETFL:
        return code == EBADF;
    case F_DUPFD_CLOEXEC:
        return code == EMFILE || code == EBADF;
    case F_OFD_SETLK:
        return code == EINTR || code == EAGAIN || code == EACCES || code == ENOLCK || code == EINVAL;
    case F_SETLEASE: /* giving a lease up does not fail */
        return word != F_UNLCK && (code == EAGAIN || code == EACCES || code == EINVAL || code == ENOMEM);
    case F_GET_SEALS:
    case F_SETSIG:
    case F_SETOWN_EX:
        return code == EINVAL;
    default:
        return false;
    }
}

int
shim_ask_fcntl(enum shim_function function, const void *caller, int command, long word)
{
    int code = shim_ask(function, caller);
    if (code > 0 && !is_plausible(command, word, code)) {
        atomic_store(&armed.fired, false);
        return 0;
    }
    return code;
}

static bool
is_one_of(const int *codes, int code)
{
    while (*codes != 0 && *codes != code) {
        codes++;
    }
    return *codes == code;
}

bool
shim_may_answer(long number, int code)
{
    static const int by_filter[] = {EPERM, ENOSYS, 0};
    static const int opening[] = {ENOENT, EACCES, EMFILE, ENFILE, ENOMEM, EINTR, EPERM, 0};
    static const int query[] = {ENOTTY, ENAMETOOLONG, EPERM, 0};
    static const int reading[] = {EINTR, EIO, ENOMEM, EPERM, SHIM_ONE_BYTE, SHIM_HALF, 0};
    static const int closing[] = {EINTR, EIO, 0};
    static const int making[] = {EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM, 0};
    static const int mapping[] = {ENOMEM, EPERM, ENOSYS, 0};

    switch (number) {
    case -1:
    case SYS_gettid:
        return false;
    case SYS_openat:
        return is_one_of(opening, code);
    case SYS_ioctl:
        return is_one_of(query, code);
    case SYS_read:
    case SYS_pread64:
        return is_one_of(reading, code);
    case SYS_close:
        return is_one_of(closing, code);
    case SYS_memfd_create:
        return is_one_of(making, code);
#ifdef SYS_mmap
    case SYS_mmap:
#endif
#ifdef SYS_mmap2
    case SYS_mmap2:
#endif
    case SYS_mremap:
    case SYS_mprotect:
        return is_one_of(mapping, code);
    default:
        return is_one_of(by_filter, code);
    }
}

int
shim_ask_number(long number, const void *caller)
{
    if (shim_is_library(caller)) {
        unsigned before = atomic_load(&calls[SHIM_syscall]);
        if (before < SHIM_NUMBERS) {
            atomic_store(&numbers[before], number);
        }
    }
    int code = shim_ask(SHIM_syscall, caller);
    if (code != 0 && code != SHIM_HOOK && !shim_may_answer(number, code)) {
        atomic_store(&armed.fired, false);
        return 0;
    }
    return code;
}
