/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The rule for every size-prefixed struct, the one of copy_struct_from_user() in Linux: a size that ends at a member
 * is an older caller, whose missing members are defaults; a larger size is a newer caller, welcome as long as the part
 * unknown here is zero; every other size is nonsense. The layouts of release 1.0 are frozen below, apart from the
 * header, so that an edit there cannot go unnoticed.
 */
#include "base/struct_size.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* No struct will ever be larger; a limit bounds the scan of a tail that a hostile size would make us read. */
#define LARGEST_STRUCT 4096u

struct layout {
    const uint32_t *member_ends; /* ascending; the last is the size of the whole struct */
    size_t count;
};

#define END_OF(type, member) (uint32_t)(offsetof(type, member) + sizeof(((type *)0)->member))

struct number_in_a_struct {
    uint64_t number;
};

#define FROZEN(type, member, offset)                                                                                   \
    _Static_assert(offsetof(type, member) == (offset), #type "." #member " must not move")

FROZEN(mmg_span, data, 0);
/* 8, except on i386, where a 64-bit number inside a struct needs an alignment of 4 bytes only. */
FROZEN(mmg_span, size, _Alignof(struct number_in_a_struct));
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
_Static_assert(sizeof(mmg_options) == 80, "mmg_options must not change its size within 1.0");
FROZEN(mmg_error, status, 4);
FROZEN(mmg_error, os_code, 8);
FROZEN(mmg_error, offset, 16);
FROZEN(mmg_error, operation, 24);
FROZEN(mmg_error, message, 48);
_Static_assert(sizeof(mmg_error) == 512, "mmg_error must not change its size within 1.0");
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
_Static_assert(sizeof(mmg_info) == 192, "mmg_info must not change its size within 1.0");
FROZEN(mmg_stats, guard_state, 4);
FROZEN(mmg_stats, handles, 8);
FROZEN(mmg_stats, retired_slots, 72);
FROZEN(mmg_stats, leases, 80);
FROZEN(mmg_stats, writer_wait_max_ns, 168);
_Static_assert(sizeof(mmg_stats) == 176, "mmg_stats must not change its size within 1.0");

static const uint32_t options_ends[] = {END_OF(mmg_options, backing),
                                        END_OF(mmg_options, guarantee),
                                        END_OF(mmg_options, lock),
                                        END_OF(mmg_options, lock_wait_ms),
                                        END_OF(mmg_options, access),
                                        END_OF(mmg_options, flags),
                                        END_OF(mmg_options, offset),
                                        END_OF(mmg_options, length),
                                        END_OF(mmg_options, copy_threshold),
                                        END_OF(mmg_options, max_bytes),
                                        END_OF(mmg_options, max_snapshot_bytes),
                                        END_OF(mmg_options, max_leases),
                                        END_OF(mmg_options, max_lease_wait_ms)};
static const uint32_t error_ends[] = {END_OF(mmg_error, status),    END_OF(mmg_error, os_code),
                                      END_OF(mmg_error, reserved),  END_OF(mmg_error, offset),
                                      END_OF(mmg_error, operation), END_OF(mmg_error, message)};
static const uint32_t info_ends[] = {END_OF(mmg_info, backing),
                                     END_OF(mmg_info, backing_reason),
                                     END_OF(mmg_info, guarantee),
                                     END_OF(mmg_info, means),
                                     END_OF(mmg_info, shortfall),
                                     END_OF(mmg_info, lock),
                                     END_OF(mmg_info, fault_cause),
                                     END_OF(mmg_info, size),
                                     END_OF(mmg_info, offset),
                                     END_OF(mmg_info, file_size),
                                     END_OF(mmg_info, device),
                                     END_OF(mmg_info, inode),
                                     END_OF(mmg_info, mtime_seconds),
                                     END_OF(mmg_info, ctime_seconds),
                                     END_OF(mmg_info, mtime_nanoseconds),
                                     END_OF(mmg_info, ctime_nanoseconds),
                                     END_OF(mmg_info, faults),
                                     END_OF(mmg_info, fault_offset),
                                     END_OF(mmg_info, pins),
                                     END_OF(mmg_info, mapped_bytes),
                                     END_OF(mmg_info, heap_bytes),
                                     END_OF(mmg_info, lock_error),
                                     END_OF(mmg_info, page_size),
                                     END_OF(mmg_info, lock_reason),
                                     END_OF(mmg_info, exceptions),
                                     END_OF(mmg_info, means_order),
                                     END_OF(mmg_info, file_system)};
static const uint32_t stats_ends[] = {END_OF(mmg_stats, guard_state),    END_OF(mmg_stats, handles),
                                      END_OF(mmg_stats, opened),         END_OF(mmg_stats, regions),
                                      END_OF(mmg_stats, mappings),       END_OF(mmg_stats, mapped_bytes),
                                      END_OF(mmg_stats, heap_bytes),     END_OF(mmg_stats, faults),
                                      END_OF(mmg_stats, foreign_faults), END_OF(mmg_stats, retired_slots),
                                      END_OF(mmg_stats, leases),
                                      END_OF(mmg_stats, leases_breaking),
                                      END_OF(mmg_stats, lease_breaks),
                                      END_OF(mmg_stats, lease_refusals),
                                      END_OF(mmg_stats, fallbacks_cap),
                                      END_OF(mmg_stats, fallbacks_time),
                                      END_OF(mmg_stats, fallbacks_space),
                                      END_OF(mmg_stats, fallbacks_read),
                                      END_OF(mmg_stats, snapshot_bytes),
                                      END_OF(mmg_stats, snapshots),
                                      END_OF(mmg_stats, writer_wait_ns),
                                      END_OF(mmg_stats, writer_wait_max_ns)};

#define LAYOUT(ends)                                                                                                   \
    {                                                                                                                  \
        (ends), sizeof(ends) / sizeof((ends)[0])                                                                       \
    }
static const struct layout options_layout = LAYOUT(options_ends);
static const struct layout error_layout = LAYOUT(error_ends);
static const struct layout info_layout = LAYOUT(info_ends);
static const struct layout stats_layout = LAYOUT(stats_ends);

static mmg_status
size_check(const struct layout *layout, uint32_t size)
{
    uint32_t largest = layout->member_ends[layout->count - 1];

    if (size > largest) /* later members will keep structs a multiple of eight, as -Wpadded keeps them now */
        return size <= LARGEST_STRUCT && size % 8 == 0 ? MMG_OK : MMG_E_ABI_SIZE;
    for (size_t i = 0; i < layout->count; i++)
        if (layout->member_ends[i] == size)
            return MMG_OK;
    return MMG_E_ABI_SIZE;
}

static mmg_status
struct_check(const struct layout *layout, const void *caller)
{
    const unsigned char *bytes = caller;
    uint32_t known = layout->member_ends[layout->count - 1];
    uint32_t size;

    memcpy(&size, caller, sizeof size); /* every such struct starts with its size */
    mmg_status status = size_check(layout, size);
    for (uint32_t i = known; status == MMG_OK && i < size; i++)
        if (bytes[i] != 0)
            status = MMG_E_ABI_NEWER;
    return status;
}

mmg_status
mmgi_struct_check_error(const mmg_error *caller)
{
    return struct_check(&error_layout, caller);
}

mmg_status
mmgi_struct_check_info(const mmg_info *caller)
{
    return struct_check(&info_layout, caller);
}

mmg_status
mmgi_struct_check_stats(const mmg_stats *caller)
{
    return struct_check(&stats_layout, caller);
}

mmg_status
mmgi_struct_check_options_size(uint32_t struct_size)
{
    return size_check(&options_layout, struct_size);
}

void
mmgi_struct_write(void *caller, const void *ours, uint32_t our_size)
{
    uint32_t size;

    memcpy(&size, caller, sizeof size);
    uint32_t end = size < our_size ? size : our_size;
    memcpy((unsigned char *)caller + sizeof size, (const unsigned char *)ours + sizeof size, end - sizeof size);
}

#define KNOWN_FLAGS                                                                                                    \
    ((uint64_t)(MMG_FLAG_REJECT_EMPTY | MMG_FLAG_NOFOLLOW | MMG_FLAG_NO_FAULT_GUARD | MMG_FLAG_POPULATE |              \
                MMG_FLAG_FIFO_WAIT | MMG_FLAG_REQUIRE_LOCK | MMG_FLAG_NO_LEASE))

static bool
options_known(const mmg_options *o)
{
    return o->backing <= MMG_BACKING_COPY && o->guarantee <= MMG_GUARANTEE_STABLE && o->lock <= MMG_LOCK_NONE &&
           o->access <= MMG_ADVICE_HUGEPAGE && (o->flags & ~KNOWN_FLAGS) == 0;
}

/* Demands that exclude each other: a lock that must be held and no lock. */
static bool
options_agree(const mmg_options *o)
{
    return !((o->flags & MMG_FLAG_REQUIRE_LOCK) && o->lock == MMG_LOCK_NONE);
}

#define DEFAULT_CAP (UINT64_C(1) << 30)
/* Bounds what a stopped process can do to others: each of its leases keeps one writer waiting. */
#define DEFAULT_LEASES 10000u

/*
 * Measured with `./dev bench`. To open, read once and close, a copy is faster than a mapping up to about 1 MiB; but held
 * open in numbers, copies take memory that mappings share with the page cache. 64 KiB keeps the price of both small.
 */
#define DEFAULT_COPY_THRESHOLD (UINT64_C(64) << 10)

mmg_status
mmgi_struct_read_options(const mmg_options *caller, mmg_options *ours)
{
    *ours = (mmg_options)MMG_OPTIONS_INIT;
    if (caller != NULL) {
        mmg_status status = struct_check(&options_layout, caller);
        if (status != MMG_OK)
            return status;
        mmgi_struct_write(ours, caller,
                          caller->struct_size < ours->struct_size ? caller->struct_size : ours->struct_size);
        if (!options_known(ours) || !options_agree(ours))
            return MMG_E_ARGUMENT;
    }
    if (ours->copy_threshold == 0)
        ours->copy_threshold = DEFAULT_COPY_THRESHOLD;
    if (ours->max_bytes == 0)
        ours->max_bytes = DEFAULT_CAP;
    if (ours->max_snapshot_bytes == 0)
        ours->max_snapshot_bytes = DEFAULT_CAP;
    if (ours->lock == MMG_LOCK_AUTO)
        ours->lock = MMG_LOCK_SHARED;
    if (ours->max_leases == 0)
        ours->max_leases = DEFAULT_LEASES;
    return MMG_OK;
}
