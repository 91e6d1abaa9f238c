/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helpers for tests of losses: a file of many pages, and a reader of all of them.
 */
#ifndef MMAPGUARD_TESTS_LOST_FILE_H
#define MMAPGUARD_TESTS_LOST_FILE_H

#include <stdio.h>

#include "check.h"

#define PAGES 64

/** The path of a file of PAGES pages, which forked children know, too. */
static char file[4096];
static uint64_t page;

static inline void
make_file(void)
{
    page = check_page();
    snprintf(file, sizeof file, "%s", check_file("file", PAGES * page));
}

/** Touches one byte of every page. */
static inline unsigned
touch(const volatile uint8_t *bytes, uint64_t size)
{
    unsigned sum = 0;
    for (uint64_t at = 0; at < size; at += check_page()) {
        sum += bytes[at];
    }
    return sum;
}

/** Opens the file as a mapping. */
static inline mmg_handle
open_mapped(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    return check_open(file, &options);
}

/** Makes the file, and opens it from its third page on as a mapping. */
static inline mmg_handle
open_third_page(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);

    make_file();
    options.offset = 2 * page;
    return check_open(file, &options);
}

#endif
