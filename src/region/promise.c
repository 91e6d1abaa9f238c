/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The rules for the guarantee of a region. Bytes that are a copy or that a means of STABLE keeps are STABLE. A mapping of
 * the file is CONTAINED while the fault guard is in place. Any other region has the guarantee NONE.
 */
#include "region/promise.h"

struct promise
mmgi_promise_mapped(bool is_guarded, uint32_t shortfall)
{
    return (struct promise){.guarantee = is_guarded ? MMG_GUARANTEE_CONTAINED : MMG_GUARANTEE_NONE,
                            .means = is_guarded ? MMG_MEANS_FAULT_GUARD : MMG_MEANS_NONE,
                            .shortfall = shortfall};
}

struct promise
mmgi_promise_after_loss(struct promise promise, bool is_guarded, mmg_status cause)
{
    if (promise.guarantee != MMG_GUARANTEE_STABLE || cause == MMG_OK)
        return promise;
    /* Bytes can change under a lease only after the kernel has taken the lease by force. The thread of the leases will report
       the same. */
    return mmgi_promise_mapped(is_guarded, cause == MMG_E_UNSTABLE ? MMG_SHORT_TIME : MMG_SHORT_LOST);
}

struct promise
mmgi_promise_behind_guard(struct promise promise, uint32_t shortfall)
{
    return shortfall == MMG_SHORT_NONE ? promise : mmgi_promise_mapped(false, shortfall);
}
