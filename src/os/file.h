/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for files: open, close and describe them. Every call returns 0 or an errno, unless its comment says
 * otherwise. No call changes the file or its position. Interrupted calls are repeated.
 */
#ifndef MMGI_OS_FILE_H
#define MMGI_OS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What an open file is, as far as this library treats it differently. */
enum file_kind {
    FILE_KIND_OTHER,
    FILE_KIND_REGULAR,
    FILE_KIND_BLOCK_DEVICE,
    FILE_KIND_FIFO,   /* a pipe, named or not */
    FILE_KIND_STREAM, /* a socket, a terminal or another character device */
    FILE_KIND_DIRECTORY
};

struct file_time {
    int64_t seconds; /* since 1970 */
    int64_t nanoseconds;
};

/** Returns true when two times are the same to the nanosecond. */
static inline bool
file_time_equals(struct file_time a, struct file_time b)
{
    return a.seconds == b.seconds && a.nanoseconds == b.nanoseconds;
}

struct file_status {
    enum file_kind kind;
    uint64_t device, inode;
    uint64_t size;       /* bytes of a regular file; a device has a call of its own */
    uint64_t links;      /* names of the file; 0: it has none, as a memfd */
    uint64_t block_size; /* preferred size of a transfer; in hugetlbfs the page size */
    struct file_time modified, changed;
    uint64_t
        mount; /* a number of the mount that is never used again; 0: not asked for, or not known (before Linux 6.8) */
    bool has_verity; /* fs-verity holds the contents; asked together with `mount` */
};

/** How mmgi_file_open() opens; bits. */
#define FILE_OPEN_NOFOLLOW 1u /* fail with ELOOP if the last component of the path is a symbolic link */
#define FILE_OPEN_BLOCKING 2u /* wait for the writer of a FIFO, and for the holder of a write lease */

/**
 * Opens a path read-only; the descriptor is closed on exec. Does not wait unless asked to, or unless the file system
 * does. Not async-signal-safe by contract, though open(2) is. The descriptor is the caller's.
 */
int mmgi_file_open(const char *path, unsigned flags, int *fd);

/**
 * Opens the file behind a descriptor anew, read-only and without waiting, so that locks, leases and the position of the
 * new descriptor are independent of the old one. It compares device and inode, so the new descriptor names the same
 * file. Fails with ENOSYS without /proc, with EACCES where only the one who opened the file had the right to, and with
 * ESTALE when another file was found.
 */
int mmgi_file_reopen(int fd, int *fresh);

/** Duplicates a descriptor; both share position, locks and leases. Does not block. */
int mmgi_file_duplicate(int fd, int *fresh);

/**
 * Has `fd` name what `fresh` names, and closes `fresh`. What `fd` named before stays open where it is mapped or duplicated.
 * Async-signal-safe. Does not block.
 */
void mmgi_file_exchange(int fd, int fresh);

/** Closes a descriptor. Async-signal-safe. Network file systems may block here. */
void mmgi_file_close(int fd);

/** Describes an open file. Async-signal-safe. Network file systems may block here. */
int mmgi_file_status(int fd, struct file_status *status);

/**
 * The same for a descriptor that should name a certain file. A host that closes descriptors which are not its own, as
 * closefrom(3) does, gets their numbers for files of its own: EBADF then, as for a descriptor that is closed.
 */
int mmgi_file_status_if(int fd, uint64_t device, uint64_t inode, struct file_status *status);

/**
 * Closes a descriptor if it still names a certain file, and leaves the file of somebody else alone. A file that cannot be
 * asked is closed. Same limits as mmgi_file_close().
 */
void mmgi_file_close_if(int fd, uint64_t device, uint64_t inode);

/** Describes a file as mmgi_file_status() does, with `mount`, in one call. */
int mmgi_file_status_with_mount(int fd, struct file_status *status);

/** Describes the file that a path names now, or (`follow` false) the symbolic link itself. Otherwise as above. */
int mmgi_file_status_of_path(const char *path, bool follow, struct file_status *status);

/** What the bytes of a file are kept in, as far as a failure to deliver them means something else. */
enum file_medium {
    FILE_MEDIUM_DISK,   /* any medium that can fail, a network among them */
    FILE_MEDIUM_MEMORY, /* tmpfs and its like: a page that is there can be delivered */
    FILE_MEDIUM_HUGE    /* hugetlbfs */
};

/** Tells the medium of the file that a path names; FILE_MEDIUM_DISK where it cannot be told. Async-signal-safe. */
enum file_medium mmgi_file_medium(const char *path);

/**
 * Returns true when the file that a path names begins as programs and libraries do (ELF, PE). A file that is shorter does
 * not. Async-signal-safe and no cancellation point. May block on the disk.
 */
bool mmgi_file_is_program(const char *path);

/**
 * Reads one byte at an offset and drops it: 0; ENODATA behind the end; or the errno of the failure. Async-signal-safe and
 * no cancellation point. Blocks on the disk.
 */
int mmgi_file_probe(int fd, uint64_t offset);

/** Stores the size of a block device in bytes. Async-signal-safe. */
int mmgi_file_device_size(int fd, uint64_t *size);

/** A descriptor that is kept for the moment when the process has none left. */
struct reserved_fd {
    int fd; /* -1: none */
    uint64_t device, inode;
};

/**
 * Reserves a descriptor, or frees it for the next call that needs one. When somebody has closed the descriptor and its
 * number names another file now, that file is left alone. Not async-signal-safe. Do not block.
 */
void mmgi_file_reserve(struct reserved_fd *reserved);
void mmgi_file_unreserve(struct reserved_fd *reserved);

/**
 * Checks that a descriptor can be read from: 0; EBADF when it is not open; EACCES when it is open for writing only;
 * ENOTSUP when it was opened for its path only (O_PATH). Does not block.
 */
int mmgi_file_check_readable(int fd);

/**
 * Finds out whether a regular file is open for writing anywhere: 0 when it is not at this moment, EWOULDBLOCK when it is,
 * and ENOTSUP where the kernel does not tell (the file is another user's, or its file system has no leases). Takes a
 * lease for that moment: whoever opens the file for writing just then waits for as long. Does not block.
 */
int mmgi_file_check_writers(int fd);

/**
 * Returns the page size of mappings of a file whose blocks are larger than a page of the system: that of hugetlbfs, else
 * the system's. Does not block.
 */
size_t mmgi_file_page_size(int fd, const struct file_status *status);

/** Returns the page size of mappings of any file, without a call for the many whose blocks are no larger than a page. */
static inline size_t
file_page_size(int fd, const struct file_status *status, size_t system_page)
{
    return status->block_size > system_page ? mmgi_file_page_size(fd, status) : system_page;
}

#endif
