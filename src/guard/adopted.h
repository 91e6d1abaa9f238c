/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Adopted mappings: somebody else made them, and has promised to keep them until the handle is closed. When the owner
 * breaks the promise, whatever is mapped there then must not be touched. So the kernel is asked before a page is replaced.
 */
#ifndef MMGI_GUARD_ADOPTED_H
#define MMGI_GUARD_ADOPTED_H

#include "guard/registry.h"
#include "guard/spares.h"

enum adopted_place {
    ADOPTED_THERE,    /* the file is mapped there, as it was when the mapping was adopted */
    ADOPTED_READABLE, /* something else that can be read: zeros that replaced a lost page, or what the owner put there */
    ADOPTED_GONE      /* something else, or nothing */
};

/** Asks what is mapped at an offset of an adopted mapping. Async-signal-safe. The caller has all signals blocked. */
enum adopted_place mmgi_adopted_look(const struct registration *r, size_t offset);

/**
 * Replaces what is still the file's in a part of an adopted mapping by zeros, with the protection that it has. `from` and
 * `to` are offsets in the mapping; `fault` is that of the page that was touched. Async-signal-safe, as above.
 */
enum replaced mmgi_adopted_replace(const struct registration *r, size_t from, size_t to, size_t fault);

#endif
