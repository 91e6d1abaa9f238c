/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * mmap(2) and its relatives by the system call itself. Sanitizers and preloaded objects stand in front of the functions of
 * the C library; those who do so call these. The arguments are those of the C library, and so are the results: MAP_FAILED
 * or -1 with errno. Every call here is async-signal-safe, does not block, and is no cancellation point.
 */
#ifndef MMGI_OS_LINUX_MAP_DIRECTLY_H
#define MMGI_OS_LINUX_MAP_DIRECTLY_H

#include <stddef.h>
#include <stdint.h>

void *mmgi_map_directly(void *start, size_t length, int access, int flags, int fd, int64_t offset);
int mmgi_unmap_directly(void *start, size_t length);
int mmgi_protect_directly(void *start, size_t length, int access);
void *mmgi_remap_directly(void *start, size_t length, size_t fresh_length, int flags, void *target);

#endif
