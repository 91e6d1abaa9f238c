/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * SIGBUS handlers of hosts, which lie on top of each other, and a loss of the library that none of them may see.
 */
#ifndef MMAPGUARD_TESTS_HOSTS_H
#define MMAPGUARD_TESTS_HOSTS_H

#include <setjmp.h>
#include <signal.h>

#include "check.h"

#define HOSTS 64
#define PAGES 16

/** How a host passes a signal on. */
enum way {
    BY_CALL,
    BY_RAISE
};

/** A host: the action that it found, how it passes signals on, and how many signals it has had. */
struct host {
    struct sigaction found;
    enum way way;
    volatile int seen;
};

extern struct host hosts[HOSTS];
/** The handler of each host. */
extern void (*const host_handlers[HOSTS])(int, siginfo_t *, void *);

/** The number of signals that the lowest handler has had. */
extern volatile int first_seen;
/** The target to which that handler jumps; NULL when it returns. */
extern sigjmp_buf *volatile leave;

/** Puts the handler of a host on top of all others. */
void install_host(int number, enum way way);

/** Installs the lowest handler. */
void install_first(void);

/** Raises SIGBUS, and checks that the signal comes to the lowest handler once. */
void raise_to_the_first(void);

/** Loses a page of a region of the library, and checks that the loss is contained. */
void lose(void);

#endif
