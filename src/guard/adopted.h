/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Guards adopted mappings. Other code made such a mapping, and has promised to keep it until the handle is closed. When
 * the owner breaks that promise, the guard must not touch what is mapped there then. So it asks the kernel before it
 * replaces a page.
 */
#ifndef MMGI_GUARD_ADOPTED_H
#define MMGI_GUARD_ADOPTED_H

#include "guard/registry.h"
#include "guard/spares.h"

enum adopted_place {
    ADOPTED_THERE,    /* the file is mapped there, as it was when the mapping was adopted */
    ADOPTED_READABLE, /* something else that can be read, such as zeros for a lost page */
    ADOPTED_GONE      /* something else that cannot be read, or nothing */
};

/**
 * Returns what is mapped at an offset of an adopted mapping now. Async-signal-safe. The caller must block all signals
 * first.
 */
enum adopted_place mmgi_adopted_look(const struct registration *r, size_t offset);

/**
 * Replaces the pages between two offsets of an adopted mapping by zeros, where they still show the file, and keeps
 * their protection. `fault` is the offset of the page that was touched. Async-signal-safe. The caller must block all
 * signals first.
 */
enum replaced mmgi_adopted_replace(const struct registration *r, size_t from, size_t to, size_t fault);

/**
 * Returns true when the owner has written to a private page between two offsets, so that the page is the owner's memory and
 * no failure of the file can take it. Async-signal-safe. The caller must block all signals first.
 */
bool mmgi_adopted_has_copies(const struct registration *r, size_t from, size_t to);

/**
 * Returns true when other pages with the same bytes can take the place of the pages between two offsets: each part still
 * shows the file, can be read and nothing else, and has no page that the owner has written to. Returns false when the kernel
 * does not tell. The answer can be outdated at once, since the owner may change its mapping at any moment. Async-signal-safe.
 * The caller must block all signals first.
 */
bool mmgi_adopted_is_untouched(const struct registration *r, size_t from, size_t to);

#endif
