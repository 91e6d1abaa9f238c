/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Each caller that asks for the guard is counted under its flags, so that the flags of one caller end with that caller.
 */
#include "guard/process_guard.h"

#include <stdatomic.h>
#include <string.h>

#include "guard/ask.h"
#include "os/map.h"
#include "os/map_query.h"
#include "os/signal.h"

#define KNOWN_FLAGS (MMG_PROCESS_SHARED_WRITABLE | MMG_PROCESS_CHAIN_FIRST)

static _Atomic uint32_t begun[KNOWN_FLAGS + 1]; /* for each value of the flags, how often it was begun and not ended */

mmg_status
mmgi_process_guard_begin(uint32_t flags)
{
    if ((flags & ~(uint32_t)KNOWN_FLAGS) != 0)
        return MMG_E_ARGUMENT;
    atomic_fetch_add(&begun[flags], 1);
    return MMG_OK;
}

mmg_status
mmgi_process_guard_end(uint32_t flags)
{
    if ((flags & ~(uint32_t)KNOWN_FLAGS) != 0)
        return MMG_E_ARGUMENT;
    uint32_t before = atomic_load(&begun[flags]);
    do
        if (before == 0)
            return MMG_E_ARGUMENT;
    while (!atomic_compare_exchange_weak(&begun[flags], &before, before - 1));
    return MMG_OK;
}

bool
mmgi_process_guard_is_on(uint32_t *flags)
{
    bool any = false;

    *flags = 0;
    for (uint32_t i = 0; i <= KNOWN_FLAGS; i++)
        if (atomic_load(&begun[i]) > 0) {
            any = true;
            *flags |= i;
        }
    return any;
}

bool
mmgi_process_guard_is_supported(void)
{
    char text[MAP_TEXT_SIZE];
    struct map_area area;

    return mmgi_map_find((uintptr_t)&area, NULL, text, &area) == 0 && mmgi_map_can_replace();
}

/*
 * The file names of some libraries start with these words. Their SIGBUS handlers repair a fault in the library's own
 * mapping, or turn it into an error of the library. Such a handler leaves by a jump, or replaces the page and returns.
 * When the fault is not in a mapping of the library, the handler passes the signal on or returns.
 */
static const char *const repairers[] = {"libjvm.", "libyara.", "yara.", "libeina.", "librpm"};

/* Returns true when a path is that of a library in the list above. */
static bool
is_repairer(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;

    for (size_t i = 0; i < sizeof repairers / sizeof repairers[0]; i++)
        if (strncmp(name, repairers[i], strlen(repairers[i])) == 0)
            return true;
    return false;
}

bool
mmgi_process_guard_comes_second(uintptr_t handler)
{
    struct map_area area;
    uint32_t flags;
    bool result = false;

    if (!mmgi_process_guard_is_on(&flags))
        return false;
    if (flags & MMG_PROCESS_CHAIN_FIRST)
        return true;
    const uint64_t before = mmgi_signal_block_all();
    struct map_scratch *scratch = mmgi_ask_begin();
    if (scratch != NULL) {
        result = mmgi_map_find(handler, scratch->path, scratch->text, &area) == 0 && is_repairer(scratch->path);
        mmgi_ask_end(scratch);
    }
    mmgi_signal_unblock(before);
    return result;
}
