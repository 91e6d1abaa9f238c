/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Delivers a signal as the kernel would have delivered it without the guard.
 */
#include "guard/prev_action.h"

#include <stddef.h>

/*
 * Where a sandbox does not let the guard get out of the way, a fault that is not contained would come back for ever. The
 * kernel ends a process that faults while the signal is blocked, whatever the action.
 */
static void
die_at_next_fault(const void *info, void *context)
{
    if (mmgi_signal_is_synchronous(info) && context != NULL)
        mmgi_signal_block_on_return(context);
}

void
mmgi_prev_action_default(void *info, void *context)
{
    if (mmgi_signal_action_reset() != 0)
        die_at_next_fault(info, context);
    /* A fault happens again as soon as the guard returns, now without a handler: the core dump shows its very
       instruction. A signal that was sent has to be sent again. */
    if (!mmgi_signal_is_synchronous(info))
        mmgi_signal_send_again(info);
}

bool
mmgi_prev_action_deliver(struct prev_action *previous, int signo, void *info, void *context)
{
    const struct signal_action *action = &previous->action;

    switch (mmgi_signal_action_kind(action)) {
    case SIGNAL_ACTION_IGNORE:
        /* An ignored signal is ignored. A fault cannot be: the kernel kills, once the guard is out of its way. */
        if (mmgi_signal_is_synchronous(info) && mmgi_signal_action_swap(action, NULL) != 0)
            die_at_next_fault(info, context);
        return false;
    case SIGNAL_ACTION_HANDLER:
        /* The exchange is made by one of several threads; to the others the action is spent. */
        if (!mmgi_signal_action_is_for_once(action) || atomic_exchange(&previous->is_spent, 1) == 0) {
            mmgi_signal_action_call(action, signo, info, context);
            return true;
        }
        break;
    case SIGNAL_ACTION_DEFAULT:
        break;
    }
    mmgi_prev_action_default(info, context);
    return false;
}
