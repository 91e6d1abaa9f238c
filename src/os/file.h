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

/** The kinds of open files that this library treats differently. */
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
    uint64_t size;       /* bytes of a regular file; for a device see mmgi_file_device_size() */
    uint64_t links;      /* number of names of the file; 0 for a file without a name, such as a memfd */
    uint64_t block_size; /* preferred size of a transfer; in hugetlbfs the page size */
    struct file_time modified, changed;
    uint64_t
        mount; /* the unique number of the mount; 0 when it was not asked for, or is not known (before Linux 6.8) */
    bool has_verity; /* fs-verity protects the contents; it is found out together with `mount` */
};

/** Flags for mmgi_file_open(). */
#define FILE_OPEN_NOFOLLOW 1u /* fail with ELOOP if the last component of the path is a symbolic link */
#define FILE_OPEN_BLOCKING 2u /* wait for the writer of a FIFO, and for the holder of a write lease */

/**
 * Opens a path read-only; the descriptor is closed on exec. The call does not wait, unless a flag asks for that or the
 * file system itself blocks. Not async-signal-safe by contract, though open(2) is. The descriptor is the caller's.
 */
int mmgi_file_open(const char *path, unsigned flags, int *fd);

/**
 * Opens the file behind a descriptor a second time, read-only and without waiting. Locks, leases and the position of the new
 * descriptor are independent of the old one. The call compares device and inode, so the new descriptor names the same file.
 * It fails with ENOSYS without /proc, with EACCES when this process has no right to open the file itself, and with ESTALE
 * when it found another file.
 */
int mmgi_file_reopen(int fd, int *fresh);

/** Duplicates a descriptor; both share position, locks and leases. Does not block. */
int mmgi_file_duplicate(int fd, int *fresh);

/**
 * Makes `fd` name the file that `fresh` names, and closes `fresh`. The file that `fd` named before stays open where it
 * is mapped or duplicated. Async-signal-safe. Does not block.
 */
void mmgi_file_exchange(int fd, int fresh);

/** Closes a descriptor. Async-signal-safe. Network file systems may block here. */
void mmgi_file_close(int fd);

/** Describes an open file. Async-signal-safe. Network file systems may block here. */
int mmgi_file_status(int fd, struct file_status *status);

/**
 * Describes an open file again after `before`. When the size and the modification time are the same, the call only renews
 * `before->changed`, stores true in `*is_same`, and leaves `now` alone; else it fills `now`. Otherwise does the same as
 * mmgi_file_status().
 */
int mmgi_file_status_again(int fd, struct file_status *before, struct file_status *now, bool *is_same);

/**
 * Does the same as mmgi_file_status() for a descriptor that should name a certain file. A host may close descriptors
 * that are not its own, for example by closefrom(3), and then get the same number for another file. In that case the
 * call returns EBADF, as for a closed descriptor.
 */
int mmgi_file_status_if(int fd, uint64_t device, uint64_t inode, struct file_status *status);

/**
 * Closes a descriptor if it still names a certain file. If it names another file, the call leaves it open. If fstat(2)
 * fails for it, the call closes it. Otherwise does the same as mmgi_file_close().
 */
void mmgi_file_close_if(int fd, uint64_t device, uint64_t inode);

/** Does the same as mmgi_file_status(), and also fills `mount` and `has_verity`, in one system call. */
int mmgi_file_status_with_mount(int fd, struct file_status *status);

/**
 * Describes the file that a path names now. When `follow` is false and the path is a symbolic link, describes the link
 * itself. Otherwise does the same as mmgi_file_status().
 */
int mmgi_file_status_of_path(const char *path, bool follow, struct file_status *status);

/** The medium that holds the bytes of a file. Each one has its own reasons for a fault. */
enum file_medium {
    FILE_MEDIUM_DISK,   /* any medium that can fail, such as a disk or a network */
    FILE_MEDIUM_MEMORY, /* memory, such as tmpfs, which does not fail */
    FILE_MEDIUM_HUGE    /* hugetlbfs */
};

/**
 * Returns the medium of the file that a path names, or FILE_MEDIUM_DISK when it cannot be found out. Async-signal-safe.
 */
enum file_medium mmgi_file_medium(const char *path);

/**
 * Returns true when the file that a path names starts with the magic number of programs and libraries (ELF, PE).
 * Returns false when the file cannot be read. Async-signal-safe and no cancellation point. May block on the disk.
 */
bool mmgi_file_is_program(const char *path);

/**
 * Reads one byte at an offset and discards it. Returns 0; ENODATA behind the end; or the errno of the failure. Async-signal-safe and
 * no cancellation point. Blocks on the disk.
 */
int mmgi_file_probe(int fd, uint64_t offset);

/** Stores the size of a block device in bytes. Async-signal-safe. */
int mmgi_file_device_size(int fd, uint64_t *size);

/**
 * Checks that a descriptor can be read from. Returns 0; EBADF when it is not open; EACCES when it is open for writing only;
 * ENOTSUP when it was opened for its path only (O_PATH). Does not block.
 */
int mmgi_file_check_readable(int fd);

/**
 * Finds out whether any process has a regular file open for writing. Returns 0 when none has at this moment, EWOULDBLOCK when
 * one has, and ENOTSUP where the kernel does not tell (the file belongs to another user, or its file system has no leases).
 * The call takes a lease for a moment; a process that opens the file for writing at that moment waits until the call is
 * over. Does not block.
 */
int mmgi_file_check_writers(int fd);

/**
 * Returns the page size of mappings of a file whose blocks are larger than a page of the system. On hugetlbfs that is
 * the size of its huge pages, elsewhere the page size of the system. Does not block.
 */
size_t mmgi_file_page_size(int fd, const struct file_status *status);

/**
 * Returns the page size of mappings of any file. Makes no call when the blocks of the file are not larger than a page.
 */
static inline size_t
file_page_size(int fd, const struct file_status *status, size_t system_page)
{
    return status->block_size > system_page ? mmgi_file_page_size(fd, status) : system_page;
}

#endif
