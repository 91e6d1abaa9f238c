/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The name of the file system that is mounted where a file was opened, such as "ext4".
 */
#ifndef MMGI_OS_LINUX_MOUNT_NAME_H
#define MMGI_OS_LINUX_MOUNT_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Stores the name, cut to `size` - 1 characters. `unique` is the unique number of the mount, or 0 when it is not known.
 * Returns false when the kernel does not tell the name. Does not block.
 */
bool mmgi_mount_name(int fd, uint64_t unique, char *name, size_t size);

#endif
