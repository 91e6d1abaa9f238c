/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The object that `mmapguard run` preloads: what its files share. The object exports functions of the C library and
 * nothing else. A caller of such a function may be a signal handler, or a child that shares the memory of its parent.
 */
#ifndef MMAPGUARD_LAUNCHER_PRELOAD_H
#define MMAPGUARD_LAUNCHER_PRELOAD_H

#include <signal.h>
#include <stdbool.h>

#include "terms.h"

#define EXPORTED __attribute__((visibility("default")))

/* The functions that the object replaces, each with its type. */
#define NEXT_FUNCTIONS(X)                                                                                              \
    X(sigaction, int (*)(int, const struct sigaction *, struct sigaction *))                                           \
    X(signal, sighandler_t (*)(int, sighandler_t))                                                                     \
    X(__sysv_signal, sighandler_t (*)(int, sighandler_t))                                                              \
    X(sigset, sighandler_t (*)(int, sighandler_t))                                                                     \
    X(sigignore, int (*)(int))                                                                                         \
    X(siginterrupt, int (*)(int, int))                                                                                 \
    X(exit, void (*)(int))                                                                                             \
    X(_exit, void (*)(int))                                                                                            \
    X(quick_exit, void (*)(int))                                                                                       \
    X(abort, void (*)(void))                                                                                           \
    X(__libc_start_main, start_function *)                                                                             \
    X(execve, int (*)(const char *, char *const[], char *const[]))                                                     \
    X(execvpe, int (*)(const char *, char *const[], char *const[]))                                                    \
    X(fexecve, int (*)(int, char *const[], char *const[]))                                                             \
    X(execveat, int (*)(int, const char *, char *const[], char *const[], int))

typedef int main_function(int argc, char **argv, char **environment);
typedef int start_function(main_function *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
                           void (*loader_fini)(void), void *stack_end);

struct next_functions {
#define NEXT_MEMBER(name, type) __typeof__(type) name##_;
    NEXT_FUNCTIONS(NEXT_MEMBER)
#undef NEXT_MEMBER
};

/* The function of the C library that the object replaces by its own function of this name. */
#define NEXT(name) (preload_next()->name##_)

/**
 * Returns the functions that the object replaces, with NULL for each one that the C library does not have. The first
 * call looks them up. It comes while the program is loaded, so later calls may be in a signal handler.
 */
const struct next_functions *preload_next(void);

/**
 * Returns true in a process that this object guards. Returns false in a child of vfork(2), which shares the memory of
 * its parent: such a child must neither report the losses of its parent nor store its own signal actions in the
 * parent's variables.
 */
bool preload_is_here(void);

/** Returns what a loss means for the process. */
enum on_loss preload_on_loss(void);

/* ---------------------------------------------------------------------------------------------- signals, on_signal.c */

/** Puts the guard on top of the current action for SIGBUS. Returns false when that fails. */
bool signals_begin(void);

/** Releases the lock, which another thread may have held when this child was forked. */
void signals_after_fork(void);

/** Returns true when the program ignores SIGBUS. Makes no system call. */
bool signals_are_ignored(void);

/**
 * The first sets SIG_IGN, if the program ignores SIGBUS, so that the program that is executed next inherits it. The
 * second puts the guard back on top when the execution has failed.
 */
void signals_uncover(void);
void signals_cover(void);

/* ---------------------------------------------------------------------------------------------- changes, changing.c */

/** From now on the program's changes of mappings wait while the guard replaces pages. */
void changes_begin(void);

/** Takes back what other threads were at when this child was forked. */
void changes_after_fork(void);

/* ------------------------------------------------------------------------------------------- execution, executing.c */

/** The greatest size of the id of a process as text, with its NUL. */
#define MAX_PROCESS_SIZE 11u

/** Writes the id of a process as text, with a NUL. Async-signal-safe, which snprintf(3) is not. */
void process_write(char to[MAX_PROCESS_SIZE], unsigned process);

/* ----------------------------------------------------------------------------------------------- losses, on_loss.c */

/**
 * Begins to count losses. Losses that are in the ledger already, and those of a program that executed this one, are
 * those of the parent process.
 */
void losses_begin(void);

/** Remembers which file standard error is at the start. The report goes to that file only. */
void losses_look_at_standard_error(void);

/** Records that the program that executed this one has lost bytes. */
void losses_inherit(void);

/**
 * Returns true when this process, or the program that executed it, has lost bytes. Makes no system call when there is
 * no loss. Async-signal-safe.
 */
bool losses_are_there(void);

/** The last line of a report. */
enum losses_end {
    LOSSES_END_NONE,   /* there is no such line */
    LOSSES_END_STATUS, /* says that the exit status changes */
    LOSSES_END_ABORT,  /* says that the process ends at once */
};

/**
 * Reports what was lost since the last report. Writes nothing when nothing was lost. Preserves errno.
 * Async-signal-safe.
 */
void losses_report(enum losses_end end);

/* ----------------------------------------------------------------------------------------------- the end, ending.c */

/** Arranges that losses are reported when the process ends. */
void ending_begin(void);

#endif
