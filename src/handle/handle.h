/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A handle is a number that names an object. This room does not know what the object is. Every function is lock-free
 * and works in a forked child. A pin (pin.h) keeps the object alive when its handle is closed.
 */
#ifndef MMGI_HANDLE_HANDLE_H
#define MMGI_HANDLE_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "mmapguard.h"

struct slot;

/** What a handle names. The object that has a handle starts with this member. */
struct handle_object {
    /** Destroys the object. Called once, when the handle is closed and the last pin has ended. */
    void (*destroy)(struct handle_object *object);
    /** A number of the owner's choice. pin_user_tag() returns it while the handle or a pin lives. */
    uint32_t user_tag;
};

/**
 * Issues a new handle for an object. Returns MMG_OK, and the object belongs to the handle; or MMG_E_NO_MEMORY, and the
 * object stays the caller's.
 */
mmg_status mmgi_handle_issue(struct handle_object *object, mmg_handle *handle);

/**
 * Closes a handle. The object is destroyed now, or when its last pin ends. Returns MMG_OK, MMG_E_HANDLE, or (with
 * `strict`) MMG_E_BUSY while pins live.
 */
mmg_status mmgi_handle_close(mmg_handle handle, bool strict);

/**
 * Destroys the object of a slot if no pin is left. `state` is the state in which the caller saw the slot; its phase is
 * CLOSING. A thread that has ended a pin calls this.
 */
void mmgi_handle_reap(struct slot *slot, uint64_t state);

/**
 * Adds the numbers of handles, objects and retired slots to statistics. The function looks at every slot, so it takes
 * time proportional to the highest number of handles there ever was.
 */
void mmgi_handle_count(mmg_stats *stats);

#endif
