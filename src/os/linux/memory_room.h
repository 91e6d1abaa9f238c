/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tells how much memory this process may take before the kernel kills a process.
 */
#ifndef MMGI_OS_LINUX_MEMORY_ROOM_H
#define MMGI_OS_LINUX_MEMORY_ROOM_H

#include <stdint.h>

/** Returns the bytes that the system and all control groups above this process have left; UINT64_MAX: not known. */
uint64_t mmgi_memory_room(void);

#endif
