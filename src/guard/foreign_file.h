/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Questions about a foreign mapping and its file, for the handler: whether the guard takes care of the mapping, and where the
 * file ends. Nothing here changes a mapping. All functions are async-signal-safe, and may block on the disk.
 */
#ifndef MMGI_GUARD_FOREIGN_FILE_H
#define MMGI_GUARD_FOREIGN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "guard/ask.h"
#include "os/file.h"
#include "os/map_query.h"

/** A fault in a foreign mapping, and what is known about the mapping. */
struct foreign {
    struct map_area area;
    int list;                    /* the list of mappings, open from the first question to the last */
    struct map_scratch *scratch; /* holds the path of the file */
    uintptr_t fault;             /* start of the page that the instruction touched */
    size_t page;
    bool is_named;      /* the path still names the file that is mapped */
    bool is_guess;      /* nobody has told the address; `fault` is the last page of the area */
    bool is_last_look;  /* answers that do not fit together are believed now */
    uint64_t file_size; /* if `is_named` */
    struct file_time changed;
    uint64_t device, inode;
};

/** Returns true when the page at an address can be read. The kernel reads it, so that this process has no fault. */
bool mmgi_foreign_is_readable(uintptr_t address);

/**
 * Returns true when the kernel says that a page cannot be read. Returns false where the kernel may not be asked, so that a
 * page that can be read is never given up.
 */
bool mmgi_foreign_is_missing(uintptr_t address);

/**
 * Returns true when the area shows a file that can be cut and holds no code, as far as the kernel's description tells.
 * Where the area cannot be read, the kernel does not tell which pages are missing.
 */
bool mmgi_foreign_is_in_scope(const struct foreign *f, uint32_t flags);

/** Looks the file up by its path. Returns false when the guard does not take care of such a file. */
bool mmgi_foreign_look_at_file(struct foreign *f, enum file_medium *medium);

/** Returns true when the file at the path has changed since mmgi_foreign_look_at_file(). */
bool mmgi_foreign_file_has_changed(const struct foreign *f);

/**
 * Finds the end of the file in an area. Stores in `*end` the address of the first byte behind the file, and in `*tail`
 * the first page that lies wholly behind the file. Returns false when the page that failed is not behind the end of the
 * file.
 */
bool mmgi_foreign_find_end(const struct foreign *f, uintptr_t *end, uintptr_t *tail);

#endif
