/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's own mappings, and the handlers that repair faults in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include "host.h"

struct cut_file files[2];

volatile uint8_t *volatile touching;
volatile int touching_file = -1;
volatile bool reading_ours;

void
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

static struct slot slots[SLOTS];
static int slots_used;

_Thread_local sigjmp_buf leave;
_Thread_local volatile sig_atomic_t may_leave;

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

void
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

void
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
