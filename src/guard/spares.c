/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A handler takes a spare by exchanging its pointer for NULL, so that no two handlers take the same spare.
 */
#include "guard/spares.h"

#include <errno.h>

#include "os/map.h"
#include "os/process.h"

/* The kernel may need this many mappings at once: two for the pieces to the left and to the right, one for the zeros, and one
   more since it counts the zeros before it removes the old pages. */
#define MAX_GIVEN_UP 4

_Atomic uint32_t mmgi_spares_missing = SPARES;
static _Atomic(unsigned char *) spares[SPARES];

/* Stores a fresh spare in a place. Returns false when another thread has filled this place. */
static bool
spare_store(uint32_t place, unsigned char *fresh) /* NOLINT(readability-non-const-parameter): stored as it is */
{
    unsigned char *none = NULL;

    if (!atomic_compare_exchange_strong(&spares[place], &none, fresh))
        return false;
    atomic_fetch_sub(&mmgi_spares_missing, 1);
    return true;
}

void
mmgi_spares_fill(void)
{
    if (spares_are_full())
        return;
    unsigned char *fresh = mmgi_map_spares(SPARES);
    for (uint32_t i = 0; fresh != NULL && i < SPARES; i++, fresh += mmgi_map_page_size())
        if (!spare_store(i, fresh))
            mmgi_map_spare_release(fresh);
}

/* Returns true when no more than `kept` spares are left. */
static bool
are_few(uint32_t kept)
{
    return atomic_load(&mmgi_spares_missing) + kept >= SPARES;
}

/* Makes one spare again where too few are left for the next last attempt. */
static void
spare_renew(void)
{
    unsigned char *fresh = are_few(SPARES_KEPT - 1) ? mmgi_map_spare_again() : NULL;

    if (fresh == NULL)
        return;
    for (uint32_t i = 0; i < SPARES; i++)
        if (spare_store(i, fresh))
            return;
    mmgi_map_spare_release(fresh);
}

/* Takes a spare page for the caller. Returns NULL when no more than `kept` spares are left. */
static unsigned char *
spare_take(uint32_t kept)
{
    if (are_few(kept)) /* two threads that ask at once may take one that was to be kept */
        return NULL;
    for (uint32_t i = 0; i < SPARES; i++) {
        unsigned char *spare = atomic_exchange(&spares[i], NULL);
        if (spare == NULL)
            continue;
        atomic_fetch_add(&mmgi_spares_missing, 1);
        return spare;
    }
    return NULL;
}

static bool
replace_page(unsigned char *page, unsigned access)
{
    unsigned char *spare = spare_take(0);

    if (spare == NULL || mmgi_map_spare_move(spare, page, access) == 0)
        return spare != NULL;
    mmgi_map_spare_release(spare);
    return false;
}

/* Replaces pages when the process has no address space or no mapping left. Leaves `kept` spares to others. */
static enum replaced
replace_at_limit(unsigned char *start, size_t length, unsigned char *fault, unsigned access, uint32_t kept)
{
    struct process_space limit;
    int os_code = ENOMEM;

    switch (mmgi_process_space_lift(&limit)) {
    case PROCESS_SPACE_LIFTED:
        os_code = mmgi_map_replace_with_zeros(start, length, access);
        mmgi_process_space_restore(&limit);
        break;
    case PROCESS_SPACE_STUCK:
        /* Moving a page takes no address space, but it may take a mapping, and then it fails, too. */
        if (fault != NULL && replace_page(fault, access))
            return REPLACED_PAGE;
        break;
    case PROCESS_SPACE_FREE:
        break;
    }
    for (int i = 0; i < MAX_GIVEN_UP && os_code == ENOMEM; i++) {
        unsigned char *spare = spare_take(kept);
        if (spare == NULL)
            break;
        mmgi_map_spare_release(spare);
        os_code = mmgi_map_replace_with_zeros(start, length, access);
    }
    return os_code == 0 ? REPLACED_ALL : REPLACED_NOTHING;
}

static enum replaced
replace(unsigned char *start, size_t length, unsigned char *fault, unsigned access, uint32_t kept)
{
    int os_code = mmgi_map_replace_with_zeros(start, length, access);

    if (os_code == EAGAIN) {
        /* After mlockall(2) with MCL_FUTURE the new pages count as locked before the old ones are gone. */
        mmgi_map_unlock(start, length);
        os_code = mmgi_map_replace_with_zeros(start, length, access);
    }
    if (os_code == 0)
        return REPLACED_ALL;
    return os_code == ENOMEM ? replace_at_limit(start, length, fault, access, kept) : REPLACED_NOTHING;
}

enum replaced
mmgi_spares_replace(unsigned char *start, size_t length, unsigned char *fault, unsigned access)
{
    return replace(start, length, fault, access, SPARES_KEPT);
}

enum replaced
mmgi_spares_replace_at_last(unsigned char *start, size_t length, unsigned char *fault, unsigned access)
{
    enum replaced done = replace(start, length, fault, access, 0);

    /* To replace a whole mapping, the kernel needs room for one more, and then has this room again. */
    if (done == REPLACED_ALL)
        spare_renew();
    return done;
}
