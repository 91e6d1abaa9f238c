/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Handles and pins: numbers that name objects, and references that keep an object alive past the end of its handle.
 * Knows nothing of what an object is. Everything here is lock-free and works in a forked child.
 */
#ifndef MMAPGUARD_HANDLE_H
#define MMAPGUARD_HANDLE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "mmapguard.h"

/** What a handle names; the first member of whatever embeds it. */
struct handle_object {
    /** Called once, when the handle is closed and the last pin is gone. */
    void (*destroy)(struct handle_object *object);
    /** Returned by pin_note() for as long as the handle or a pin lives. */
    uint32_t note;
};

/** Issue a new handle for an object. MMG_OK, or MMG_E_NO_MEMORY or MMG_E_LIMIT and the object stays the caller's. */
mmg_status handle_issue(struct handle_object *object, mmg_handle *handle);

/**
 * Close a handle; the object is destroyed now or by the last pin_release(). MMG_OK, MMG_E_HANDLE, or with `strict`
 * MMG_E_BUSY while pins live.
 */
mmg_status handle_close(mmg_handle handle, bool strict);

/** A pinned object. */
struct pinned {
    struct handle_object *object; /* NULL: no pin */
    uint64_t token;               /* for pin_release(), never 0; without a pin, 0: wrong handle, 1: no memory */
};

/** Pin the object that a handle names. Small enough to be returned in registers, for this is the fast path. */
struct pinned pin_acquire(mmg_handle handle);

/** A live pin, found by its token; returned in registers, too. */
struct pin_place {
    _Atomic uint32_t *claim; /* NULL: the token is forged, or the pin has ended */
    struct slot *slot;
};

/** Find a pin. Any number may be given; what is found stays safe to use even if another thread ends the pin. */
struct pin_place pin_find(uint64_t token);

/** The note of the pinned object; 0 if there is no pin. */
uint32_t pin_note(struct pin_place place);

/** End a pin that was found, once: MMG_OK, or MMG_E_HANDLE if it has ended meanwhile or never was. */
mmg_status pin_end(struct pin_place place, uint64_t token);

/** Both in one. */
static inline mmg_status
pin_release(uint64_t token)
{
    return pin_end(pin_find(token), token);
}

/** The number of pins on the object that a token pins, that one included. */
uint64_t pin_count(uint64_t token);

/** Handles open, and slots whose generations are used up. */
void handle_count(uint64_t *open, uint64_t *retired);

#endif
