/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for the shared lock under which a file is mapped. The lock belongs to the open file description, so it
 * ends when the last duplicate of the descriptor is closed. Of these calls, mmgi_lock_try() is async-signal-safe.
 */
#ifndef MMGI_OS_FILE_LOCK_H
#define MMGI_OS_FILE_LOCK_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Tries once to take a shared lock. Does not wait for other holders, but a network file system may block here.
 *
 * @param kind  MMG_LOCK_SHARED or MMG_LOCK_OFD
 * @return 0, EWOULDBLOCK when it is held elsewhere, or another errno
 */
int mmgi_lock_try(int fd, uint32_t kind);

/**
 * Tries to take the lock for up to `wait_ms` milliseconds, or without a limit for MMG_WAIT_FOREVER. Returns what
 * mmgi_lock_try() returns.
 */
int mmgi_lock_wait(int fd, uint32_t kind, uint32_t wait_ms);

/** Returns true when this kernel knows locks of kind MMG_LOCK_OFD. The call tries one on a file in memory. Does not block. */
bool mmgi_lock_ofd_is_known(void);

/** Returns true when this kernel has leases. The call tries one on a file in memory. Does not block. */
bool mmgi_lease_is_known(void);

/** Releases the lock. The descriptor stays open. */
void mmgi_lock_drop(int fd, uint32_t kind);

/**
 * Returns true when an errno of mmgi_lock_try() means that the file system has no such lock. That is every errno that
 * does not mean that another process holds the lock, since FUSE servers, NFS and drivers return too many different ones
 * to list them.
 */
bool mmgi_lock_is_missing(int os_code);

#endif
