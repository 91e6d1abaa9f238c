/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Delivers a signal as the kernel would have delivered it without the guard.
 */
#include "guard/prev_action.h"

#include <stddef.h>

/*
 * Blocks the signal in the context, so that the next fault ends the process, whatever the action is. This is for a sandbox
 * that does not let the guard restore the previous action: there a fault that is not contained would come back for ever.
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
    /* A fault happens again as soon as the guard returns, and then there is no handler, so the core dump shows the right
       instruction. A signal that was sent must be sent again. */
    if (!mmgi_signal_is_synchronous(info))
        mmgi_signal_send_again(info);
}

bool
mmgi_prev_action_deliver(struct prev_action *previous, int signo, void *info, void *context)
{
    const struct signal_action *action = &previous->action;

    switch (mmgi_signal_action_kind(action)) {
    case SIGNAL_ACTION_IGNORE:
        /* A signal that was sent is ignored here. A fault cannot be ignored: the kernel ends the process, once its action
           is restored. */
        if (mmgi_signal_is_synchronous(info) && mmgi_signal_action_swap(action, NULL) != 0)
            die_at_next_fault(info, context);
        return false;
    case SIGNAL_ACTION_HANDLER:
        /* The exchange lets one of several threads call the handler of an action that is good for one signal. */
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
