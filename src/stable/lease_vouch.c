/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Answers for how long the lease of a mapping vouches for its bytes. A forked child asks at its first use of a region, and
 * then gives up its part of the parent's lease. All functions of this file are async-signal-safe: a signal handler may ask
 * whether bytes are lost.
 */
#include "guard/registry.h"
#include "guard/vouch.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/file_lock.h"
#include "os/lease.h"
#include "os/signal.h"
#include "stable/leased_file.h"

/* A thread sleeps this long between two looks at a lease that the keeper is giving up. */
#define HAND_OVER_PAUSE_NS 20000
/* The keeper hears of a break, and learns how long the kernel lets the writer wait, within this time, even on a busy machine. */
#define KEEPER_HEARS_NS INT64_C(1000000000)

/* Takes the lock of a mapping on another description of its file. Returns true when that has succeeded, and when there is no
   lock. */
static bool
lock_too(const struct registration *r, int fresh)
{
    if ((r->traits & MAPPING_HAS_FLOCK) != 0)
        return mmgi_lock_try(fresh, MMG_LOCK_SHARED) == 0;
    return (r->traits & MAPPING_HAS_OFD_LOCK) == 0 || mmgi_lock_try(fresh, MMG_LOCK_OFD) == 0;
}

/* Lets a mapping show its file by another description. The owner of an adopted mapping has mapped the file by a description of
   its own, which has no lease, so its pages stay as they are. */
static bool
map_again(const struct registration *r, int fresh)
{
    const struct mapping mapping = {.base = r->start, .length = r->length, .page = r->page};

    return (r->traits & MAPPING_IS_ADOPTED) != 0 ||
           mmgi_map_replace_with_file(&mapping, r->length, fresh, r->file_offset) == 0;
}

/*
 * Runs in a forked child at the first use of a region. Replaces the parent's open file, in the descriptor and in the
 * mapping, by one of the child's own, with a lock of its own. Otherwise the child would keep a lease alive that no thread
 * secures after the death of the parent. From here on the region is CONTAINED.
 */
static void
disown(uint32_t number, int fd)
{
    struct registration r;
    int fresh;
    /* If a handler of the host forked here, the hold would stay in its child for ever. */
    const uint64_t before = mmgi_signal_block_all();

    if (mmgi_registry_hold_number(number, &r)) {
        if (mmgi_file_reopen(fd, &fresh) == 0) {
            /* The name is compared again, since the host may have closed the descriptor meanwhile. */
            if (mmgi_registry_names(number, fresh) && lock_too(&r, fresh) && map_again(&r, fresh))
                mmgi_file_exchange(fd, fresh);
            else
                mmgi_file_close(fresh);
        }
        mmgi_registry_let_go(number);
    }
    mmgi_signal_unblock(before);
}

/* Asks for the state of a lease. If the host has closed the descriptor, the lease there is that of another file. */
static enum lease_state
state_of(uint32_t number, int fd)
{
    const enum lease_state state = mmgi_lease_state(fd);

    return state == LEASE_GONE || mmgi_registry_names(number, fd) ? state : LEASE_GONE;
}

/* Does the work of vouch() in a forked child. Of several threads that ask at the same time, one disowns. All of them record a
   loss, so that each one finds it when it has asked. */
static void
vouch_in_child(uint32_t number, int fd)
{
    const enum lease_state state = state_of(number, fd);
    bool is_own;

    if (state == LEASE_WHOLE || state == LEASE_BREAKING) {
        if (mmgi_vouch_no_more(number))
            disown(number, fd);
        return;
    }
    if (mmgi_vouched(number, &is_own) != VOUCHED_FOR_EVER)
        mmgi_registry_lose(number, 0, MMG_TO_END, MMG_E_UNSTABLE);
    mmgi_vouch_no_more(number);
}

/*
 * Returns true when the kernel cannot have taken a lease yet, although its state is hidden. `until` is the moment up to which the
 * lease was known to be whole. The kernel lets writers wait for so long as it told the keeper at the start of this break.
 */
static bool
must_be_in_force(int64_t until, int64_t now)
{
    const int64_t patience = mmgi_keeper_patience_ns();

    if (until <= 0 || patience <= LEASE_MIN_BREAK_NS)
        return false;
    return patience == INT64_MAX || now < until - LEASE_MIN_BREAK_NS + patience;
}

/*
 * Returns when the keeper works for writers, or has finished with this mapping, or after KEEPER_HEARS_NS. A thread may see a
 * break before the keeper does, and only the keeper knows how long the break lasts.
 */
static void
wait_for_keeper(uint32_t number, int64_t until)
{
    const int64_t end = mmgi_clock_monotonic_ns() + KEEPER_HEARS_NS;
    bool is_own;

    while (mmgi_keeper_patience_ns() == 0 && mmgi_vouched(number, &is_own) == until && mmgi_clock_monotonic_ns() < end)
        mmgi_clock_sleep_ns(HAND_OVER_PAUSE_NS);
}

void
mmgi_lease_vouch(uint32_t number, int fd)
{
    int64_t now = mmgi_clock_tick_ns();
    bool is_own;
    int64_t until = mmgi_vouched(number, &is_own);

    if (!is_own) {
        vouch_in_child(number, fd);
        return;
    }
    switch (state_of(number, fd)) {
    case LEASE_WHOLE:
        mmgi_vouch_longer(number, now + LEASE_VOUCH_NS);
        return;
    case LEASE_BREAKING:
        return;
    case LEASE_HIDDEN:
        wait_for_keeper(number, until);
        mmgi_vouched(number, &is_own); /* a signal handler may have forked meanwhile: a child has no keeper */
        if (is_own && must_be_in_force(until, mmgi_clock_tick_ns()))
            return;
        break;
    case LEASE_GONE:
        break;
    }
    /* The lease has ended. If the keeper is giving it up at this moment, wait for the keeper, who knows whether the bytes
       were secured in time. */
    while ((until = mmgi_vouched(number, &is_own)) == VOUCHED_HANDING_OVER && is_own)
        mmgi_clock_sleep_ns(HAND_OVER_PAUSE_NS);
    if (!is_own) /* a signal handler has forked, and this is the child */
        vouch_in_child(number, fd);
    else if (until != VOUCHED_FOR_EVER)
        mmgi_registry_lose(number, 0, MMG_TO_END, MMG_E_UNSTABLE);
}
