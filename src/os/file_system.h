/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for the properties of a file system: its name, who can write to it, what a lock on it means, how fine its file
 * times are. The name in the kernel's mount table decides. The type number of statfs(2) does not, since a 9p share passes on
 * the number of the host's file system.
 */
#ifndef MMGI_OS_FILE_SYSTEM_H
#define MMGI_OS_FILE_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include "os/file.h"

/** What a lock on a whole file of a file system does to other processes. */
enum file_system_lock {
    FILE_SYSTEM_LOCK_ADVISORY,  /* this kernel keeps the lock, and it binds only processes that ask for it */
    FILE_SYSTEM_LOCK_MANDATORY, /* writes of other processes fail */
    FILE_SYSTEM_LOCK_HANGS,     /* the kernel asks a server that may never answer */
    FILE_SYSTEM_LOCK_NOT_LOCAL  /* another machine keeps the lock, or it is not known which machine does */
};

struct file_system {
    const char *name;         /* such as "ext4", or "" when it is not known; the text lives as long as the process */
    bool has_leases;          /* every writer passes through this kernel, and a read lease holds each of them back */
    bool is_read_only_medium; /* nothing can write to the medium, not even the kernel */
    bool has_verity;          /* its files may be sealed by fs-verity */
    bool may_reflink;         /* files may share blocks; false: it is known that they cannot */
    bool is_memory;           /* its files take memory, not disk space */
    bool is_kernel;           /* the kernel makes up the contents of its files when they are read (/proc, /sys) */
    bool is_stacked;          /* the file behind an open descriptor may be replaced by another one (overlay, copy-up) */
    bool has_other_clock;     /* the times of its files come from another machine */
    bool has_coarse_times;    /* the times of its files may be as coarse as two seconds */
    enum file_system_lock lock;
};

/**
 * Finds out the properties of the file system of an open file. The code remembers the answer for each device, so that only
 * the first file of a device costs more than one system call. The call never fails: where neither the mount table nor
 * statmount(2) can be read, the name is empty, and the properties are those that are safe for any file system. Not
 * async-signal-safe. Does not block on the file system itself.
 *
 * @param status  the status of that descriptor, from mmgi_file_status()
 */
void mmgi_file_system_find(int fd, const struct file_status *status, struct file_system *file_system);

/** Returns true when a memfd is sealed against shrinking and against writing. Async-signal-safe. Does not block. */
bool mmgi_file_system_memory_is_sealed(int fd);

#endif
