/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The exported functions for the guard, for the ledger, and for the library as a whole. Each one validates its
 * arguments, delegates, and reports. mmapguard.h documents what each function promises.
 */
#define MMG_NO_ATTRIBUTES /* as in calls.c */
#include <stdatomic.h>
#include <string.h>

#include "base/struct_size.h"
#include "guard/fault_guard.h"
#include "guard/ledger.h"
#include "guard/process_guard.h"
#include "mmapguard.h"
#include "os/file_lock.h"
#include "os/map_query.h"
#include "os/signal.h"
#include "stable/lease.h"

#define LIBRARY_ABI UINT32_C(0x00010000)
_Static_assert(MMG_ABI == LIBRARY_ABI, "the header belongs to this library");

/* ------------------------------------------------------------------------------------------------------------ guard -- */

int32_t
mmg_guard_state(void)
{
    return mmgi_guard_state();
}

mmg_status
mmg_guard_install(void)
{
    return mmgi_guard_install() == MMG_OK ? MMG_OK : MMG_E_GUARD;
}

int32_t
mmg_handle_fault(int32_t signo, void *siginfo, void *ucontext)
{
    (void)ucontext; /* the parameter is for platforms on which containing a fault changes the context */
    return mmgi_guard_handle_signal(signo, siginfo) ? 1 : 0;
}

mmg_status
mmg_guard_process(uint32_t scope, uint32_t flags)
{
    if (scope == MMG_SCOPE_NONE)
        return mmgi_process_guard_end(flags);
    if (scope != MMG_SCOPE_FILES)
        return MMG_E_ARGUMENT;
    /* This judges the flags, so that a wrong call installs no handler. */
    mmg_status status = mmgi_process_guard_begin(flags);
    if (status != MMG_OK)
        return status;
    if (!mmgi_process_guard_is_supported())
        status = MMG_E_UNSUPPORTED;
    else if (mmgi_guard_install() != MMG_OK)
        status = MMG_E_GUARD;
    if (status != MMG_OK)
        mmgi_process_guard_end(flags);
    return status;
}

/* ----------------------------------------------------------------------------------------------------------- ledger -- */

/* One call sleeps at most so many times, for a moment each, while it waits for records that are being written. */
#define PATIENCE 1000

mmg_status
mmg_losses_get(uint64_t since, mmg_loss *losses, uint64_t capacity, uint64_t *count, uint64_t *next)
{
    const uint64_t newest = mmgi_ledger_newest(), oldest = mmgi_ledger_oldest();
    uint64_t stored = 0, sequence = since < oldest ? oldest : since + 1;
    int patience = PATIENCE;

    if (count == NULL || next == NULL || (losses == NULL && capacity > 0))
        return MMG_E_ARGUMENT;
    if (since > newest)
        return MMG_E_RANGE;
    if (capacity > 0) {
        const uint32_t size = losses->struct_size;
        mmg_status status = mmgi_struct_check_out(losses, MMGI_FIRST_LOSS_SIZE);
        if (status != MMG_OK)
            return status;
        for (; sequence <= newest && stored < capacity; sequence++) {
            mmg_loss *place = (mmg_loss *)(void *)((unsigned char *)losses + stored * size);
            mmg_loss ours;
            if (!mmgi_ledger_read(sequence, &patience, &ours))
                continue;
            memcpy(place, &size, sizeof size);
            mmgi_struct_write(place, &ours, sizeof ours);
            stored++;
        }
    }
    *count = stored;
    *next = capacity > 0 ? sequence - 1 : newest;
    return MMG_OK;
}

/* ---------------------------------------------------------------------------------------------------------- library -- */

uint32_t
mmg_abi_version(void)
{
    return LIBRARY_ABI;
}

const char *
mmg_version(void)
{
    return MMAPGUARD_VERSION; /* the build defines the version of the project */
}

/*
 * The features of this system: one bit for each feature that it has. The lowest bit is set when all features were
 * probed.
 */
#define PROBED 1u
static _Atomic uint32_t probed_features;

static uint32_t
features_probe(void)
{
    const int32_t guard = mmgi_guard_state();
    uint32_t found = PROBED | 1u << MMG_FEATURE_STABLE_COPY | 1u << MMG_FEATURE_ARROW;

    /* The library can ask any file system for a reflink, and the answer depends on the file. */
    found |= 1u << MMG_FEATURE_STABLE_REFLINK;
    /* Before the first installation only a question tells whether the system would refuse it. */
    if (guard != MMG_GUARD_REFUSED && guard != MMG_GUARD_DISABLED &&
        (guard != MMG_GUARD_NONE || mmgi_signal_action_may_change()))
        found |= 1u << MMG_FEATURE_FAULT_GUARD;
    if ((found & 1u << MMG_FEATURE_FAULT_GUARD) && mmgi_process_guard_is_supported())
        found |= 1u << MMG_FEATURE_FOREIGN;
    if ((found & 1u << MMG_FEATURE_FOREIGN) && mmgi_map_query_is_known())
        found |= 1u << MMG_FEATURE_FOREIGN_QUERY;
    if (mmgi_lock_ofd_is_known())
        found |= 1u << MMG_FEATURE_OFD_LOCK;
    if (mmgi_lease_is_known())
        found |= 1u << MMG_FEATURE_STABLE_LEASE;
    return found;
}

int32_t
mmg_supports(uint32_t feature)
{
    uint32_t known = atomic_load_explicit(&probed_features, memory_order_relaxed);

    if (feature == 0 || feature >= 32)
        return 0;
    if (known == 0) { /* two threads that probe at the same time find the same features */
        known = features_probe();
        atomic_store_explicit(&probed_features, known, memory_order_relaxed);
    }
    return (int32_t)(known >> feature & 1u);
}
