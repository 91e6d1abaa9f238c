/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opens and describes files by open(2), fstat(2) and fcntl(2). Files are opened with O_NONBLOCK, so that an open of a
 * FIFO without a writer does not hang. For regular files the flag matters only while another process holds a write
 * lease.
 */
#include "os/file.h"

#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/linux/fd_path.h"
#include "os/linux/ioctl_compat.h"
#include "os/map.h"

#define HUGETLBFS_TYPE 0x958458f6UL /* statfs(2) */
#define TMPFS_TYPE 0x01021994UL
#define RAMFS_TYPE 0x858458f6UL

static __attribute__((noinline)) int
open_repeating(const char *path, int flags, int *fd)
{
    do
        *fd = open(path, flags | O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (*fd < 0 && errno == EINTR);
    return *fd < 0 ? errno : 0;
}

/* Opens a path again after a first attempt that has failed with the errno that is set. */
static __attribute__((noinline)) int
open_again(const char *path, unsigned flags, int follow, int *fd)
{
    int os_code = errno;

    if (os_code == EINTR)
        os_code = open_repeating(path, flags & FILE_OPEN_BLOCKING ? follow : follow | O_NONBLOCK, fd);
    /* Another process holds a write lease, and the kernel has asked for it. A blocking open waits until the holder gives it
       up. */
    if (os_code == EWOULDBLOCK && !(flags & FILE_OPEN_BLOCKING))
        return open_repeating(path, follow, fd);
    return os_code;
}

int
mmgi_file_open(const char *path, unsigned flags, int *fd)
{
    const int follow = flags & FILE_OPEN_NOFOLLOW ? O_NOFOLLOW : 0;
    const int block = flags & FILE_OPEN_BLOCKING ? 0 : O_NONBLOCK;

    /* The mode has no meaning without O_CREAT. With it the C library has nothing to check in 10 instructions of its own. */
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | follow | block, 0);
    return *fd >= 0 ? 0 : open_again(path, flags, follow, fd);
}

/* Returns true when both descriptors name the same file. */
static bool
is_same_file(int a, int b)
{
    struct stat first, second;

    return fstat(a, &first) == 0 && fstat(b, &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

int
mmgi_file_reopen(int fd, int *fresh)
{
    struct fd_path link;
    int os_code = open_repeating(mmgi_fd_path(fd, &link), O_NONBLOCK, fresh);

    if (os_code != 0)
        return os_code == ENOENT ? ENOSYS : os_code;
    if (is_same_file(fd, *fresh))
        return 0;
    close(*fresh);
    *fresh = -1;
    return ESTALE;
}

int
mmgi_file_duplicate(int fd, int *fresh)
{
    *fresh = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    return *fresh < 0 ? errno : 0;
}

void
mmgi_file_exchange(int fd, int fresh)
{
    dup3(fresh, fd, O_CLOEXEC); /* cannot fail: both descriptors are open and different */
    close(fresh);
}

void
mmgi_file_close(int fd)
{
    close(fd); /* not repeated: Linux closes the descriptor even when the call fails (close(2)) */
}

static enum file_kind
kind_of(mode_t mode)
{
    /* inode(7): the type is the upper four of the sixteen bits of a mode. */
    static const unsigned char kinds[16] = {
        [S_IFREG >> 12] = FILE_KIND_REGULAR, [S_IFBLK >> 12] = FILE_KIND_BLOCK_DEVICE,
        [S_IFIFO >> 12] = FILE_KIND_FIFO,    [S_IFSOCK >> 12] = FILE_KIND_STREAM,
        [S_IFCHR >> 12] = FILE_KIND_STREAM,  [S_IFDIR >> 12] = FILE_KIND_DIRECTORY,
    };

    return (enum file_kind)kinds[(mode & S_IFMT) >> 12]; /* the cast is safe: the table holds kinds only */
}

/* The kernel never reports a negative size, so the casts keep every value. */
static void
describe(const struct stat *from, struct file_status *status)
{
    status->kind = kind_of(from->st_mode);
    status->device = (uint64_t)from->st_dev;
    status->inode = (uint64_t)from->st_ino;
    status->size = (uint64_t)from->st_size;
    status->links = (uint64_t)from->st_nlink;
    status->block_size = (uint64_t)from->st_blksize;
    status->modified = (struct file_time){from->st_mtim.tv_sec, from->st_mtim.tv_nsec};
    status->changed = (struct file_time){from->st_ctim.tv_sec, from->st_ctim.tv_nsec};
    status->mount = 0;
    status->has_verity = false;
}

int
mmgi_file_status(int fd, struct file_status *status)
{
    struct stat found;

    if (fstat(fd, &found) != 0)
        return errno;
    describe(&found, status);
    return 0;
}

int
mmgi_file_status_again(int fd, struct file_status *before, struct file_status *now, bool *is_same)
{
    struct stat found;

    if (fstat(fd, &found) != 0)
        return errno;
    if (before->size == (uint64_t)found.st_size && before->modified.seconds == found.st_mtim.tv_sec &&
        before->modified.nanoseconds == found.st_mtim.tv_nsec) {
        before->changed = (struct file_time){found.st_ctim.tv_sec, found.st_ctim.tv_nsec};
        *is_same = true;
        return 0;
    }
    *is_same = false;
    return mmgi_file_status(fd, now); /* one call more than needed, but seldom */
}

int
mmgi_file_status_if(int fd, uint64_t device, uint64_t inode, struct file_status *status)
{
    int os_code = mmgi_file_status(fd, status);

    if (os_code != 0)
        return os_code;
    return status->device == device && status->inode == inode ? 0 : EBADF;
}

void
mmgi_file_close_if(int fd, uint64_t device, uint64_t inode)
{
    struct stat found;

    if (fstat(fd, &found) != 0 ? errno == EBADF : (uint64_t)found.st_dev != device || (uint64_t)found.st_ino != inode)
        return;
    mmgi_file_close(fd);
}

/* The struct statx of the kernel. C libraries do not have it, or do not have all members. */
struct statx_time {
    int64_t seconds;
    uint32_t nanoseconds;
    int32_t spare;
};

struct statx_answer {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, user, group;
    uint16_t mode, spare;
    uint64_t inode, size, blocks, attributes_mask;
    struct statx_time accessed, born, changed, modified;
    uint32_t special_major, special_minor, device_major, device_minor;
    uint64_t mount;
    uint64_t later[13];
};
_Static_assert(sizeof(struct statx_answer) == 256 && offsetof(struct statx_answer, mount) == 144,
               "the layout of struct statx (statx(2))");

#define STATX_BASIC 0x000007ffu        /* STATX_BASIC_STATS */
#define STATX_UNIQUE_MOUNT 0x00004000u /* STATX_MNT_ID_UNIQUE, Linux 6.8 */
#define STATX_VERITY 0x00100000u       /* STATX_ATTR_VERITY, Linux 5.5 */
#define STATX_OF_DESCRIPTOR 0x1000     /* AT_EMPTY_PATH */

int
mmgi_file_status_with_mount(int fd, struct file_status *status)
{
#ifdef SYS_statx
    struct statx_answer found;

    if (syscall(SYS_statx, fd, "", STATX_OF_DESCRIPTOR, STATX_BASIC | STATX_UNIQUE_MOUNT, &found) == 0 &&
        (found.mask & STATX_BASIC) == STATX_BASIC) {
        status->kind = kind_of(found.mode);
        status->device = (uint64_t)makedev(found.device_major, found.device_minor);
        status->inode = found.inode;
        status->size = found.size;
        status->links = found.links;
        status->block_size = found.block_size;
        status->modified = (struct file_time){found.modified.seconds, found.modified.nanoseconds};
        status->changed = (struct file_time){found.changed.seconds, found.changed.nanoseconds};
        status->mount = found.mask & STATX_UNIQUE_MOUNT ? found.mount : 0;
        status->has_verity = (found.attributes & STATX_VERITY) != 0;
        return 0;
    }
#endif
    return mmgi_file_status(fd, status); /* the kernel or a sandbox does not allow statx(2) */
}

int
mmgi_file_status_of_path(const char *path, bool follow, struct file_status *status)
{
    struct stat found;

    if ((follow ? stat(path, &found) : lstat(path, &found)) != 0)
        return errno;
    describe(&found, status);
    return 0;
}

enum file_medium
mmgi_file_medium(const char *path)
{
    struct statfs found;

    if (statfs(path, &found) != 0)
        return FILE_MEDIUM_DISK;
    switch ((unsigned long)found.f_type & 0xFFFFFFFFUL) { /* the mask drops the sign extension of 32-bit systems */
    case HUGETLBFS_TYPE:
        return FILE_MEDIUM_HUGE;
    case TMPFS_TYPE:
    case RAMFS_TYPE:
        return FILE_MEDIUM_MEMORY;
    default:
        return FILE_MEDIUM_DISK;
    }
}

bool
mmgi_file_is_program(const char *path)
{
    static const unsigned char elf[] = {0x7F, 'E', 'L', 'F'}, pe[] = {'M', 'Z'};
    unsigned char start[sizeof elf];
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | O_NOFOLLOW);

    if (fd < 0)
        return false;
    long got = syscall(SYS_read, fd, start, sizeof start);
    syscall(SYS_close, fd);
    return got == (long)sizeof start && (memcmp(start, elf, sizeof elf) == 0 || memcmp(start, pe, sizeof pe) == 0);
}

int
mmgi_file_probe(int fd, uint64_t offset)
{
    unsigned char byte;
    long got;

#if defined(__LP64__)
    got = syscall(SYS_pread64, fd, &byte, (size_t)1, (off_t)offset);
#else
    /* The calling convention for a 64-bit argument differs between processors. pread(2) knows it but is a cancellation
       point, so cancellation is switched off around the call. */
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    got = pread(fd, &byte, 1, (off_t)offset);
    int os_code = errno;
    pthread_setcancelstate(state, NULL);
    errno = os_code;
#endif
    if (got < 0)
        return errno;
    return got == 0 ? ENODATA : 0;
}

int
mmgi_file_device_size(int fd, uint64_t *size)
{
    return ioctl(fd, IOCTL_REQUEST(BLKGETSIZE64), size) == 0 ? 0 : errno;
}

int
mmgi_file_check_readable(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return errno;
    if (flags & O_PATH)
        return ENOTSUP;
    return (flags & O_ACCMODE) == O_WRONLY ? EACCES : 0;
}

size_t
mmgi_file_page_size(int fd, const struct file_status *status)
{
    size_t page = mmgi_map_page_size();
    struct statfs file_system;

    /* Only hugetlbfs has pages of another size; its block size is that size, a power of two. */
    if (status->block_size > page && fstatfs(fd, &file_system) == 0 &&
        ((unsigned long)file_system.f_type & 0xFFFFFFFFUL) == HUGETLBFS_TYPE)
        return (size_t)status->block_size;
    return page;
}

int
mmgi_file_check_writers(int fd)
{
    /* A writer that comes at this moment makes the kernel send a signal to this process. SIGIO would end the process. SIGURG
       is ignored by default, and a handler for it must expect it at any time. */
    if (fcntl(fd, F_SETSIG, SIGURG) != 0)
        return ENOTSUP;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
        return errno == EAGAIN ? EWOULDBLOCK : ENOTSUP;
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return 0;
}
