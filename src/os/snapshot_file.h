/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for snapshot files: files without a name that hold bytes of another file at the same offsets. The
 * kernel removes a file with its last descriptor and mapping, however the process ends. Each call that makes a file first
 * asks whether there is room, so that a snapshot does not take the last blocks of a disk or the last memory of a control
 * group.
 *
 * Every call returns 0 or an errno. None is async-signal-safe. All may block on the disk.
 */
#ifndef MMGI_OS_SNAPSHOT_FILE_H
#define MMGI_OS_SNAPSHOT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Makes a snapshot file in the directory where another file is at this moment, even if that file was renamed. The descriptor
 * is the caller's. No process can open the file by a name.
 *
 * @param end    the size that the file will have
 * @param bytes  how many bytes will be copied into the file; 0 for a clone
 * @return 0; ENOSPC (it would take more than half of what is free), ENOMEM (likewise, where files take memory), EFBIG
 *   (RLIMIT_FSIZE), EXDEV (the file is in no directory), EACCES, EROFS, EOPNOTSUPP, EMFILE, or another errno of open(2)
 */
int mmgi_snapshot_file_beside(int fd, uint64_t end, uint64_t bytes, int *target);

/** Does the same in the directory that TMPDIR names, or in /tmp. */
int mmgi_snapshot_file_in_tmpdir(uint64_t end, uint64_t bytes, int *target);

/**
 * Clones a whole file into a snapshot file, which shares its blocks from then on. The clone shows what the file held at
 * one moment. Returns EOPNOTSUPP, EINVAL or EXDEV when the file system cannot clone the file.
 */
int mmgi_snapshot_file_clone(int fd, int target);

/**
 * Copies `size` bytes at `offset`. Returns EIO when the source has fewer bytes, or an errno of write(2) such as ENOSPC
 * or EFBIG.
 */
int mmgi_snapshot_file_copy(int fd, int target, uint64_t offset, size_t size);

/**
 * Returns how many bytes of memory a snapshot may take: half of the memory that the system and every control group above
 * this process have left. Returns UINT64_MAX when that is not known. Does not block.
 */
uint64_t mmgi_snapshot_file_memory_room(void);

#endif
