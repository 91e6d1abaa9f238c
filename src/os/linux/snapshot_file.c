/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Makes files with O_TMPFILE (open(2)). FICLONE shares blocks in about a millisecond. Where it is missing,
 * copy_file_range(2) copies inside the kernel. The mode of such a file is 0, so another process of the same user cannot
 * open it through /proc/PID/fd, unless it changes the mode first.
 */
#include "os/snapshot_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/file_io.h"
#include "os/linux/fd_path.h"
#include "os/linux/ioctl_compat.h"
#include "os/linux/memory_room.h"

#define PATH_ROOM 4096
#define TMPFS_TYPE 0x01021994UL
#define RAMFS_TYPE 0x858458f6UL

/*
 * Returns true when this process may write a file of this size. Beyond its limit the kernel would send SIGXFSZ
 * (setrlimit(2)).
 */
static bool
is_within_limit(uint64_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur;
}

uint64_t
mmgi_snapshot_file_memory_room(void)
{
    return mmgi_memory_room() / 2;
}

/* Asks whether a file may grow to `size` bytes. A snapshot may take only half of the free space, since other writers need
   space, too. */
static int
room_ask(int target, uint64_t size)
{
    struct statfs file_system;

    if (size == 0 || fstatfs(target, &file_system) != 0)
        return 0;
    unsigned long type = (unsigned long)file_system.f_type & 0xFFFFFFFFUL;
    if ((type == TMPFS_TYPE || type == RAMFS_TYPE) && size > mmgi_snapshot_file_memory_room())
        return ENOMEM;
    if (type == RAMFS_TYPE || file_system.f_blocks == 0)
        return 0; /* this file system has no limit */
    return size > (uint64_t)file_system.f_bavail / 2 * (uint64_t)file_system.f_bsize ? ENOSPC : 0;
}

static int
unlinked_in(const char *directory, uint64_t end, uint64_t bytes, int *target)
{
    if (!is_within_limit(end))
        return EFBIG;
    do
        *target = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0);
    while (*target < 0 && errno == EINTR);
    if (*target < 0)
        return errno;
    int os_code = room_ask(*target, bytes);
    if (os_code != 0) {
        close(*target);
        *target = -1;
    }
    return os_code;
}

int
mmgi_snapshot_file_beside(int fd, uint64_t end, uint64_t bytes, int *target)
{
    struct stat source, beside;
    struct fd_path link;
    char path[PATH_ROOM];

    ssize_t length = readlink(mmgi_fd_path(fd, &link), path, sizeof path - 1);
    if (length <= 0)
        return errno != 0 ? errno : ENOENT;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) /* the path is no path, such as "pipe:[...]" */
        return EXDEV;
    slash[slash == path ? 1 : 0] = '\0';
    int os_code = unlinked_in(path, end, bytes, target);
    /* The file may be in no directory, as a memfd, whose path is "/memfd:...". Or the file itself may be a mount point.
       */
    if (os_code == 0 && (fstat(fd, &source) != 0 || fstat(*target, &beside) != 0 || source.st_dev != beside.st_dev)) {
        close(*target);
        os_code = EXDEV;
    }
    return os_code;
}

int
mmgi_snapshot_file_in_tmpdir(uint64_t end, uint64_t bytes, int *target)
{
    const char *directory = secure_getenv("TMPDIR");

    return unlinked_in(directory != NULL && directory[0] != '\0' ? directory : "/tmp", end, bytes, target);
}

int
mmgi_snapshot_file_clone(int fd, int target)
{
    int result;

    do
        result = ioctl(target, IOCTL_REQUEST(FICLONE), fd);
    while (result != 0 && errno == EINTR);
    return result == 0 ? 0 : errno;
}

static int
write_fully(int fd, const unsigned char *bytes, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t n = pwrite(fd, bytes, size, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        bytes += n;
        offset += (uint64_t)n;
        size -= (size_t)n;
    }
    return 0;
}

/* Copies through a buffer, where the kernel does not copy by itself. */
static int
copy_through_buffer(int from, int to, uint64_t offset, size_t size)
{
    unsigned char buffer[16384]; /* a thread may have a stack of 64 KiB */

    while (size > 0) {
        size_t want = size < sizeof buffer ? size : sizeof buffer, got;
        int os_code = mmgi_file_read_at(from, offset, buffer, want, &got);
        if (os_code == 0 && got < want)
            os_code = EIO; /* the file has become shorter since the snapshot began */
        if (os_code == 0)
            os_code = write_fully(to, buffer, got, offset);
        if (os_code != 0)
            return os_code;
        offset += got;
        size -= got;
    }
    return 0;
}

int
mmgi_snapshot_file_copy(int fd, int target, uint64_t offset, size_t size)
{
    off_t in = (off_t)offset, out = in;

    while (size > 0) {
        ssize_t n = copy_file_range(fd, &in, target, &out, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        /* The call fails between two file systems (before Linux 5.19), and where a file system does not have it. Some
           file systems return 0 before the end. */
        if (n == 0 || (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)))
            return copy_through_buffer(fd, target, (uint64_t)in, size);
        if (n < 0)
            return errno;
        size -= (size_t)n;
    }
    return 0;
}
