/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A handler that is installed over another one should pass on signals that are not its own. Handlers do so in three ways:
 * some call the function that they found; some restore the action that they found and let the instruction fault again; some
 * restore that action and raise the signal. In all three ways the signal must get past the guard to the handler that was
 * there before the guard. No handler may be skipped, and the signal may not go round in a circle. So the guard does not have
 * one handler function but a row of them, the trampolines. Each trampoline has a predecessor that never changes: the action
 * that was in force when the trampoline was put on top. A handler that found trampoline 3 and passes a signal on to it
 * reaches what was below trampoline 3, and never itself.
 *
 * The guard is never uninstalled: the action below another handler cannot be taken out without breaking that handler.
 */
#include "guard/chain.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>

#include "guard/prev_action.h"
#include "os/signal.h"

/* A handler may raise a signal while the guard still handles one that it raised before. When this happens more often than
   this without the signal getting lower in the chain, the signal goes in a circle. The number is large, since a program that
   left a handler by longjmp(3) can leave an old mark on the stack, and small enough for a stack of usual size. */
#define MAX_CIRCLES 400
/* Another copy of the library passes this in place of a signal's number, to ask for the predecessor of the trampoline. */
#define SIGNO_QUESTION 0
/* The largest number of other copies of the library on top of this one. */
#define MAX_COPIES 16

static struct prev_action chain_actions[CHAIN_LEVELS];
static _Atomic int chain_length;
static _Atomic uint64_t foreign;

/*
 * The innermost call of a predecessor in which this thread is; such a call is a "visit". The variable has the TLS model
 * initial-exec, since a handler must not allocate, and glibc allocates variables of other models at their first use.
 * musl allocates all of them at the start, and refuses to load a library with this model.
 */
struct visit {
    uintptr_t frame;    /* address on the stack where the number of the visit is stored; 0 when there is no visit */
    uintptr_t number;   /* the number of the visit, which no other visit has */
    uintptr_t delivery; /* the delivery of the signal, as of mmgi_signal_delivery() */
    uint64_t seen;      /* bit n is set when the predecessor of level n has had this signal */
    int level;
    int circles;    /* how often a raised signal came back without getting lower */
    bool was_below; /* another handler was on top of the guard when the signal came */
};
#ifdef __GLIBC__
static _Thread_local struct visit innermost __attribute__((tls_model("initial-exec")));
#else
static _Thread_local struct visit innermost;
#endif

static void pass_on(int level, int signo, void *info, void *context);

/*
 * Handles a fault in a mapping of other code. A previous handler that repairs its own mappings comes before the guard,
 * any other one after it.
 */
static void
handle_foreign(int level, int signo, void *info, void *context)
{
    bool is_second = mmgi_guard_comes_second(&chain_actions[level].action);

    if (!is_second && mmgi_guard_handle_foreign(signo, info))
        return;
    const uintptr_t next = mmgi_signal_next_instruction(context);
    pass_on(level, signo, info, context);
    /* A handler that has changed where the program goes on has dealt with the fault. OpenJDK does so to raise an error.
       The guard must not put zeros into that mapping then, since they would hide the next fault from the handler. */
    if (is_second && mmgi_signal_next_instruction(context) == next)
        mmgi_guard_handle_foreign(signo, info);
}

/* Handles a signal. `caller` is the address to which the handler returns. */
static inline __attribute__((always_inline)) void
trampoline(int signo, void *info, void *context, int level, const void *caller)
{
    int saved = errno;

    if (signo == SIGNO_QUESTION)
        *(struct signal_action *)info = chain_actions[level].action;
    else if (!mmgi_guard_handle_own(signo, info, mmgi_signal_ends_handler(caller)))
        handle_foreign(level, signo, info, context);
    errno = saved;
}

#define TRAMPOLINE(n)                                                                                                  \
    static void trampoline_##n(int signo, void *info, void *context)                                                   \
    {                                                                                                                  \
        trampoline(signo, info, context, 0##n, __builtin_return_address(0));                                           \
    }
#define EIGHT(what, n) what(n##0) what(n##1) what(n##2) what(n##3) what(n##4) what(n##5) what(n##6) what(n##7)
#define ALL(what)                                                                                                      \
    EIGHT(what, 0)                                                                                                     \
    EIGHT(what, 1) EIGHT(what, 2) EIGHT(what, 3) EIGHT(what, 4) EIGHT(what, 5) EIGHT(what, 6) EIGHT(what, 7)
ALL(TRAMPOLINE)
#define NAME_OF(n) trampoline_##n,
static signal_handler *const trampolines[CHAIN_LEVELS] = {ALL(NAME_OF)};

/* ---------------------------------------------------------------------------------------------------------- place -- */

/* Returns true when the action is that of one of this copy's trampolines. */
static bool
is_own(const struct signal_action *action)
{
    /* Trampolines with a level of `length` or more were never installed. */
    int length = atomic_load_explicit(&chain_length, memory_order_acquire);

    for (int i = length - 1; i >= 0; i--)
        if (action->handler == (uintptr_t)trampolines[i])
            return true;
    return false;
}

/*
 * Returns true when other copies of the library lead from the action to this copy: each of them passes on what it does not
 * contain. The function asks each copy for its predecessor.
 */
static __attribute__((noinline)) bool
copies_lead_here(struct signal_action action)
{
    for (int i = 0; i < MAX_COPIES && mmgi_signal_action_is_marked(&action); i++) {
        mmgi_signal_action_handler (&action)(SIGNO_QUESTION, &action, NULL);
        if (is_own(&action))
            return true;
    }
    return false;
}

static bool
leads_here(const struct signal_action *action)
{
    return is_own(action) || copies_lead_here(*action);
}

enum chain_place
mmgi_chain_place(void)
{
    struct signal_action current;

    if (mmgi_signal_action_get(&current) != 0)
        return CHAIN_UNKNOWN;
    return leads_here(&current) ? CHAIN_TOP : CHAIN_BELOW;
}

/* ------------------------------------------------------------------------------------------------------- climbing -- */

/* Returns the level whose predecessor is this action, or -1. */
static int
level_find(const struct signal_action *action)
{
    int length = atomic_load_explicit(&chain_length, memory_order_acquire);

    for (int i = 0; i < length; i++)
        if (mmgi_signal_action_equals(&chain_actions[i].action, action))
            return i;
    return -1;
}

/* Returns the level for this predecessor: an old one if there is one, else a new one. Returns -1 when all levels are taken. */
static int
level_for(const struct signal_action *action)
{
    int level = level_find(action), length = atomic_load_explicit(&chain_length, memory_order_relaxed);

    if (level >= 0) {
        atomic_store(&chain_actions[level].is_spent,
                     0); /* the action was installed anew, so it may handle one more signal */
        return level;
    }
    if (length == CHAIN_LEVELS)
        return -1;
    chain_actions[length].action = *action;
    /* Release: a thread that sees the length also sees the action. */
    atomic_store_explicit(&chain_length, length + 1, memory_order_release);
    return length;
}

bool
mmgi_chain_climb(void)
{
    struct signal_action current;

    if (mmgi_signal_action_get(&current) != 0)
        return false;
    while (!leads_here(&current)) {
        struct signal_action fresh, replaced;
        int level = level_for(&current);
        if (level < 0)
            return false;
        mmgi_signal_action_make(trampolines[level], &current, &fresh);
        if (mmgi_signal_action_swap(&fresh, &replaced) != 0)
            return false;
        if (mmgi_signal_action_equals(&replaced, &current))
            break;
        current = replaced; /* another thread was faster; pass signals on to the action that it installed */
    }
    /* In a sandbox the call may report success and do nothing. Only reading the action back tells. */
    return mmgi_chain_place() == CHAIN_TOP;
}

/* ----------------------------------------------------------------------------------------------------- passing on -- */

/* Returns a number that no visit had before. The numbers of several copies of the library differ, since they contain an
   address of the copy. */
static uintptr_t
fresh_number(void)
{
    static _Atomic uintptr_t last;

    return ((uintptr_t)&last << 8) + ((atomic_fetch_add_explicit(&last, 1, memory_order_relaxed) + 1) << 1 | 1u);
}

/*
 * Returns true when the visit has not ended and the code at `stack` was called from inside it. A handler that left by
 * longjmp(3) did not end its visit, so the visit itself is no proof. The stack grows down on every platform that the
 * library supports. So the code must be lower on the stack than the mark of the visit, and the mark must still be there.
 */
static bool
is_inside(const struct visit *visit, uintptr_t stack)
{
    uintptr_t word;

    return visit->frame != 0 && stack != 0 && stack < visit->frame && mmgi_signal_peek(visit->frame, &word) &&
           word == visit->number;
}

/* Returns a new visit, for a signal that no predecessor has had yet. */
static struct visit
visit_begin(const struct visit *outer, int level, int signo, void *info, void *context)
{
    struct visit visit = {.frame = 0};
    struct signal_action top;
    struct signal_report report;

    mmgi_signal_describe(signo, info, &report);
    if (report.cause == SIGNAL_CAUSE_RAISED && is_inside(outer, mmgi_signal_stack_pointer(context)))
        visit.circles = outer->circles + (level >= outer->level ? 1 : 0);
    if (mmgi_signal_action_get(&top) == 0 && !leads_here(&top)) {
        visit.was_below = true;
        /* The handler on top has had the signal: it has called the guard, or it is above the handler that has. */
        int above = level_find(&top);
        if (above >= 0)
            visit.seen = UINT64_C(1) << above;
    }
    return visit;
}

/*
 * A predecessor may replace the guard by the action that the predecessor found, or by the default. It means that only
 * for its own signals. So the guard goes back on top, and from now on passes signals on to that action. If the action
 * is a new handler, the host has installed it; then the guard stays below it until the next mapping is opened.
 */
static void
undo_what_predecessors_do(void)
{
    struct signal_action current;

    if (mmgi_signal_action_get(&current) != 0 || leads_here(&current))
        return;
    if (mmgi_signal_action_kind(&current) != SIGNAL_ACTION_HANDLER || level_find(&current) >= 0)
        mmgi_guard_climb_if_free();
}

static void
pass_on(int level, int signo, void *info, void *context)
{
    volatile uintptr_t mark;
    const struct visit outer = innermost;
    const uintptr_t number = fresh_number();
    const uintptr_t delivery = mmgi_signal_delivery(context, number);
    struct visit visit = outer;

    /* Without a context the code assumes that a call from inside a visit is about the same signal. */
    bool is_same = delivery != 0 ? outer.delivery == delivery : is_inside(&outer, (uintptr_t)&mark);
    if (!is_same)
        visit = visit_begin(&outer, level, signo, info, context);
    /* Skip predecessors that have had this signal. A predecessor that has passed the signal on to the guard means the
       handler below itself. */
    while (level >= 0 && (visit.seen >> level & 1) != 0)
        level--;
    visit.frame = (uintptr_t)&mark;
    visit.number = number;
    visit.delivery = delivery;
    visit.level = level;
    if (level >= 0)
        visit.seen |= UINT64_C(1) << level;
    mark = number;
    innermost = visit;
    atomic_fetch_add_explicit(&foreign, 1, memory_order_relaxed); /* a statistic, and no other access depends on it */
    if (level < 0 || visit.circles > MAX_CIRCLES)
        mmgi_prev_action_default(info, context);
    else if (mmgi_prev_action_deliver(&chain_actions[level], signo, info, context) && !visit.was_below)
        undo_what_predecessors_do();
    mark = 0;
    innermost = outer;
}

uint64_t
mmgi_chain_foreign_count(void)
{
    return atomic_load_explicit(&foreign, memory_order_relaxed);
}
