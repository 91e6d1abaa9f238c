/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The moments are in the entries of the registry. The thread that asks has a pin or is the voucher, so the mapping of the
 * entry cannot be removed. The entry is not held, because the voucher may wait for the keeper, and the keeper waits until
 * no thread holds the entry.
 */
#include "guard/vouch.h"

#include <stddef.h>

#include "guard/registry.h"
#include "os/clock.h"
#include "os/fork_mark.h"

static _Atomic(void (*)(uint32_t, int)) voucher;

void
mmgi_vouch_set_voucher(void (*function)(uint32_t number, int fd))
{
    atomic_store(&voucher, function);
}

void
mmgi_vouch(uint32_t number, int64_t until_ns)
{
    struct vouch *vouch = mmgi_registry_vouch_of(number);

    atomic_store(&vouch->process, fork_mark());
    atomic_store(&vouch->until, until_ns);
    mmgi_registry_have_looked_at(number);
}

void
mmgi_vouch_longer(uint32_t number, int64_t until_ns)
{
    struct vouch *vouch = mmgi_registry_vouch_of(number);
    int64_t before = atomic_load(&vouch->until);

    while (before > VOUCHED_FOR_EVER && before < until_ns &&
           !atomic_compare_exchange_weak(&vouch->until, &before, until_ns))
        continue;
}

bool
mmgi_vouch_no_more(uint32_t number)
{
    return atomic_exchange(&mmgi_registry_vouch_of(number)->until, VOUCHED_FOR_EVER) != VOUCHED_FOR_EVER;
}

int64_t
mmgi_vouched(uint32_t number, bool *is_own)
{
    struct vouch *vouch = mmgi_registry_vouch_of(number);

    *is_own = atomic_load(&vouch->process) == fork_mark();
    return atomic_load(&vouch->until);
}

void
mmgi_vouch_ask(struct vouch *vouch, uint32_t number, const _Atomic int *fd)
{
    int64_t until = atomic_load_explicit(&vouch->until, memory_order_relaxed);

    if (until == VOUCHED_FOR_EVER)
        return;
    /* The fence makes this thread read the clock after the bytes that the question is about. */
    atomic_thread_fence(memory_order_acquire);
    if (atomic_load_explicit(&vouch->process, memory_order_relaxed) == fork_mark() && mmgi_clock_tick_ns() < until)
        return;
    void (*function)(uint32_t, int) = atomic_load(&voucher);
    if (function != NULL)
        function(number, atomic_load_explicit(fd, memory_order_relaxed));
}
