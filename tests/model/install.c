/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Models of the guard's installation: the code of src/guard/fault_guard.c, src/guard/chain.c and src/base/fork_hooks.c, in
 * every order of two or three threads. Two threads install the guard at once, the host installs a handler of its own
 * meanwhile, and a thread forks at any moment; its child installs the guard, too.
 */
#include "explorer.h"

#include <stdatomic.h>
#include <string.h>

#include "base/fork_hooks.c"
#include "guard/chain.c"
#include "guard/fault_guard.c"

#define USED_LEVELS 4
#define MAX_HANDLERS 10 /* a signal that is passed on more often goes in a circle */
#define HOST 0x1000u    /* the handler that was there first */
#define GUEST 0x2000u   /* the handler that the host installs meanwhile */

/* What the process has beside the variables of src/. */
static struct {
    struct signal_action action; /* of the fault signal */
    struct signal_action below_guest;
    _Atomic uint32_t libc_lock; /* the C library holds it while it registers hooks, and around a fork */
    unsigned registrations;
    int process;
    bool has_guest;
    bool has_forked;
} world;

/* ------------------------------------------------------------------------------- what src/ needs of the system -- */

_Atomic uint32_t mmgi_spares_missing;
static void (*hooks_of_libc[3])(void);

static void
lock(_Atomic uint32_t *word)
{
    uint32_t open = 0;

    while (!atomic_compare_exchange_strong(word, &open, 1)) {
        model_yield();
        open = 0;
    }
}

/* The first word of a mutex is its lock here. */
static _Atomic uint32_t *
word_of(os_mutex *mutex_of_src)
{
    return (_Atomic uint32_t *)(void *)mutex_of_src;
}

void
mmgi_mutex_lock(os_mutex *mutex_of_src)
{
    lock(word_of(mutex_of_src));
}

void
mmgi_mutex_unlock(os_mutex *mutex_of_src)
{
    model_require(*word_of(mutex_of_src) == 1, "only a locked mutex is unlocked");
    atomic_store(word_of(mutex_of_src), 0);
}

void
mmgi_mutex_reset(os_mutex *mutex_of_src)
{
    atomic_store(word_of(mutex_of_src), 0);
}

int
mmgi_thread_at_fork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    lock(&world.libc_lock);
    hooks_of_libc[0] = before, hooks_of_libc[1] = parent, hooks_of_libc[2] = child;
    world.registrations++;
    atomic_store(&world.libc_lock, 0);
    return 0;
}

void
mmgi_thread_sleep_briefly(void)
{
    model_yield();
}

int
mmgi_process_id(void)
{
    return world.process;
}

bool
mmgi_process_environment_says(const char *name)
{
    (void)name;
    return false;
}

int
mmgi_signal_action_get(struct signal_action *action)
{
    model_point(&world.action, MODEL_READS, __FILE__, __LINE__);
    *action = world.action;
    return 0;
}

void
mmgi_signal_action_make(signal_handler *handler, const struct signal_action *previous, struct signal_action *action)
{
    (void)previous;
    *action = (struct signal_action){.handler = (uintptr_t)handler};
}

int
mmgi_signal_action_swap(const struct signal_action *action, struct signal_action *old)
{
    model_point(&world.action, MODEL_WRITES, __FILE__, __LINE__);
    *old = world.action;
    world.action = *action;
    return 0;
}

enum signal_action_kind
mmgi_signal_action_kind(const struct signal_action *action)
{
    (void)action;
    return SIGNAL_ACTION_HANDLER;
}

bool
mmgi_signal_action_equals(const struct signal_action *one, const struct signal_action *other)
{
    return one->handler == other->handler;
}

/* There is no other copy of the library. */
bool
mmgi_signal_action_is_marked(const struct signal_action *action)
{
    (void)action;
    return false;
}

/* These are not part of an installation. No signal comes in these models, so nothing calls most of them. */
/* clang-format off */
signal_handler *mmgi_signal_action_handler(const struct signal_action *action) { (void)action; return NULL; }
void mmgi_signal_describe(int signo, const void *info, struct signal_report *report) { (void)signo, (void)info, (void)report; }
uintptr_t mmgi_signal_delivery(void *context, uintptr_t fresh) { (void)context, (void)fresh; return 0; }
uintptr_t mmgi_signal_stack_pointer(const void *context) { (void)context; return 0; }
uintptr_t mmgi_signal_next_instruction(const void *context) { (void)context; return 0; }
bool mmgi_signal_peek(uintptr_t address, uintptr_t *word) { (void)address, (void)word; return false; }
bool mmgi_signal_is_blocked(void) { return false; }
bool mmgi_signal_ends_handler(const void *address) { (void)address; return false; }
bool mmgi_foreign_contain(void *address, size_t poisoned) { (void)address, (void)poisoned; return false; }
bool mmgi_foreign_contain_truncated(void) { return false; }
bool mmgi_contain_fault(void *address, size_t poisoned, bool at_end) { (void)address, (void)poisoned, (void)at_end; return false; }
bool mmgi_contain_truncated(void) { return false; }
bool mmgi_process_guard_comes_second(uintptr_t handler) { (void)handler; return false; }
void mmgi_prev_action_default(void *info, void *context) { (void)info, (void)context; }
bool mmgi_prev_action_deliver(struct prev_action *p, int s, void *i, void *c) { (void)p, (void)s, (void)i, (void)c; return false; }
void mmgi_process_keep_loaded(void) {}
void mmgi_spares_fill(void) {}
void mmgi_registry_after_fork(void) {}
void mmgi_ask_after_fork(void) {}
void mmgi_ledger_after_fork(void) {}
/* clang-format on */

/* -------------------------------------------------------------------------------------------------- the pieces -- */

static void
begin(void)
{
    memset(&world, 0, sizeof world);
    world.action.handler = HOST;
    world.process = 1;
    memset(chain_actions, 0, sizeof chain_actions);
    memset(hooks_of_libc, 0, sizeof hooks_of_libc);
    memset(&mutex, 0, sizeof mutex);
    atomic_store(&chain_length, 0);
    atomic_store(&outcome, MMG_GUARD_NONE);
    atomic_flag_clear(&is_climbing);
    first = NULL;
    fork_hooks.next = NULL;
    fork_hooks.is_listed = false;
    is_known = false;
    teller = 0;
    /* A spare is missing, so that each installation goes the long way. */
    mmgi_spares_missing = 1;
}

static int
level_of(const struct signal_action *action)
{
    for (int level = 0; level < USED_LEVELS; level++)
        if (action->handler == (uintptr_t)trampolines[level])
            return level;
    return -1;
}

/* Follows a signal that nobody contains from handler to handler, as far as the first one. */
static void
follow_signal(bool *meets_guard, bool *meets_guest)
{
    struct signal_action action = world.action;

    *meets_guard = *meets_guest = false;
    for (int passed = 0; action.handler != HOST; passed++) {
        const int level = level_of(&action);
        model_require(passed < MAX_HANDLERS, "no signal goes in a circle");
        model_require(level >= 0 || action.handler == GUEST, "each handler is one that was installed");
        *meets_guard |= level >= 0;
        *meets_guest |= level < 0;
        action = level >= 0 ? chain_actions[level].action : world.below_guest;
    }
}

static void
end(void)
{
    bool meets_guard, meets_guest;

    follow_signal(&meets_guard, &meets_guest);
    model_require(meets_guard, "a signal comes to the guard");
    model_require(meets_guest == world.has_guest, "a signal passes by no handler");
    model_require(world.registrations == 1, "the C library knows the hooks once");
    model_require(*word_of(&mutex) == 0 && world.libc_lock == 0, "nobody has left a lock behind");
    model_require(mmgi_guard_install() == MMG_OK, "the guard can be installed again");
    model_outcome(world.process == 1 ? "in the parent" : "in a child");
}

/* ------------------------------------------------------------------------------------------------- the threads -- */

static void
installs(void)
{
    const mmg_status status = mmgi_guard_install();

    /* A handler that came later stands on top of the guard, which is no success. */
    model_require(status == MMG_OK || world.has_guest, "nothing but another handler is in the way of the guard");
    model_outcome(status == MMG_OK ? "installed" : "displaced at once");
}

static void
host_installs(void)
{
    const struct signal_action guest = {.handler = GUEST};

    mmgi_signal_action_swap(&guest, &world.below_guest);
    world.has_guest = true;
}

/* Forks as the C library does: it calls its hooks without its lock, and forks with it. */
static void
forks(void)
{
    lock(&world.libc_lock);
    const bool has_hooks = world.registrations > 0;
    if (has_hooks) {
        atomic_store(&world.libc_lock, 0);
        hooks_of_libc[0]();
        lock(&world.libc_lock);
    }
    const bool is_child = model_fork();
    if (is_child) {
        world.process = 2;
        world.libc_lock = 0;
    } else {
        atomic_store(&world.libc_lock, 0);
    }
    if (has_hooks)
        hooks_of_libc[is_child ? 2 : 1]();
    if (is_child)
        installs();
}

static const char *const of_installs[] = {"installed", "in the parent", NULL};
static const char *const of_guests[] = {"installed", "displaced at once", NULL};
static const char *const of_forks[] = {"installed", "in the parent", "in a child", NULL};

static const struct model models[] = {
    {"two installations", begin, {installs, installs}, end, of_installs},
    {"three installations", begin, {installs, installs, installs}, end, of_installs},
    {"an installation meets a handler of the host", begin, {installs, host_installs}, end, of_guests},
    {"two installations meet a handler of the host", begin, {installs, installs, host_installs}, end, of_guests},
    {"an installation meets a fork", begin, {installs, forks}, end, of_forks},
    {"two installations meet a fork", begin, {installs, installs, forks}, end, of_forks},
};

int
main(int argc, char **argv)
{
    const struct model_memory shared[] = {
        {&world, sizeof world},
        {chain_actions, USED_LEVELS * sizeof *chain_actions},
        {&chain_length, sizeof chain_length},
        {&outcome, sizeof outcome},
        {&is_climbing, sizeof is_climbing},
        {&mutex, sizeof mutex},
        {&first, sizeof first},
        {&fork_hooks, sizeof fork_hooks},
        {&is_known, sizeof is_known},
        {&teller, sizeof teller},
        {hooks_of_libc, sizeof hooks_of_libc},
        {0},
    };

    return model_main(argc, argv, models, sizeof models / sizeof *models, shared);
}
