/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The object that `mmapguard run` preloads: what its parts know of each other. It exports functions of the C library, and
 * nothing else; whoever calls one of them may be in a signal handler, or in a child that shares its parent's memory.
 */
#ifndef MMAPGUARD_LAUNCHER_PRELOAD_H
#define MMAPGUARD_LAUNCHER_PRELOAD_H

#include <signal.h>
#include <stdbool.h>

#include "terms.h"

#define EXPORTED __attribute__((visibility("default")))

/* The functions that the object stands in front of, each with its type. */
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

/* The function of this name that the object stands in front of. */
#define NEXT(name) (preload_next()->name##_)

/**
 * Returns these functions, a NULL for each that the C library lacks. The first call looks them up, and comes from the
 * loader or from a library that is initialised: later ones may be in a signal handler.
 */
const struct next_functions *preload_next(void);

/**
 * Returns true in a process that is guarded by this object. A child of vfork(2) shares the memory of its parent, and is
 * none: what it does concerns its own signals and its own end.
 */
bool preload_is_here(void);

enum on_loss preload_on_loss(void);

/* ---------------------------------------------------------------------------------------------- signals, on_signal.c */

/** Guards the process, on top of what is installed for SIGBUS by now. Returns false when that fails. */
bool signals_begin(void);

/** Takes back locks that another thread held when this child was forked. */
void signals_after_fork(void);

/** Returns true when the program ignores SIGBUS. No system call. */
bool signals_are_ignored(void);

/** Lets an ignored SIGBUS be inherited by what is about to be executed; and covers it again when that has failed. */
void signals_uncover(void);
void signals_cover(void);

/* ----------------------------------------------------------------------------------------------- losses, on_loss.c */

/** Begins to count losses. Those that are in the ledger by now belong to a parent process. */
void losses_begin(void);

/** Remembers which file standard error is, at the start: the report goes there, and to no other. */
void losses_look_at_standard_error(void);

/** The program that executed this one has lost bytes. */
void losses_inherit(void);

/** Returns true when bytes were lost in mappings of this process. Async-signal-safe; no system call if there is no loss. */
bool losses_are_there(void);

/** What a report says at its end. */
enum losses_end {
    LOSSES_END_NONE,   /* nothing */
    LOSSES_END_STATUS, /* the exit status changes */
    LOSSES_END_ABORT,  /* the process ends at once */
};

/** Prints what was lost since the last report, if anything, and ends it as told. Async-signal-safe. Keeps errno. */
void losses_report(enum losses_end end);

/* ----------------------------------------------------------------------------------------------- the end, ending.c */

/** Arranges that losses are told when the process ends. */
void ending_begin(void);

#endif
