/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The exported functions for open regions and for the process. Each one validates its arguments, delegates, and reports.
 * mmapguard.h documents what each function promises. open_calls.c has the functions that open a region, guard_calls.c those
 * of the guard, of the ledger, and of the library itself.
 */
/* Without the nonnull attributes of the header: with them the compiler would remove the checks for NULL below. */
#define MMG_NO_ATTRIBUTES
#include "region/arrow.h"
#include "guard/contain.h"
#include "guard/fault_guard.h"
#include "guard/foreign.h"
#include "guard/ledger.h"
#include "region/find.h"
#include "base/struct_size.h"
#include "handle/pin.h"
#include "handle/visit.h"
#include "region/region.h"
#include "guard/registry.h"
#include "base/error.h"
#include "base/status.h"
#include "stable/lease.h"

static const unsigned char no_bytes[1]; /* what an empty span points to */

/* ----------------------------------------------------------------------------------------------------- reading -- */

mmg_status
mmg_close(mmg_handle handle, uint32_t flags)
{
    if (flags & ~(uint32_t)MMG_CLOSE_STRICT)
        return MMG_E_ARGUMENT;
    return mmgi_handle_close(handle, (flags & MMG_CLOSE_STRICT) != 0);
}

/* A pinned region and the token of its pin. It is struct pinned with the type of the object. */
struct pinned_region {
    struct region *region;
    uint64_t token;
};

static inline struct pinned_region
region_pinned(struct pinned pinned)
{
    /* A region starts with its object, and the library issues handles for regions only, so the cast is safe. */
    return (struct pinned_region){.region = (struct region *)(void *)pinned.object, .token = pinned.token};
}

static inline struct pinned_region
region_pin(mmg_handle handle)
{
    return region_pinned(pin_acquire(handle));
}

static mmg_status
pin_failure(struct pinned_region pin)
{
    return pin.token == 0 ? MMG_E_HANDLE : MMG_E_NO_MEMORY;
}

/* Replaces a length of MMG_TO_END by the number of bytes up to the end. Returns MMG_OK when the range is inside the
   region, else MMG_E_RANGE. */
static mmg_status
range_resolve(const struct region *region, uint64_t offset, uint64_t *length)
{
    if (offset > region->size)
        return MMG_E_RANGE;
    if (*length == MMG_TO_END)
        *length = region->size - offset;
    return *length <= region->size - offset ? MMG_OK : MMG_E_RANGE;
}

/* Begins a call on a region, which stays pinned until call_end(). */
static mmg_status
call_begin(mmg_handle handle, struct pinned_region *pin)
{
    *pin = region_pin(handle);
    return pin->region != NULL ? MMG_OK : pin_failure(*pin);
}

static mmg_status
call_end(struct pinned_region pin, mmg_status status)
{
    pin_release(pin.token);
    return status;
}

/* Begins a call on a range of a region, as call_begin(), and resolves the range, as range_resolve(). On failure there is
   no pin. */
static mmg_status
call_begin_on_range(mmg_handle handle, uint64_t offset, uint64_t *length, struct pinned_region *pin)
{
    mmg_status status = call_begin(handle, pin);

    if (status != MMG_OK)
        return status;
    status = range_resolve(pin->region, offset, length);
    return status == MMG_OK ? MMG_OK : call_end(*pin, status);
}

/* Makes the span of a pinned region, with every check. When a check fails, the function ends the pin and returns the
   status. */
static __attribute__((noinline)) mmg_status
span_make(struct pinned_region pin, uint64_t offset, uint64_t length, mmg_span *span)
{
    mmg_status status = range_resolve(pin.region, offset, &length);

    if (status == MMG_OK)
        status = registry_loss_within(pin.region->number, offset, length);
    if (status == MMG_OK)
        *span = (mmg_span){.data = pin.region->data + offset, .size = length, .pin = pin.token};
    else
        pin_release(pin.token);
    return status;
}

static __attribute__((noinline)) mmg_status
pin_slow(mmg_handle handle, uint64_t token, uint64_t offset, uint64_t length, mmg_span *span)
{
    struct pinned_region pin = region_pinned(mmgi_pin_acquire_slow(handle, token));

    return pin.region == NULL ? pin_failure(pin) : span_make(pin, offset, length, span);
}

/* Every access to a file pays for the next two functions. So the common case of each is one straight line, and rare cases
   leave it by a call at the end, which needs no stack frame here. */
mmg_status
mmg_pin(mmg_handle handle, uint64_t offset, uint64_t length, mmg_span *span)
{
    if (span == NULL)
        return MMG_E_ARGUMENT;
    struct pinned_region pin = region_pinned(pin_acquire_fast(handle));
    if (pin.region == NULL)
        return pin_slow(handle, pin.token, offset, length, span);
    if (offset > pin.region->size || length > pin.region->size - offset || registry_may_have_losses()) {
        /* MMG_TO_END is larger than every region, so the test above is also true for a pin up to the end. */
        if (length != MMG_TO_END || offset > pin.region->size || registry_may_have_losses())
            return span_make(pin, offset, length, span);
        length = pin.region->size - offset;
    }
    *span = (mmg_span){.data = pin.region->data + offset, .size = length, .pin = pin.token};
    return MMG_OK;
}

static __attribute__((noinline)) mmg_status
unpin_slow(const unsigned char *data, uint64_t size, uint64_t token)
{
    if (token == 0)
        return MMG_OK;
    struct pin_place place = pin_find(token);
    /* The question may record a loss in the name of the region, so the region has to stay until the answer is there. */
    if (!pin_begin_end(place, token))
        return MMG_E_HANDLE;
    mmg_status loss = registry_loss_at(pin_user_tag(place), data, size);
    pin_finish_end(place, token);
    return loss;
}

mmg_status
mmg_unpin(mmg_span *span)
{
    if (span == NULL)
        return MMG_E_ARGUMENT;
    const mmg_span ended = *span;
    span->data = no_bytes;
    span->size = 0;
    span->pin = 0;
    if (registry_may_have_losses() || pin_needs_slow_path(ended.pin))
        return unpin_slow(ended.data, ended.size, ended.pin);
    return pin_release_fast(ended.pin);
}

mmg_status
mmg_read(mmg_handle handle, uint64_t offset, void *buffer, uint64_t size, uint64_t *got)
{
    struct pinned_region pin;
    uint64_t nothing = 0; /* bytes beyond the end of the region are not read */

    if (got == NULL || (buffer == NULL && size > 0))
        return MMG_E_ARGUMENT;
    mmg_status status = call_begin_on_range(handle, offset, &nothing, &pin);
    return status == MMG_OK ? call_end(pin, mmgi_region_read(pin.region, offset, buffer, size, got)) : status;
}

static inline const struct region *
region_visited(struct visit visit)
{
    return (const struct region *)(const void *)visit.object; /* as in region_pinned() */
}

/* Does the rest of a search that has found nothing near on a visited region, and ends the visit. */
static __attribute__((noinline)) mmg_status
find_far(struct visit visit, uint64_t offset, uint64_t length, struct sought sought, uint64_t *position)
{
    mmg_status status = mmgi_find_in_region(region_visited(visit), offset, length, &sought, position);

    visit_end(visit.slot);
    return status;
}

static __attribute__((noinline)) mmg_status
find_pinned(mmg_handle handle, uint64_t offset, uint64_t length, struct sought sought, uint64_t *position)
{
    struct pinned_region pin;
    mmg_status status = call_begin_on_range(handle, offset, &length, &pin);

    return status == MMG_OK ? call_end(pin, mmgi_find_in_region(pin.region, offset, length, &sought, position))
                            : status;
}

/*
 * Programs go from hit to hit by the next two calls. So each visits the region, and does not pin it, and a near hit is one
 * straight line. A struct sought is made only where the line is left.
 */
static inline __attribute__((always_inline)) mmg_status
find_either_way(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size,
                uint64_t *position, bool is_last)
{
    if (position == NULL || (needle == NULL && needle_size > 0))
        return MMG_E_ARGUMENT;
    const struct visit visit = visit_begin(handle);
    if (visit.object == NULL)
        return find_pinned(handle, offset, length, (struct sought){needle, needle_size, is_last}, position);
    const struct region *region = region_visited(visit);
    mmg_status status = range_resolve(region, offset, &length);
    if (status == MMG_OK) {
        const unsigned char *hit = find_near(region, offset, length, needle, needle_size, is_last);
        if (hit == NULL)
            return find_far(visit, offset, length, (struct sought){needle, needle_size, is_last}, position);
        *position = (uint64_t)(hit - region->data);
    }
    visit_end(visit.slot);
    return status;
}

mmg_status
mmg_find(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size,
         uint64_t *position)
{
    return find_either_way(handle, offset, length, needle, needle_size, position, false);
}

mmg_status
mmg_find_last(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle, uint64_t needle_size,
              uint64_t *position)
{
    return find_either_way(handle, offset, length, needle, needle_size, position, true);
}

mmg_status
mmg_export_arrow(mmg_handle handle, uint64_t offset, uint64_t length, struct ArrowArray *array,
                 struct ArrowSchema *schema)
{
    mmg_span span;

    if (array == NULL)
        return MMG_E_ARGUMENT;
    mmg_status status = mmg_pin(handle, offset, length, &span);
    if (status != MMG_OK)
        return status;
    status = mmgi_arrow_export(&span, array, schema);
    if (status != MMG_OK)
        pin_release(span.pin);
    return status;
}

/* --------------------------------------------------------------------------------------------- state of a region -- */

mmg_status
mmg_check(mmg_handle handle)
{
    struct pinned_region pin;
    mmg_status status = call_begin(handle, &pin);

    return status == MMG_OK ? call_end(pin, mmgi_region_check(pin.region)) : status;
}

mmg_status
mmg_verify(mmg_handle handle)
{
    struct pinned_region pin;
    mmg_status status = call_begin(handle, &pin);

    return status == MMG_OK ? call_end(pin, mmgi_region_verify(pin.region)) : status;
}

mmg_status
mmg_explain(mmg_handle handle, mmg_error *error)
{
    struct report report = {.caller_error = error, .path = "(handle)", .descriptor = -1};
    struct pinned_region pin;

    if (error == NULL)
        return MMG_E_ARGUMENT;
    mmg_status status = mmgi_struct_check_out(error, MMGI_FIRST_ERROR_SIZE);
    if (status != MMG_OK)
        return status;
    status = call_begin(handle, &pin);
    if (status != MMG_OK)
        return mmgi_error_tell_own(&report, status, "verify", NULL);
    report.path = pin.region->owner.path != NULL ? pin.region->owner.path : "(descriptor)";
    return call_end(pin, mmgi_region_explain(pin.region, &report));
}

mmg_status
mmg_loss_counter(mmg_handle handle, const uint32_t **counter)
{
    struct pinned_region pin;

    if (counter == NULL)
        return MMG_E_ARGUMENT;
    mmg_status status = call_begin(handle, &pin);
    if (status != MMG_OK)
        return status;
    *counter = mmgi_registry_loss_counter(pin.region->number);
    return call_end(pin, MMG_OK);
}

mmg_status
mmg_changed(mmg_handle handle, uint32_t *what)
{
    struct pinned_region pin;

    if (what == NULL)
        return MMG_E_ARGUMENT;
    mmg_status status = call_begin(handle, &pin);
    return status == MMG_OK ? call_end(pin, mmgi_region_changed(pin.region, what)) : status;
}

mmg_status
mmg_info_get(mmg_handle handle, mmg_info *info)
{
    struct pinned_region pin;
    mmg_info ours = MMG_INFO_INIT;

    if (info == NULL)
        return MMG_E_ARGUMENT;
    mmg_status status = mmgi_struct_check_out(info, MMGI_FIRST_INFO_SIZE);
    if (status == MMG_OK)
        status = call_begin(handle, &pin);
    if (status != MMG_OK)
        return status;
    mmgi_region_describe(pin.region, &ours);
    ours.pins = mmgi_pin_count(pin.token) - 1; /* the pin of this call does not count */
    mmgi_struct_write(info, &ours, sizeof ours);
    return call_end(pin, MMG_OK);
}

mmg_status
mmg_stats_get(mmg_stats *stats)
{
    mmg_stats ours = MMG_STATS_INIT;

    if (stats == NULL)
        return MMG_E_ARGUMENT;
    mmg_status status = mmgi_struct_check_out(stats, MMGI_FIRST_STATS_SIZE);
    if (status != MMG_OK)
        return status;
    mmgi_handle_count(&ours);
    mmgi_registry_count(&ours.mappings, &ours.mapped_bytes);
    ours.heap_bytes = mmgi_region_heap_bytes();
    ours.guard_state = mmgi_guard_state();
    ours.faults = mmgi_contain_count() + mmgi_foreign_count();
    ours.foreign_faults = mmgi_guard_foreign_count();
    mmgi_lease_count(&ours);
    mmgi_ledger_count(&ours);
    mmgi_struct_write(stats, &ours, sizeof ours);
    return MMG_OK;
}

mmg_status
mmg_advise(mmg_handle handle, uint64_t offset, uint64_t length, uint32_t advice)
{
    struct pinned_region pin;

    if (advice > MMG_ADVICE_EVICT)
        return MMG_E_ARGUMENT;
    mmg_status status = call_begin_on_range(handle, offset, &length, &pin);
    return status == MMG_OK ? call_end(pin, mmgi_region_advise(pin.region, offset, length, advice)) : status;
}

mmg_status
mmg_resident(mmg_handle handle, uint64_t offset, uint64_t length, uint64_t *bytes)
{
    struct pinned_region pin;

    if (bytes == NULL)
        return MMG_E_ARGUMENT;
    mmg_status status = call_begin_on_range(handle, offset, &length, &pin);
    return status == MMG_OK ? call_end(pin, mmgi_region_resident(pin.region, offset, length, bytes)) : status;
}
