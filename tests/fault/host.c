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
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host.h"

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

/**
 * The kernel counts the signals that wait in all processes of a user. Beyond the limit, which another test may have reached,
 * it delivers a signal without the sender and the code, which the host tells.
 */
static void
allow_pending_signals(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_SIGPENDING, &limit) == 0) {
        const struct rlimit none = {RLIM_INFINITY, RLIM_INFINITY}, most = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_SIGPENDING, &none) != 0) {
            setrlimit(RLIMIT_SIGPENDING, &most);
        }
    }
}

int
main(int argc, char **argv)
{
    allow_core_dump();
    allow_pending_signals();
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
