/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for asking the kernel what is mapped at an address, for mappings that nobody has registered. Every call
 * here is async-signal-safe, and none is a cancellation point. A call takes a few microseconds where the kernel can
 * answer for one mapping. Elsewhere it reads the list of all mappings.
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

/**
 * The size of the longest path that the kernel knows, with its NUL; and the size of the buffer for reading the list.
 */
#define MAP_PATH_SIZE 4096u
#define MAP_TEXT_SIZE 4096u

/** One mapping of this process, as the kernel describes it. */
struct map_area {
    uintptr_t start, end;
    uint64_t offset;        /* offset of `start` in the file */
    uint64_t device, inode; /* of the file, to compare two areas; the inode is 0 when no file is mapped */
    unsigned access;        /* MAP_ACCESS_... */
    bool is_shared;
    bool is_from_list; /* it was read from the list, since the kernel cannot answer for one mapping */
};

/** The memory that a call needs. The caller provides it, since the stack of a handler may be small. */
struct map_scratch {
    char path[MAP_PATH_SIZE];
    char text[MAP_TEXT_SIZE];
};

/**
 * Finds what is mapped at an address. `path` is NULL or has MAP_PATH_SIZE bytes, and receives the path of the file or
 * an empty string. `text` has MAP_TEXT_SIZE bytes, which the call uses as a buffer. Returns 0; ENOENT when nothing is
 * mapped there; another errno when the kernel cannot be asked.
 */
int mmgi_map_find(uintptr_t address, char *path, char *text, struct map_area *area);

/**
 * Do the same as mmgi_map_find() in steps. The list stays open between the calls, so a caller can act on an answer
 * without another system call in between. The first two return 0 or an errno.
 */
int mmgi_map_list_open(int *list);
int mmgi_map_list_find(int list, uintptr_t address, char *path, char *text, struct map_area *area);
void mmgi_map_list_close(int list);

/**
 * Finds the first area of a file that ends behind `address` and that the caller wants. Returns 0; ENOENT when there is
 * none; another errno when the kernel cannot be asked. `path` and `text` are as in mmgi_map_find().
 */
int mmgi_map_list_next(int list, uintptr_t address, bool (*is_wanted)(const struct map_area *), char *path, char *text,
                       struct map_area *area);

/**
 * Returns true when an area is a part of a loaded program or library, which means that code of the same file is mapped
 * beside it. With `everywhere` set, code of that file anywhere in the process counts, which costs a look at all
 * mappings.
 */
bool mmgi_map_is_loaded(int list, const struct map_area *area, bool everywhere, char *text);

/**
 * Returns true when a page of a range shows no byte of a file: a private page that was written to, or a page that was
 * replaced. Returns false when the kernel does not tell. `text` is as in mmgi_map_find().
 */
bool mmgi_map_has_copies(uintptr_t from, uintptr_t to, char *text);

/** Returns true when the kernel tells that there is no such page in a range. */
bool mmgi_map_has_no_copies(uintptr_t from, uintptr_t to, char *text);

/** Returns true when the kernel can answer for one mapping, without a list of all mappings. */
bool mmgi_map_query_is_known(void);

#endif
