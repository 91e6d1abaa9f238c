/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for asking the kernel what is mapped where, in mappings that nobody has registered. Every call here is
 * async-signal-safe and no cancellation point. A call costs a few microseconds where the kernel answers for one mapping,
 * and a read of the list of all mappings where it does not.
 */
#ifndef MMGI_OS_MAP_QUERY_H
#define MMGI_OS_MAP_QUERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Bits of `map_area.access`. */
#define MAP_ACCESS_READ 1u
#define MAP_ACCESS_WRITE 2u
#define MAP_ACCESS_EXECUTE 4u

/** The longest path that the kernel knows, its NUL included; and what a list of mappings is read through. */
#define MAP_PATH_SIZE 4096u
#define MAP_TEXT_SIZE 4096u

/** One mapping of this process, as the kernel describes it. */
struct map_area {
    uintptr_t start, end;
    uint64_t offset;        /* of `start`, in the file */
    uint64_t device, inode; /* of the file, by which two areas can be compared; inode 0: no file */
    unsigned access;        /* MAP_ACCESS_... */
    bool is_shared;
    bool is_from_list; /* the kernel answers for all mappings at once only */
};

/** Room for a question, which the caller has, since a handler's stack may be small. */
struct map_scratch {
    char path[MAP_PATH_SIZE];
    char text[MAP_TEXT_SIZE];
};

/**
 * Finds what is mapped at an address. `path` has MAP_PATH_SIZE bytes, or is NULL: it receives the path of what is mapped,
 * NUL-terminated, or an empty string. `text` has MAP_TEXT_SIZE bytes for the call to use. Returns 0; ENOENT when nothing is
 * mapped there; another errno when the kernel cannot be asked.
 */
int mmgi_map_find(uintptr_t address, char *path, char *text, struct map_area *area);

/**
 * The same in steps, for whoever acts on the answer: the list stays open, so that nothing but the action follows the answer.
 * The first call returns 0 or an errno.
 */
int mmgi_map_list_open(int *list);
int mmgi_map_list_find(int list, uintptr_t address, char *path, char *text, struct map_area *area);
void mmgi_map_list_close(int list);

/**
 * Returns true when an area is part of a program or a library that is loaded: when code of the same file is mapped beside
 * it. With `everywhere` set, code of that file anywhere in the process counts, which costs a look at all mappings.
 */
bool mmgi_map_is_loaded(const struct map_area *area, bool everywhere, char *text);

/** Returns true when the kernel answers for one mapping without listing all. */
bool mmgi_map_query_is_known(void);

#endif
