/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The fault signal on a platform without one. No action can be read or installed, so the guard cannot be installed, and
 * the library copies files that it would map elsewhere.
 */
#include "os/signal.h"

#include <errno.h>

int
mmgi_signal_action_get(struct signal_action *action)
{
    *action = (struct signal_action){.handler = 0};
    return ENOTSUP;
}

void
mmgi_signal_action_make(signal_handler *handler, const struct signal_action *previous, struct signal_action *action)
{
    (void)handler;
    *action = *previous;
}

int
mmgi_signal_action_swap(const struct signal_action *action, struct signal_action *old)
{
    (void)action;
    if (old != NULL)
        *old = (struct signal_action){.handler = 0};
    return ENOTSUP;
}

bool
mmgi_signal_action_may_change(void)
{
    return false;
}

int
mmgi_signal_action_reset(void)
{
    return ENOTSUP;
}

void
mmgi_signal_block_on_return(void *context)
{
    (void)context;
}

enum signal_action_kind
mmgi_signal_action_kind(const struct signal_action *action)
{
    (void)action;
    return SIGNAL_ACTION_DEFAULT;
}

bool
mmgi_signal_action_equals(const struct signal_action *one, const struct signal_action *other)
{
    return one->handler == other->handler;
}

bool
mmgi_signal_action_is_marked(const struct signal_action *action)
{
    (void)action;
    return false;
}

bool
mmgi_signal_action_is_for_once(const struct signal_action *action)
{
    (void)action;
    return false;
}

signal_handler *
mmgi_signal_action_handler(const struct signal_action *action)
{
    (void)action;
    return NULL;
}

void
mmgi_signal_action_call(const struct signal_action *action, int signo, void *info, void *context)
{
    (void)action;
    (void)signo;
    (void)info;
    (void)context;
}

void
mmgi_signal_describe(int signo, const void *info, struct signal_report *report)
{
    (void)signo;
    (void)info;
    *report = (struct signal_report){.cause = SIGNAL_CAUSE_OTHER};
}

bool
mmgi_signal_is_synchronous(const void *info)
{
    (void)info;
    return false;
}

void
mmgi_signal_send_again(void *info)
{
    (void)info;
}

bool
mmgi_signal_is_blocked(void)
{
    return false;
}

uint64_t
mmgi_signal_block_all(void)
{
    return 0;
}

void
mmgi_signal_unblock(uint64_t before)
{
    (void)before;
}

bool
mmgi_signal_ends_handler(const void *address)
{
    (void)address;
    return false;
}

uintptr_t
mmgi_signal_delivery(void *context, uintptr_t fresh)
{
    (void)context;
    return fresh;
}

uintptr_t
mmgi_signal_stack_pointer(const void *context)
{
    (void)context;
    return 0;
}

uintptr_t
mmgi_signal_next_instruction(const void *context)
{
    (void)context;
    return 0;
}

bool
mmgi_signal_peek(uintptr_t address, uintptr_t *word)
{
    (void)address;
    *word = 0;
    return false;
}
