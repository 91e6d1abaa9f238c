/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for the fault signal: the signal that the kernel sends when a page of a mapping cannot be delivered
 * (SIGBUS on Linux). The calls read and change its action by the system call itself, since some libraries (sanitizers,
 * libjsig) answer sigaction(3) from a table of their own. Every call here is async-signal-safe, does not block, and is no
 * cancellation point.
 */
#ifndef MMGI_OS_SIGNAL_H
#define MMGI_OS_SIGNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A handler as the kernel calls it. `info` and `context` are the platform's own structs. */
typedef void signal_handler(int signo, void *info, void *context);

/** An action for the fault signal. Only the platform uses the members; other code uses the calls below. */
struct signal_action {
    uintptr_t handler; /* a function, or the platform's number for "default" or "ignore" */
    unsigned long flags;
    uint64_t mask; /* bit n - 1: signal n waits while the handler runs */
};

enum signal_action_kind {
    SIGNAL_ACTION_DEFAULT,
    SIGNAL_ACTION_IGNORE,
    SIGNAL_ACTION_HANDLER
};

/** What a delivered signal is about. */
enum signal_cause {
    SIGNAL_CAUSE_OTHER,  /* not the fault signal, or nothing that this library could contain */
    SIGNAL_CAUSE_PAGE,   /* a page could not be delivered */
    SIGNAL_CAUSE_POISON, /* the hardware lost the bytes around an address */
    SIGNAL_CAUSE_RAISED  /* this process sent the signal by raise(3), kill(2) or sigqueue(3) */
};

struct signal_report {
    enum signal_cause cause;
    void *address;   /* PAGE and POISON: the byte that was touched */
    size_t poisoned; /* POISON: how many bytes around the address are lost, a power of two; else 0 */
};

/** Reads the current action. Returns 0, or an errno when a sandbox refuses the call. */
int mmgi_signal_action_get(struct signal_action *action);

/**
 * Makes the action that calls `handler` and that will replace `previous`. The action runs on the alternate stack, unless
 * `previous` is a handler that does not. It restarts interrupted system calls if `previous` does. It has a mark by which
 * mmgi_signal_action_is_marked() recognises it, in this copy of the library and in every other.
 */
void mmgi_signal_action_make(signal_handler *handler, const struct signal_action *previous,
                             struct signal_action *action);

/** Installs an action, and stores the action that it replaces in `*old`, which may be NULL. Returns 0 or an errno. */
int mmgi_signal_action_swap(const struct signal_action *action, struct signal_action *old);

/** Returns true unless a sandbox refuses to change the action. The call changes nothing. */
bool mmgi_signal_action_may_change(void);

/** Installs the default action, so that the next fault ends the process. Returns 0 or an errno. */
int mmgi_signal_action_reset(void);

/** Makes the signal blocked in the thread when its handler returns. `context` is the context that the handler got. */
void mmgi_signal_block_on_return(void *context);

enum signal_action_kind mmgi_signal_action_kind(const struct signal_action *action);

/** Returns true when both actions do the same. The code to which the handler returns is not compared. */
bool mmgi_signal_action_equals(const struct signal_action *one, const struct signal_action *other);

/** Returns true when a copy of this library made the action. */
bool mmgi_signal_action_is_marked(const struct signal_action *action);

/** Returns true when the action is good for one signal only. */
bool mmgi_signal_action_is_for_once(const struct signal_action *action);

/** Returns the function of an action of kind HANDLER. */
signal_handler *mmgi_signal_action_handler(const struct signal_action *action);

/** Calls the handler of an action with the signals blocked that the kernel would have blocked for it. */
void mmgi_signal_action_call(const struct signal_action *action, int signo, void *info, void *context);

/** Describes a signal. `info` may be NULL. */
void mmgi_signal_describe(int signo, const void *info, struct signal_report *report);

/**
 * Returns true when the running instruction caused the signal and runs again after the handler. Returns false when the
 * signal was sent, or only reports a memory error that no instruction has met.
 */
bool mmgi_signal_is_synchronous(const void *info);

/** Sends a signal to the calling thread again, with all that `info` says, the sender included. */
void mmgi_signal_send_again(void *info);

/** Returns true when the fault signal is blocked in the calling thread: a fault then ends the process. */
bool mmgi_signal_is_blocked(void);

/** Blocks every signal in the calling thread, those of the C library included, and returns the mask before. */
uint64_t mmgi_signal_block_all(void);

/** Ends mmgi_signal_block_all(): lets the signals through that were not blocked before. */
void mmgi_signal_unblock(uint64_t before);

/**
 * Returns true when a handler that returns to `address` returns to the kernel, which then puts back the mask of the
 * interrupted code. Such a handler need not do so itself. Returns false where that is not known.
 */
bool mmgi_signal_ends_handler(const void *address);

/**
 * Returns a number for one delivery of a signal. The number is in a word of the context that the kernel clears at each
 * delivery and never reads. If the word is still 0, the call stores `fresh` there, which must not be 0. So every handler that
 * is called for the same delivery gets the same number, in every copy of the library. Returns 0 without a context.
 */
uintptr_t mmgi_signal_delivery(void *context, uintptr_t fresh);

/** Returns the stack pointer of the code that the signal interrupted, or 0 where it is not known. */
uintptr_t mmgi_signal_stack_pointer(const void *context);

/** Returns where the interrupted code goes on when the handler returns; 0: unknown. Async-signal-safe. */
uintptr_t mmgi_signal_next_instruction(const void *context);

/**
 * Reads a word at an address that may not be mapped. Returns false when the address is not mapped. Sanitizers and
 * valgrind do not check this read.
 */
bool mmgi_signal_peek(uintptr_t address, uintptr_t *word);

#endif
