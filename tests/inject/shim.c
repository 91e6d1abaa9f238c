/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * For the linker, every function here has the name of a function of libc. For C it has another name, so that no
 * declaration of a header conflicts. A failed close() or munmap() still does its work, as on Linux. Every other failed
 * call has no effect.
 */
#include "shim.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "mmapguard.h"

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
static atomic_bool map_query_is_unknown;
static atomic_llong blocks;

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
    atomic_store(&map_query_is_unknown, true);
}

int64_t
shim_blocks(void)
{
    return atomic_load(&blocks);
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

static bool
is_library(const void *caller)
{
    uintptr_t address = (uintptr_t)caller; /* the address is only compared */
    return address >= atomic_load(&library_start) && address < atomic_load(&library_end);
}

/** Counts the call. Returns 0, or the error with which it must fail. */
static int
ask(enum shim_function function, const void *caller)
{
    if (!is_library(caller)) {
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

static int
ask_fcntl(enum shim_function function, const void *caller, int command, long word)
{
    int code = ask(function, caller);
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

/** Does the same as ask() for a call by syscall(2). */
static int
ask_number(long number, const void *caller)
{
    if (is_library(caller)) {
        unsigned before = atomic_load(&calls[SHIM_syscall]);
        if (before < SHIM_NUMBERS) {
            atomic_store(&numbers[before], number);
        }
    }
    int code = ask(SHIM_syscall, caller);
    if (code != 0 && code != SHIM_HOOK && !shim_may_answer(number, code)) {
        atomic_store(&armed.fired, false);
        return 0;
    }
    return code;
}

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
    dl_iterate_phdr(find_library, NULL);
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
        int code = ask(SHIM_##name, CALLER);                                                                           \
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
        int code = ask(SHIM_##name, CALLER);                                                                           \
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
        int code = ask(SHIM_##name, CALLER);                                                                           \
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

WITH_WORD(open, const char *, int, ask(SHIM_open, CALLER))
WITH_WORD(open64, const char *, int, ask(SHIM_open64, CALLER))
WITH_WORD(fcntl, int, int, ask_fcntl(SHIM_fcntl, CALLER, other, word))
WITH_WORD(fcntl64, int, int, ask_fcntl(SHIM_fcntl64, CALLER, other, word))
WITH_WORD(ioctl, int, unsigned long, ask(SHIM_ioctl, CALLER))
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
    int code = ask(SHIM_mremap, CALLER);
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
    int code = ask_number(number, CALLER);
    if (code > 0) {
        if (number == SYS_close) { /* a failed close still closes */
            REAL(syscall)(number, words[0]);
        }
        errno = code;
        return -1;
    }
    if (number == SYS_ioctl && atomic_load(&map_query_is_unknown) && is_library(CALLER)) {
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
    int code = ask(SHIM_pthread_create, CALLER);
    return code > 0 ? code : REAL(pthread_create)(thread, attributes, body, argument);
}

/* ------------------------------------------------------------------------------------------------------ memory -- */

static void *
count_block(void *block, const void *caller)
{
    if (block != NULL && is_library(caller)) {
        atomic_fetch_add(&blocks, 1);
    }
    return block;
}

SHIM(void *, malloc, (size_t size))
{
    if (is_early_time()) {
        return early_allocate(size);
    }
    if (ask(SHIM_malloc, CALLER) > 0) {
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
    if (ask(SHIM_calloc, CALLER) > 0) {
        errno = ENOMEM;
        return NULL;
    }
    return count_block(REAL(calloc)(count, size), CALLER);
}

SHIM(void *, aligned_alloc, (size_t alignment, size_t size))
{
    if (ask(SHIM_aligned_alloc, CALLER) > 0) {
        errno = ENOMEM;
        return NULL;
    }
    return count_block(REAL(aligned_alloc)(alignment, size), CALLER);
}

SHIM(void *, realloc, (void *block, size_t size))
{
    if (ask(SHIM_realloc, CALLER) > 0) {
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
    if (block != NULL && is_library(CALLER)) {
        atomic_fetch_sub(&blocks, 1);
    }
    REAL(free)(block);
}

/* ----------------------------------------------------------------------------------------------------- imports -- */

/*
 * Other functions that the library may call. They use only memory or the thread, or cannot fail in a way that matters.
 */
static const char harmless[] =
    " __cxa_finalize __errno_location __libc_current_sigrtmax __libc_current_sigrtmin __memcpy_chk __memset_chk "
    "__register_atfork __snprintf_chk __stack_chk_fail __strcpy_chk __vsnprintf_chk __xpg_strerror_r abort bcmp "
    "free getauxval getenv getpid getrlimit getrlimit64 gettid memchr memcmp memcpy memmem memmove memset "
    "__sysconf lseek64 memfd_create memrchr pthread_setcancelstate strcspn strncpy strspn "
    "strstr strtoull "
    "pthread_atfork pthread_attr_destroy pthread_attr_init pthread_attr_setdetachstate pthread_attr_setstacksize "
    "pthread_cond_broadcast pthread_cond_destroy pthread_cond_init pthread_cond_signal pthread_cond_wait "
    "pthread_join pthread_kill pthread_mutex_destroy pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock "
    "pthread_once pthread_self pthread_sigmask raise sched_yield secure_getenv sigaddset sigdelset sigemptyset "
    "sigfillset sigismember snprintf strchr strcmp strerror_r strlen strncmp strnlen strrchr strtol strtoul "
    "sysconf tgkill vsnprintf ";

static bool
is_known(const char *name)
{
    /* Compilers and sanitizers add calls of these functions. */
    static const char *const foreign[] = {"_ITM_",       "__gmon", "__asan", "__ubsan", "__tsan",
                                          "__sanitizer", "__gcov", "__llvm", "mmg_"};
    for (size_t index = 0; index < SHIM_COUNT; index++) {
        if (strcmp(name, shim_names[index]) == 0) {
            return true;
        }
    }
    char word[128];
    int length = snprintf(word, sizeof word, " %s ", name);
    if (length > 0 && (size_t)length < sizeof word && strstr(harmless, word) != NULL) {
        return true;
    }
    for (size_t index = 0; index < sizeof foreign / sizeof *foreign; index++) {
        if (strncmp(name, foreign[index], strlen(foreign[index])) == 0) {
            return true;
        }
    }
    return false;
}

/**
 * Calls `tell` for each unknown import among the dynamic symbols of the file that is mapped at `file`. Returns their
 * number.
 */
static int
walk_symbols(const unsigned char *file, void (*tell)(const char *name))
{
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)(const void *)file; /* the file starts with this header */
    const ElfW(Shdr) *sections = (const ElfW(Shdr) *)(const void *)(file + header->e_shoff);
    int unknown = 0;
    for (unsigned index = 0; index < header->e_shnum; index++) {
        if (sections[index].sh_type != SHT_DYNSYM) {
            continue;
        }
        const ElfW(Sym) *symbols = (const ElfW(Sym) *)(const void *)(file + sections[index].sh_offset);
        const char *names = (const char *)file + sections[sections[index].sh_link].sh_offset;
        for (size_t at = 1; at < sections[index].sh_size / sizeof *symbols; at++) {
            if (symbols[at].st_shndx == SHN_UNDEF && !is_known(names + symbols[at].st_name)) {
                tell(names + symbols[at].st_name);
                unknown++;
            }
        }
        return unknown;
    }
    return -1;
}

int
shim_unknown_imports(void (*tell)(const char *name))
{
    struct stat status;
    int result = -1;
    int descriptor = shim_open(library_path, O_RDONLY | O_CLOEXEC, 0);
    if (descriptor >= 0 && shim_fstat(descriptor, &status) == 0) {
        size_t size = (size_t)status.st_size;
        unsigned char *file = shim_mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (file != MAP_FAILED) {
            result = walk_symbols(file, tell);
            shim_munmap(file, size);
        }
    }
    shim_close(descriptor);
    return result;
}
