/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A host program with its own SIGBUS handlers. Its arguments are the steps that it takes. The program writes one line
 * to standard output for each call of a handler, without addresses. So the outputs with and without the library can be
 * compared byte by byte. With --twin the library is not loaded, and steps that need it do nothing. When a fault is not
 * contained as it should be, the program ends with status 99.
 *
 * Steps:
 *   install:KIND[,chain=MODE][,owns=a|b|none][,nomask]   install a handler with sigaction(2)
 *   altstack                       from here on, threads run with a small alternate signal stack
 *   fault:a, fault:b               touch a page beyond the end of one of the host's own mappings
 *   faults:N                       the same page of "a" N times, which a handler must leave by a jump
 *   deeper:N                       the same, each time from a deeper call
 *   blocked:a                      touch with SIGBUS blocked
 *   raise, kill, sigqueue:N        send SIGBUS: to itself, from another process, with a value
 *   mce-ao, mce-ar, adraln         SIGBUS with the codes of a memory error or a misaligned access at a byte of "a"
 *   read                           SIGBUS from another process while blocked in read(2)
 *   thread:STEP                    the step in a thread of its own
 *   mask                           log the signal mask
 * and for the library only:
 *   open, close                    open (close) a stock of regions for later `ours` steps
 *   ours                           cut a region's file and read it: must be contained, and reported
 *   copied                         open where the guard is refused: must be a copy, and not care about the file
 *   guard, state:NAME              mmg_guard_install(), mmg_guard_state()
 *   dlclose, load                  dlclose(3) the library, load it again
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mmapguard.h"

#define HOST_PAGES 64
#define OURS_PAGES 96
#define STOCK 8
#define SLOTS 4
#define WITHIN 123 /* the offset in a page that the host touches */

#if defined(__has_feature)
#define HAS_FEATURE(feature) __has_feature(feature)
#else
#define HAS_FEATURE(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || HAS_FEATURE(address_sanitizer) ||                 \
    HAS_FEATURE(thread_sanitizer)
#define STACK_EXTRA ((size_t)64 << 10)
#else
#define STACK_EXTRA ((size_t)2 << 10)
#endif

static size_t page;
static bool twin;

/* ------------------------------------------------------------------------------------------------ signal-safe log -- */

struct line {
    char text[320];
    size_t used;
};

static void
put(struct line *line, const char *text)
{
    while (*text != '\0' && line->used < sizeof line->text - 1) {
        line->text[line->used++] = *text++;
    }
}

static void
put_number(struct line *line, uint64_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    put(line, digits + at);
}

static void
put_signed(struct line *line, int64_t number)
{
    if (number < 0) {
        put(line, "-");
    }
    put_number(line, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10);
}

static void
flush_line(struct line *line, int descriptor)
{
    const char *text = line->text;
    line->text[line->used++] = '\n';
    while (line->used > 0) {
        ssize_t written = write(descriptor, text, line->used);
        if (written < 0 && errno != EINTR) {
            _exit(98);
        }
        if (written > 0) {
            text += written;
            line->used -= (size_t)written;
        }
    }
}

static void
say(const char *text)
{
    struct line line = {{0}, 0};
    put(&line, text);
    flush_line(&line, STDOUT_FILENO);
}

_Noreturn static void
fail(const char *what, int64_t number)
{
    struct line line = {{0}, 0};
    put(&line, "host: ");
    put(&line, what);
    put(&line, ": ");
    put_signed(&line, number);
    flush_line(&line, STDERR_FILENO);
    _exit(99);
}

static void need(bool ok, const char *what);

/** Returns the number at the end of a step. */
static int
number_in(const char *text)
{
    char *end = NULL;
    long number = strtol(text, &end, 10);
    need(end != text && *end == '\0' && number >= -1000000 && number <= 1000000, text);
    return (int)number;
}

static void
need(bool ok, const char *what)
{
    if (!ok) {
        fail(what, errno);
    }
}

static void
put_mask(struct line *line)
{
    sigset_t mask;
    uint64_t bits = 0;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int signal_number = 1; signal_number <= 64; signal_number++) {
        if (sigismember(&mask, signal_number) == 1) {
            bits |= UINT64_C(1) << (signal_number - 1);
        }
    }
    put(line, " mask=");
    put_number(line, bits, 16);
}

/* ------------------------------------------------------------------------------------------- the host's mappings -- */

/** Two files that are mapped and then cut to one page. Every page behind that one faults until it is repaired. */
static struct {
    uint8_t *base;
    size_t next;
} files[2];

/** The address that the program is touching, and its file: 0 for "a", 1 for "b", -1 for neither. */
static volatile uint8_t *volatile touching;
static volatile int touching_file = -1;
/** True while the program reads a cut region of the library. Then the handlers must not write lines. */
static volatile bool reading_ours;

static void
map_files(void)
{
    for (int index = 0; index < 2; index++) {
        const char *name = index == 0 ? "host-a" : "host-b";
        int descriptor = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
        need(descriptor >= 0 && ftruncate(descriptor, (off_t)(HOST_PAGES * page)) == 0, name);
        files[index].base = mmap(NULL, HOST_PAGES * page, PROT_READ, MAP_SHARED, descriptor, 0);
        need(files[index].base != MAP_FAILED, "mmap");
        need(ftruncate(descriptor, (off_t)page) == 0, "ftruncate");
        close(descriptor);
        files[index].next = 1;
    }
}

/** Maps a page of memory where the host has touched a page behind the end of its file, so that the access can go on. */
static void
repair(void)
{
    uintptr_t start = (uintptr_t)touching & ~(uintptr_t)(page - 1);
    void *got = mmap((void *)start, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (got == MAP_FAILED) {
        fail("repair", errno);
    }
}

static void
put_address(struct line *line, const void *address)
{
    for (int index = 0; index < 2; index++) {
        uintptr_t base = (uintptr_t)files[index].base;
        if ((uintptr_t)address >= base && (uintptr_t)address < base + HOST_PAGES * page) {
            put(line, index == 0 ? "a+" : "b+");
            put_number(line, (uintptr_t)address - base, 10);
            return;
        }
    }
    put(line, "elsewhere");
}

/* ------------------------------------------------------------------------------------------- the host's handlers -- */

enum chain {
    CHAIN_CALL,           /* call the function that was saved */
    CHAIN_RESTORE_RETURN, /* put the saved action back and return */
    CHAIN_RESTORE_RAISE,  /* put the saved action back and raise() */
    CHAIN_HOOK            /* ask mmg_handle_fault() first, then as CALL */
};

struct kind {
    const char *name;
    int flags;
    bool masks;      /* has a mask of its own */
    bool jumps;      /* leaves by siglongjmp */
    bool reinstalls; /* installs itself again each time it runs */
    bool resets;     /* sets the default action and returns, as Rust's runtime does */
    bool nests;      /* reads a lost page of the library inside the handler */
};

static const struct kind kinds[] = {
    {.name = "one"},
    {.name = "three", .flags = SA_SIGINFO},
    {.name = "restart", .flags = SA_SIGINFO | SA_RESTART},
    {.name = "resethand", .flags = SA_SIGINFO | (int)SA_RESETHAND},
    {.name = "sysv", .flags = (int)SA_RESETHAND | SA_NODEFER},
    {.name = "masking", .flags = SA_SIGINFO, .masks = true},
    {.name = "masking-one", .masks = true},
    {.name = "nodefer", .flags = SA_SIGINFO | SA_NODEFER},
    {.name = "masking-nodefer", .flags = SA_SIGINFO | SA_NODEFER, .masks = true},
    {.name = "jumping", .flags = SA_SIGINFO, .jumps = true},
    {.name = "jumping-masking", .flags = SA_SIGINFO, .jumps = true, .masks = true},
    {.name = "jumping-nodefer", .flags = SA_SIGINFO | SA_NODEFER, .jumps = true},
    {.name = "jumping-reinstalling", .flags = SA_SIGINFO, .jumps = true, .reinstalls = true},
    {.name = "reinstalling", .flags = SA_SIGINFO, .reinstalls = true},
    {.name = "reinstalling-sysv", .flags = SA_SIGINFO | (int)SA_RESETHAND, .reinstalls = true},
    {.name = "resetting", .flags = SA_SIGINFO, .resets = true},
    {.name = "onstack", .flags = SA_SIGINFO | SA_ONSTACK},
    {.name = "nesting", .flags = SA_SIGINFO | SA_NODEFER, .nests = true},
};

struct slot {
    const struct kind *kind;
    enum chain chain;
    int owns; /* the file whose faults it repairs: 0 for "a", 1 for "b", -1 for none */
    bool log_mask;
    struct sigaction action;
    struct sigaction old;
};

static struct slot slots[SLOTS];
static int slots_used;

static _Thread_local sigjmp_buf leave;
static _Thread_local volatile sig_atomic_t may_leave;

static void touch_ours(void);

static void
log_call(const struct slot *slot, int signo, const siginfo_t *info)
{
    struct line line = {{0}, 0};
    put(&line, "handler ");
    put_number(&line, (uint64_t)(slot - slots), 10);
    put(&line, " ");
    put(&line, slot->kind->name);
    put(&line, " signo=");
    put_signed(&line, signo);
    if (info != NULL) {
        put(&line, " code=");
        put_signed(&line, info->si_code);
        if (info->si_code > 0) {
            put(&line, " at ");
            put_address(&line, info->si_addr);
        } else {
            put(&line, info->si_pid == getpid() ? " from itself" : " from another");
            put(&line, info->si_uid == getuid() ? " of this user" : " of another user");
        }
        if (info->si_code == SI_QUEUE) {
            put(&line, " value=");
            put_signed(&line, info->si_value.sival_int);
        }
    }
    if (slot->log_mask) {
        put_mask(&line);
    }
    if ((slot->kind->flags & SA_ONSTACK) != 0) {
        stack_t stack;
        sigaltstack(NULL, &stack);
        put(&line, (stack.ss_flags & SS_ONSTACK) != 0 ? " on the alternate stack" : " on the main stack");
    }
    flush_line(&line, STDOUT_FILENO);
}

static void
set_default(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_DFL;
    sigaction(SIGBUS, &action, NULL);
}

static void
call_saved(const struct sigaction *old, int signo, siginfo_t *info, void *context)
{
    if ((old->sa_flags & SA_SIGINFO) != 0) {
        old->sa_sigaction(signo, info, context);
    } else if (old->sa_handler == SIG_DFL || (old->sa_handler == SIG_IGN && info != NULL && info->si_code > 0)) {
        set_default();
        if (info == NULL || info->si_code <= 0) {
            raise(signo);
        }
    } else if (old->sa_handler != SIG_IGN) {
        old->sa_handler(signo);
    }
}

static void pass_on(struct slot *slot, int signo, siginfo_t *info, void *context);

/** Returns true when the handler repairs the fault. A raised signal has no address, so the current access decides. */
static bool
is_own(const struct slot *slot, const siginfo_t *info)
{
    return touching_file >= 0 && slot->owns == touching_file &&
           (info == NULL || info->si_code <= 0 || info->si_addr == touching);
}

static void
handle(struct slot *slot, int signo, siginfo_t *info, void *context)
{
    bool fault = touching_file >= 0 || reading_ours;
    if (!reading_ours) {
        log_call(slot, signo, info);
    }
    if (slot->kind->reinstalls) {
        struct sigaction found;
        sigaction(SIGBUS, &slot->action, &found);
        if (found.sa_sigaction != slot->action.sa_sigaction && found.sa_handler != SIG_DFL) {
            slot->old = found;
        }
    }
    if (slot->kind->nests) {
        touch_ours();
    }
    if (slot->kind->resets) {
        set_default();
    } else if (fault ? !is_own(slot, info) : slot->owns < 0) {
        pass_on(slot, signo, info, context);
    } else if (slot->kind->jumps && may_leave) {
        siglongjmp(leave, 1);
    } else if (fault) {
        repair();
    }
}

#define HANDLER(number)                                                                                                \
    static void handler_##number(int signo, siginfo_t *info, void *context)                                            \
    {                                                                                                                  \
        handle(&slots[number], signo, info, context);                                                                  \
    }                                                                                                                  \
    static void plain_handler_##number(int signo)                                                                      \
    {                                                                                                                  \
        handle(&slots[number], signo, NULL, NULL);                                                                     \
    }
HANDLER(0)
HANDLER(1)
HANDLER(2)
HANDLER(3)

static void (*const handlers[SLOTS])(int, siginfo_t *, void *) = {handler_0, handler_1, handler_2, handler_3};
static void (*const plain_handlers[SLOTS])(int) = {plain_handler_0, plain_handler_1, plain_handler_2, plain_handler_3};

static void
install(char *what)
{
    static const char *const modes[] = {"call", "restore-return", "restore-raise", "hook"};
    char *rest = NULL;
    const char *name = strtok_r(what, ",", &rest);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    if (strcmp(name, "default") == 0 || strcmp(name, "ignore") == 0) {
        action.sa_handler = strcmp(name, "default") == 0 ? SIG_DFL : SIG_IGN;
        need(sigaction(SIGBUS, &action, NULL) == 0, "sigaction");
        return;
    }
    need(slots_used < SLOTS, "too many handlers");
    struct slot *slot = &slots[slots_used];
    slot->log_mask = true;
    for (size_t index = 0; index < sizeof kinds / sizeof *kinds; index++) {
        if (strcmp(kinds[index].name, name) == 0) {
            slot->kind = &kinds[index];
        }
    }
    need(slot->kind != NULL, name);
    for (const char *word; (word = strtok_r(NULL, ",", &rest)) != NULL;) {
        if (strncmp(word, "chain=", 6) == 0) {
            for (int mode = 0; mode < 4; mode++) {
                if (strcmp(word + 6, modes[mode]) == 0) {
                    slot->chain = (enum chain)mode;
                }
            }
        } else if (strncmp(word, "owns=", 5) == 0) {
            slot->owns = word[5] == 'n' ? -1 : word[5] - 'a';
        } else if (strcmp(word, "nomask") == 0) {
            slot->log_mask = false;
        } else {
            need(false, word);
        }
    }
    action.sa_flags = slot->kind->flags;
    if (slot->kind->masks) {
        sigaddset(&action.sa_mask, SIGUSR1);
        sigaddset(&action.sa_mask, SIGWINCH);
        sigaddset(&action.sa_mask, SIGRTMAX);
    }
    if ((action.sa_flags & SA_SIGINFO) != 0) {
        action.sa_sigaction = handlers[slots_used];
    } else {
        action.sa_handler = plain_handlers[slots_used];
    }
    slot->action = action;
    slots_used++;
    need(sigaction(SIGBUS, &action, &slot->old) == 0, "sigaction");
}

/* ------------------------------------------------------------------------------------------------- the library -- */

static struct {
    __typeof__(&mmg_open) open;
    __typeof__(&mmg_close) close;
    __typeof__(&mmg_pin) pin;
    __typeof__(&mmg_unpin) unpin;
    __typeof__(&mmg_check) check;
    __typeof__(&mmg_info_get) info_get;
    __typeof__(&mmg_guard_state) guard_state;
    __typeof__(&mmg_guard_install) guard_install;
    __typeof__(&mmg_handle_fault) handle_fault;
    __typeof__(&mmg_term) term;
    void *library;
} api;

static mmg_handle stock[STOCK];
static char stock_paths[STOCK][32];
static int stocked;
static int taken;
static int made;

static void
find_symbol(void **where, const char *name)
{
    *where = dlsym(api.library, name);
    need(*where != NULL, name);
}

static void
load_library(void)
{
    const char *path = getenv("MMAPGUARD_LIBRARY");
    api.library = dlopen(path == NULL ? "libmmapguard.so.1" : path, RTLD_NOW | RTLD_LOCAL);
    if (api.library == NULL) {
        fprintf(stderr, "host: %s\n", dlerror());
        _exit(99);
    }
    /* POSIX lets an object pointer that dlsym() returned be read as a function pointer. */
    find_symbol((void **)&api.open, "mmg_open");
    find_symbol((void **)&api.close, "mmg_close");
    find_symbol((void **)&api.pin, "mmg_pin");
    find_symbol((void **)&api.unpin, "mmg_unpin");
    find_symbol((void **)&api.check, "mmg_check");
    find_symbol((void **)&api.info_get, "mmg_info_get");
    find_symbol((void **)&api.guard_state, "mmg_guard_state");
    find_symbol((void **)&api.guard_install, "mmg_guard_install");
    find_symbol((void **)&api.handle_fault, "mmg_handle_fault");
    find_symbol((void **)&api.term, "mmg_term");
}

static void
pass_on(struct slot *slot, int signo, siginfo_t *info, void *context)
{
    if (slot->chain == CHAIN_HOOK && !twin && api.handle_fault(signo, info, context) == 1) {
        return;
    }
    if (slot->chain == CHAIN_CALL || slot->chain == CHAIN_HOOK) {
        call_saved(&slot->old, signo, info, context);
        return;
    }
    sigaction(SIGBUS, &slot->old, NULL);
    if (slot->chain == CHAIN_RESTORE_RAISE) {
        raise(signo);
    }
}

static mmg_handle
open_region(char *path, size_t size, uint32_t backing)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle handle = 0;
    snprintf(path, size, "ours-%d", made++);
    int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    uint8_t *bytes = malloc(page);
    need(descriptor >= 0 && bytes != NULL, path);
    memset(bytes, 0xA5, page);
    for (int index = 0; index < OURS_PAGES; index++) {
        need(write(descriptor, bytes, page) == (ssize_t)page, "write");
    }
    free(bytes);
    close(descriptor);
    options.backing = backing;
    mmg_status status = api.open(path, &options, &handle, &error);
    if (status != MMG_OK) {
        fprintf(stderr, "host: %s\n", error.message);
        fail("mmg_open", status);
    }
    return handle;
}

/**
 * Cuts the file of a region in the middle of its second page, reads behind the cut, and checks that everything is
 * reported.
 */
static void
ours(void)
{
    char path[sizeof stock_paths[0]];
    mmg_handle handle;
    mmg_span span = MMG_SPAN_INIT;
    mmg_info info = MMG_INFO_INIT;
    if (taken < stocked) {
        memcpy(path, stock_paths[taken], sizeof path);
        handle = stock[taken++];
    } else {
        handle = open_region(path, sizeof path, MMG_BACKING_MAP);
    }
    mmg_status status = api.pin(handle, 0, MMG_TO_END, &span);
    if (status != MMG_OK || span.size != OURS_PAGES * page) {
        fail("mmg_pin", status);
    }
    need(truncate(path, (off_t)(page + 100)) == 0, "truncate");
    const volatile uint8_t *bytes = span.data;
    errno = 4711;
    reading_ours = true;
    if (bytes[5 * page] != 0) {
        fail("a lost byte reads as", bytes[5 * page]);
    }
    /* The read is volatile, since the compiler sees no call that could have changed errno. */
    int left = *(volatile int *)&errno;
    if (left != 4711) {
        fail("errno after a contained fault", left);
    }
    for (size_t at = 0; at < span.size; at++) {
        if (bytes[at] != (at < page + 100 ? 0xA5 : 0)) {
            fail("wrong byte at", (int64_t)at);
        }
    }
    reading_ours = false;
    status = api.unpin(&span);
    if (status != MMG_E_TRUNCATED) {
        fail("mmg_unpin", status);
    }
    status = api.check(handle);
    if (status != MMG_E_TRUNCATED) {
        fail("mmg_check", status);
    }
    status = api.info_get(handle, &info);
    if (status != MMG_OK || info.faults != 1 || info.fault_offset != page + 100 ||
        info.fault_cause != MMG_E_TRUNCATED) {
        fail("mmg_info.fault_offset", (int64_t)info.fault_offset);
    }
    if (api.close(handle, 0) != MMG_OK) {
        fail("mmg_close", 0);
    }
    unlink(path);
}

static void
copied(void)
{
    char path[sizeof stock_paths[0]];
    mmg_span span = MMG_SPAN_INIT;
    mmg_info info = MMG_INFO_INIT;
    mmg_handle handle = open_region(path, sizeof path, MMG_BACKING_AUTO);
    if (api.info_get(handle, &info) != MMG_OK || info.backing != MMG_BACKING_COPY ||
        info.backing_reason != MMG_REASON_NO_GUARD || info.guarantee != MMG_GUARANTEE_STABLE) {
        fail("mmg_info.backing_reason", (int64_t)info.backing_reason);
    }
    mmg_status status = api.pin(handle, 0, MMG_TO_END, &span);
    if (status != MMG_OK) {
        fail("mmg_pin", status);
    }
    need(truncate(path, 0) == 0, "truncate");
    for (size_t at = 0; at < span.size; at++) {
        if (span.data[at] != 0xA5) {
            fail("wrong byte at", (int64_t)at);
        }
    }
    if (api.unpin(&span) != MMG_OK || api.check(handle) != MMG_OK || api.close(handle, 0) != MMG_OK) {
        fail("a copy", 0);
    }
    unlink(path);
}

/** Reads a page of a region whose file was just cut. A handler calls this function. */
static void
touch_ours(void)
{
    mmg_span span = MMG_SPAN_INIT;
    if (twin || taken >= stocked) {
        return;
    }
    if (api.pin(stock[taken], 0, MMG_TO_END, &span) != MMG_OK || truncate(stock_paths[taken], 0) != 0) {
        fail("inside a handler", errno);
    }
    reading_ours = true;
    uint8_t value = *(const volatile uint8_t *)(span.data + 7 * page);
    reading_ours = false;
    if (value != 0 || api.unpin(&span) != MMG_E_TRUNCATED) {
        fail("not contained inside a handler", 0);
    }
    taken++;
}

static void
close_stock(void)
{
    for (; stocked > 0; stocked--) {
        if (stocked > taken && api.close(stock[stocked - 1], 0) != MMG_OK) {
            fail("mmg_close", stocked);
        }
    }
    taken = 0;
}

static void
library_step(const char *step)
{
    if (twin) {
        return;
    }
    if (strcmp(step, "open") == 0) {
        for (; stocked < STOCK; stocked++) {
            stock[stocked] = open_region(stock_paths[stocked], sizeof stock_paths[0], MMG_BACKING_MAP);
        }
    } else if (strcmp(step, "close") == 0) {
        close_stock();
    } else if (strcmp(step, "ours") == 0) {
        ours();
    } else if (strcmp(step, "copied") == 0) {
        copied();
    } else if (strcmp(step, "guard") == 0) {
        mmg_status status = api.guard_install();
        if (status != MMG_OK) {
            fail("mmg_guard_install", status);
        }
    } else if (strncmp(step, "state:", 6) == 0) {
        int32_t state = api.guard_state();
        if (strcmp(api.term(MMG_TERM_GUARD, (uint32_t)state), step + 6) != 0) {
            fail(step, state);
        }
    } else if (strcmp(step, "load") == 0) {
        load_library();
    } else {
        need(dlclose(api.library) == 0, "dlclose");
    }
}

/* --------------------------------------------------------------------------------------------------------- events -- */

static void
touch(volatile uint8_t *address, int file)
{
    touching_file = file;
    touching = address;
    uint8_t value = *address;
    touching = NULL;
    touching_file = -1;
    struct line line = {{0}, 0};
    put(&line, "read ");
    put_number(&line, value, 10);
    flush_line(&line, STDOUT_FILENO);
}

/**
 * Sends SIGBUS from another process, and returns when that process has ended and the signal was delivered. The signal
 * waits until fork(2) has returned, since a handler that jumps out of fork(2) would leave the locks of fork(2) locked.
 */
static void
send_from_another(bool queue, int value)
{
    pid_t parent = getpid();
    sigset_t bus, before;
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    need(pthread_sigmask(SIG_BLOCK, &bus, &before) == 0, "pthread_sigmask");
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        union sigval extra;
        memset(&extra, 0, sizeof extra);
        extra.sival_int = value;
        _exit((queue ? sigqueue(parent, SIGBUS, extra) : kill(parent, SIGBUS)) == 0 ? 0 : 1);
    }
    need(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0, "pthread_sigmask");
    int wait_status = 0;
    while (waitpid(child, &wait_status, 0) < 0) {
        need(errno == EINTR, "waitpid");
    }
    need(wait_status == 0, "the sender");
}

/**
 * Sends this process a SIGBUS that looks like one of the kernel, which only the process itself may do
 * (rt_sigqueueinfo(2)). This comes closest to a memory error on a machine without one.
 */
static void
send_as_kernel(int code)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    info.si_signo = SIGBUS;
    info.si_code = code;
    info.si_addr = files[0].base + WITHIN;
    need(syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS, &info) == 0, "tgsigqueueinfo");
}

/**
 * The first function returns true when SIGBUS is pending, by /proc/PID/status. The second one returns the state of the
 * process, by /proc/PID/stat, or 0 when it has ended.
 */
static bool
is_pending(pid_t process)
{
    char path[48];
    char text[256];
    bool pending = false;
    snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    FILE *status = fopen(path, "re");
    if (status == NULL) {
        return false;
    }
    while (fgets(text, sizeof text, status) != NULL) {
        if (strncmp(text, "SigPnd:", 7) == 0 || strncmp(text, "ShdPnd:", 7) == 0) {
            pending = pending || (strtoull(text + 7, NULL, 16) >> (SIGBUS - 1) & 1) != 0;
        }
    }
    fclose(status);
    return pending;
}

static char
state_of(pid_t process)
{
    char path[48];
    char text[512] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    FILE *stat = fopen(path, "re");
    if (stat == NULL) {
        return 0;
    }
    const char *name_end = fgets(text, sizeof text, stat) == NULL ? NULL : strrchr(text, ')');
    fclose(stat);
    return name_end == NULL ? 0 : name_end[2];
}

/**
 * Waits until a process sleeps and has no pending SIGBUS. It sleeps only in read(2). Returns false when that takes too
 * long.
 */
static bool
wait_until_asleep(pid_t process)
{
    for (int seen = 0; seen < 3;) {
        char state = state_of(process);
        if (state == 0 || state == 'Z') {
            return false;
        }
        seen = state == 'S' && !is_pending(process) ? seen + 1 : 0;
        usleep(500);
    }
    return true;
}

/** Gets a SIGBUS from another process while blocked in read(2), and writes whether the read was interrupted. */
static void
interrupted_read(void)
{
    int pipes[2];
    pid_t parent = getpid();
    need(pipe(pipes) == 0, "pipe");
    pid_t child = fork();
    need(child >= 0, "fork");
    if (child == 0) {
        bool alive = wait_until_asleep(parent) && kill(parent, SIGBUS) == 0 && wait_until_asleep(parent);
        _exit(alive && write(pipes[1], "x", 1) == 1 ? 0 : 1);
    }
    char byte = 0;
    ssize_t got;
    while ((got = read(pipes[0], &byte, 1)) < 0) {
        need(errno == EINTR, "read");
        say("read(2) was interrupted");
    }
    need(got == 1, "read");
    say("read(2) returned a byte");
    while (waitpid(child, NULL, 0) < 0) {
        need(errno == EINTR, "waitpid");
    }
    close(pipes[0]);
    close(pipes[1]);
}

static void
block(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    need(pthread_sigmask(how, &set, NULL) == 0, "pthread_sigmask");
}

static void
event(const char *step)
{
    if (strncmp(step, "fault:", 6) == 0 || strncmp(step, "blocked:", 8) == 0) {
        int file = strchr(step, ':')[1] - 'a';
        need(files[file].next < HOST_PAGES, "out of pages");
        if (step[0] == 'b') {
            block(SIG_BLOCK);
        }
        touch(files[file].base + files[file].next++ * page + WITHIN, file);
        if (step[0] == 'b') {
            block(SIG_UNBLOCK);
        }
    } else if (strcmp(step, "raise") == 0) {
        raise(SIGBUS);
    } else if (strcmp(step, "kill") == 0) {
        send_from_another(false, 0);
    } else if (strncmp(step, "sigqueue:", 9) == 0) {
        send_from_another(true, number_in(step + 9));
    } else if (strcmp(step, "mce-ao") == 0) {
        send_as_kernel(BUS_MCEERR_AO);
    } else if (strcmp(step, "mce-ar") == 0) {
        send_as_kernel(BUS_MCEERR_AR);
    } else if (strcmp(step, "adraln") == 0) {
        send_as_kernel(BUS_ADRALN);
    } else if (strcmp(step, "read") == 0) {
        interrupted_read();
    } else {
        fail(step, 0);
    }
}

/** Runs an event that a handler may leave by a jump. */
static void
run_event(const char *step)
{
    if (sigsetjmp(leave, 1) == 0) {
        may_leave = 1;
        event(step);
    } else {
        touching = NULL;
        touching_file = -1;
        say("left by a jump");
    }
    may_leave = 0;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

static void
many_faults(int count)
{
    volatile uint8_t *address = files[0].base + files[0].next * page + WITHIN;
    volatile int jumps = 0;
    volatile int round = 0;
    for (; round < count; round++) {
        if (sigsetjmp(leave, 1) == 0) {
            may_leave = 1;
            touching_file = 0;
            touching = address;
            (void)*address;
        } else {
            jumps++;
        }
        may_leave = 0;
        touching = NULL;
        touching_file = -1;
    }
    struct line line = {{0}, 0};
    put(&line, "jumps ");
    put_number(&line, (uint64_t)jumps, 10);
    flush_line(&line, STDOUT_FILENO);
}

/**
 * Causes a fault whose handler jumps back, and then calls itself to do so again. The call must be neither inlined nor a
 * tail call.
 */
__attribute__((noinline)) static int
deeper_faults(int count) // NOLINT(misc-no-recursion): that is what it is for
{
    volatile char room[256];
    room[0] = (char)count;
    many_faults(1);
    if (count > 1) {
        deeper_faults(count - 1);
    }
    return room[0];
}

/* ---------------------------------------------------------------------------------------------------------- steps -- */

static bool small_stacks;

/** Installs an alternate stack that is only a little larger than a signal frame, with an inaccessible page below it. */
static void
use_small_stack(void)
{
    unsigned long least = getauxval(AT_MINSIGSTKSZ);
    stack_t stack;
    memset(&stack, 0, sizeof stack);
    stack.ss_size = (least == 0 ? (size_t)MINSIGSTKSZ : (size_t)least) + STACK_EXTRA;
    uint8_t *area = mmap(NULL, stack.ss_size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(area != MAP_FAILED && mprotect(area, page, PROT_NONE) == 0, "alternate stack");
    stack.ss_sp = area + page;
    need(sigaltstack(&stack, NULL) == 0, "sigaltstack");
}

static void run_step(char *step);

static void *
step_in_thread(void *step)
{
    if (small_stacks) {
        use_small_stack();
    }
    run_step(step);
    return NULL;
}

static void
run_step(char *step)
{
    static const char *const library_steps[] = {"open", "close", "ours", "copied", "guard", "dlclose", "load"};
    if (strncmp(step, "thread:", 7) == 0) {
        pthread_t thread;
        need(pthread_create(&thread, NULL, step_in_thread, step + 7) == 0, "pthread_create");
        need(pthread_join(thread, NULL) == 0, "pthread_join");
        return;
    }
    for (size_t index = 0; index < sizeof library_steps / sizeof *library_steps; index++) {
        if (strcmp(step, library_steps[index]) == 0) {
            library_step(step);
            return;
        }
    }
    if (strncmp(step, "state:", 6) == 0) {
        library_step(step);
    } else if (strncmp(step, "install:", 8) == 0) {
        install(step + 8);
    } else if (strcmp(step, "altstack") == 0) {
        small_stacks = true;
        use_small_stack();
    } else if (strncmp(step, "faults:", 7) == 0) {
        many_faults(number_in(step + 7));
    } else if (strncmp(step, "deeper:", 7) == 0) {
        deeper_faults(number_in(step + 7));
    } else if (strcmp(step, "mask") == 0) {
        struct line line = {{0}, 0};
        put(&line, "now");
        put_mask(&line);
        flush_line(&line, STDOUT_FILENO);
    } else {
        struct line line = {{0}, 0};
        put(&line, "step ");
        put(&line, step);
        flush_line(&line, STDOUT_FILENO);
        run_event(step);
    }
}

/** Allows core dumps of any size, except where the system sends dumps to a program (core(5)). */
static void
allow_core_dump(void)
{
    struct rlimit limit;
    char pattern = '|';
    FILE *setting = fopen("/proc/sys/kernel/core_pattern", "re");
    if (setting != NULL) {
        need(fread(&pattern, 1, 1, setting) == 1, "core_pattern");
        fclose(setting);
    }
    need(getrlimit(RLIMIT_CORE, &limit) == 0, "getrlimit");
    limit.rlim_cur = pattern == '|' && limit.rlim_max > 0 ? 1 : limit.rlim_max;
    need(setrlimit(RLIMIT_CORE, &limit) == 0, "setrlimit");
}

int
main(int argc, char **argv)
{
    allow_core_dump();
    page = (size_t)sysconf(_SC_PAGESIZE);
    alarm(120);
    map_files();
    twin = argc > 1 && strcmp(argv[1], "--twin") == 0;
    if (!twin) {
        load_library();
    }
    for (int index = twin ? 2 : 1; index < argc; index++) {
        run_step(argv[index]);
    }
    say("end");
    return 0;
}
