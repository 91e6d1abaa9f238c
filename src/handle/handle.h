/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Handles: numbers that name objects. Knows nothing of what an object is. Everything here is lock-free and works in a
 * forked child. What keeps an object alive past the end of its handle is a pin (pin.h).
 */
#ifndef MMGI_HANDLE_HANDLE_H
#define MMGI_HANDLE_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "mmapguard.h"

struct slot;

/** What a handle names; the first member of whatever embeds it. */
struct handle_object {
    /** Called once, when the handle is closed and the last pin is gone. */
    void (*destroy)(struct handle_object *object);
    /** Returned by pin_user_tag() (pin.h) for as long as the handle or a pin lives. */
    uint32_t user_tag;
};

/** Issue a new handle for an object. MMG_OK, or MMG_E_NO_MEMORY or MMG_E_LIMIT and the object stays the caller's. */
mmg_status mmgi_handle_issue(struct handle_object *object, mmg_handle *handle);

/**
 * Close a handle; the object is destroyed now or by the last pin. MMG_OK, MMG_E_HANDLE, or with `strict`
 * MMG_E_BUSY while pins live.
 */
mmg_status mmgi_handle_close(mmg_handle handle, bool strict);

/** Destroy the object of a slot that was seen in `state`, closing, if no pin is left. For who ends a pin. */
void mmgi_handle_reap(struct slot *slot, uint64_t state);

/** Count handles, their objects, and slots whose generations are used up, from 0. Looks at each: for statistics. */
void mmgi_handle_count(mmg_stats *stats);

#endif
