/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The rule for every size-prefixed struct. A size is a multiple of eight from the first size that the struct ever had
 * up to a limit. An older caller has a smaller size than today's, a newer caller a larger one. Where the options are
 * longer than this library knows, the rest must be zero, as in copy_struct_from_user() of Linux. Where an out struct is
 * longer, the library fills the rest with zeros and never reads it. The layouts of release 1.0 are frozen below, apart from the
 * header, so that an edit there cannot go unnoticed.
 */
#include "base/struct_size.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* No struct will ever be larger. The limit bounds what a hostile size makes the library read or write. */
#define LARGEST_STRUCT 4096u

#define FROZEN(type, member, offset)                                                                                   \
    _Static_assert(offsetof(type, member) == (offset), #type "." #member " must not move")

FROZEN(mmg_span, data, 0);
#ifdef __i386__ /* the only system where a 64-bit number in a struct is aligned to 4 bytes; abi.json says so, too */
FROZEN(mmg_span, size, 4);
FROZEN(mmg_span, pin, 12);
_Static_assert(sizeof(mmg_span) == 20, "mmg_span must not change its size");
#else
FROZEN(mmg_span, size, 8);
FROZEN(mmg_span, pin, 16);
_Static_assert(sizeof(mmg_span) == 24, "mmg_span must not change its size");
#endif
FROZEN(mmg_options, backing, 4);
FROZEN(mmg_options, guarantee, 8);
FROZEN(mmg_options, lock, 12);
FROZEN(mmg_options, lock_wait_ms, 16);
FROZEN(mmg_options, access, 20);
FROZEN(mmg_options, flags, 24);
FROZEN(mmg_options, offset, 32);
FROZEN(mmg_options, length, 40);
FROZEN(mmg_options, copy_threshold, 48);
FROZEN(mmg_options, max_bytes, 56);
FROZEN(mmg_options, max_snapshot_bytes, 64);
FROZEN(mmg_options, max_leases, 72);
FROZEN(mmg_options, max_lease_wait_ms, 76);
FROZEN(mmg_options, stream_wait_ms, 80);
_Static_assert(sizeof(mmg_options) == MMGI_FIRST_OPTIONS_SIZE, "mmg_options must not change its size within 1.0");
FROZEN(mmg_error, status, 4);
FROZEN(mmg_error, os_code, 8);
FROZEN(mmg_error, offset, 16);
FROZEN(mmg_error, operation, 24);
FROZEN(mmg_error, message, 48);
_Static_assert(sizeof(mmg_error) == MMGI_FIRST_ERROR_SIZE, "mmg_error must not change its size within 1.0");
FROZEN(mmg_info, backing, 4);
FROZEN(mmg_info, fault_cause, 28);
FROZEN(mmg_info, size, 32);
FROZEN(mmg_info, mtime_seconds, 72);
FROZEN(mmg_info, mtime_nanoseconds, 88);
FROZEN(mmg_info, faults, 96);
FROZEN(mmg_info, page_size, 144);
FROZEN(mmg_info, lock_reason, 152);
FROZEN(mmg_info, exceptions, 156);
FROZEN(mmg_info, means_order, 160);
FROZEN(mmg_info, file_system, 168);
_Static_assert(sizeof(mmg_info) == MMGI_FIRST_INFO_SIZE, "mmg_info must not change its size within 1.0");
FROZEN(mmg_stats, guard_state, 4);
FROZEN(mmg_stats, handles, 8);
FROZEN(mmg_stats, retired_slots, 72);
FROZEN(mmg_stats, leases, 80);
FROZEN(mmg_stats, writer_wait_max_ns, 168);
FROZEN(mmg_stats, losses, 176);
FROZEN(mmg_stats, losses_foreign, 216);
_Static_assert(sizeof(mmg_stats) == MMGI_FIRST_STATS_SIZE, "mmg_stats must not change its size within 1.0");
FROZEN(mmg_loss, cause, 4);
FROZEN(mmg_loss, sequence, 8);
FROZEN(mmg_loss, time_ns, 64);
FROZEN(mmg_loss, origin, 76);
FROZEN(mmg_loss, path, 80);
_Static_assert(sizeof(mmg_loss) == MMGI_FIRST_LOSS_SIZE, "mmg_loss must not change its size within 1.0");

bool
mmgi_struct_size_is_valid(uint32_t size, uint32_t first_size)
{
    return size >= first_size && size <= LARGEST_STRUCT && size % 8 == 0;
}

mmg_status
mmgi_struct_check_out(const void *caller_struct, uint32_t first_size)
{
    uint32_t size;

    memcpy(&size, caller_struct, sizeof size); /* every such struct starts with its size */
    return mmgi_struct_size_is_valid(size, first_size) ? MMG_OK : MMG_E_ABI_SIZE;
}

void
mmgi_struct_write(void *caller_struct, const void *ours, uint32_t our_size)
{
    unsigned char *bytes = caller_struct;
    uint32_t size;

    memcpy(&size, caller_struct, sizeof size);
    uint32_t end = size < our_size ? size : our_size;
    memcpy(bytes + sizeof size, (const unsigned char *)ours + sizeof size, end - sizeof size);
    memset(bytes + end, 0, size - end);
}

#define KNOWN_FLAGS                                                                                                    \
    ((uint64_t)(MMG_FLAG_REJECT_EMPTY | MMG_FLAG_NOFOLLOW | MMG_FLAG_NO_FAULT_GUARD | MMG_FLAG_POPULATE |              \
                MMG_FLAG_FIFO_WAIT | MMG_FLAG_REQUIRE_LOCK | MMG_FLAG_NO_LEASE | MMG_FLAG_REGULAR_ONLY |               \
                MMG_FLAG_NO_WRITERS | MMG_FLAG_REQUIRE_GUARD | MMG_FLAG_SHARED_WRITABLE))

static bool
options_known(const mmg_options *o)
{
    return o->backing <= MMG_BACKING_COPY && o->guarantee <= MMG_GUARANTEE_STABLE && o->lock <= MMG_LOCK_NONE &&
           o->access <= MMG_ADVICE_HUGEPAGE && o->reserved == 0 && (o->flags & ~KNOWN_FLAGS) == 0;
}

/* Returns false for demands that exclude each other: a lock that must be held and no lock, likewise for the guard. */
static bool
options_agree(const mmg_options *o)
{
    const uint64_t guard_both_ways = MMG_FLAG_REQUIRE_GUARD | MMG_FLAG_NO_FAULT_GUARD;

    return !((o->flags & MMG_FLAG_REQUIRE_LOCK) && o->lock == MMG_LOCK_NONE) &&
           (o->flags & guard_both_ways) != guard_both_ways;
}

#define DEFAULT_CAP (UINT64_C(1) << 30)
/* Bounds what a stopped process can do to others: each of its leases keeps one writer waiting. */
#define DEFAULT_LEASES 10000u

/* Copies the caller's options over the defaults. Returns MMG_E_ABI_NEWER when they set what is unknown here. */
static mmg_status
options_copy(const mmg_options *caller, mmg_options *ours)
{
    const unsigned char *bytes = (const unsigned char *)caller;
    uint32_t size = caller->struct_size, known = (uint32_t)sizeof *ours;

    if (size == known) { /* nearly always: both are of the same release */
        *ours = *caller;
        return MMG_OK;
    }
    if (!mmgi_struct_size_is_valid(size, MMGI_FIRST_OPTIONS_SIZE))
        return MMG_E_ABI_SIZE;
    for (uint32_t i = known; i < size; i++)
        if (bytes[i] != 0)
            return MMG_E_ABI_NEWER;
    *ours = (mmg_options)MMG_OPTIONS_INIT;
    memcpy(ours, caller, size < known ? size : known);
    ours->struct_size = known;
    return MMG_OK;
}

mmg_status
mmgi_struct_read_options(const mmg_options *caller, mmg_options *copy, const mmg_options **ours)
{
    static const mmg_options defaults = {.struct_size = sizeof(mmg_options),
                                         .max_bytes = DEFAULT_CAP,
                                         .max_snapshot_bytes = DEFAULT_CAP,
                                         .max_leases = DEFAULT_LEASES};

    *ours = &defaults;
    if (caller == NULL)
        return MMG_OK;
    *ours = copy;
    mmg_status status = options_copy(caller, copy);
    if (status != MMG_OK)
        return status;
    if (!options_known(copy) || !options_agree(copy))
        return MMG_E_ARGUMENT;
    if (copy->length == MMG_TO_END)
        copy->length = 0; /* both mean "to the end" */
    if (copy->max_bytes == 0)
        copy->max_bytes = DEFAULT_CAP;
    if (copy->max_snapshot_bytes == 0)
        copy->max_snapshot_bytes = DEFAULT_CAP;
    if (copy->max_leases == 0)
        copy->max_leases = DEFAULT_LEASES;
    return MMG_OK;
}
