/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * FICLONE shares the blocks of a file in about a millisecond, and the file system takes it at one moment in the
 * file's history (ioctl_ficlone(2)). Elsewhere bytes are copied, inside the kernel where it can (copy_file_range(2)).
 * Files are made with O_TMPFILE: they never have a name, so nothing is left behind however the process ends.
 */
#include "stable/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "os/file_io.h"
#include "os/map.h"
#include "mmapguard.h"

/* Copied between two looks at the clock. */
#define PIECE ((size_t)4 << 20)
#define PATH_ROOM 4096

/* May this process write a file so large? Beyond its limit it would be sent SIGXFSZ (setrlimit(2)). */
static bool
is_within_limit(uint64_t size)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY || size <= limit.rlim_cur;
}

static int
unlinked_in(const char *directory)
{
    int fd;

    do
        fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    while (fd < 0 && errno == EINTR);
    return fd;
}

/* In the directory where the file is now, whatever it was called at open. -1 and errno. */
static int
unlinked_beside(int fd)
{
    char link[32], path[PATH_ROOM];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0)
        return -1;
    path[length] = '\0';
    char *slash = strrchr(path, '/');
    if (slash == NULL) { /* "pipe:[...]" and the like */
        errno = ENOENT;
        return -1;
    }
    slash[slash == path ? 1 : 0] = '\0';
    int made = unlinked_in(path);
    struct stat source, beside;
    /* A file that is in no directory (a memfd is called "/memfd:...", in the root) or is mounted over another by
       itself. */
    if (made >= 0 && (fstat(fd, &source) != 0 || fstat(made, &beside) != 0 || source.st_dev != beside.st_dev)) {
        close(made);
        errno = EXDEV;
        return -1;
    }
    return made;
}

static int
unlinked_in_tmpdir(void)
{
    const char *directory = secure_getenv("TMPDIR");

    return unlinked_in(directory != NULL && directory[0] != '\0' ? directory : "/tmp");
}

int
mmgi_snapshot_reflink(int fd, int *clone)
{
    struct stat status;
    int result;

    if (fstat(fd, &status) != 0)
        return errno;
    if (!is_within_limit((uint64_t)status.st_size)) /* of a file: not negative */
        return EFBIG;
    int target = unlinked_beside(fd);
    if (target < 0)
        return errno;
    do
        result = ioctl(target, FICLONE, fd);
    while (result != 0 && errno == EINTR);
    if (result == 0) {
        *clone = target;
        return 0;
    }
    int os_code = errno;
    close(target);
    return os_code;
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

/* Copy a piece by way of a buffer, where the kernel will not do it by itself. */
static int
piece_through_buffer(int from, int to, uint64_t offset, size_t size)
{
    unsigned char buffer[65536];

    while (size > 0) {
        size_t want = size < sizeof buffer ? size : sizeof buffer, got;
        int os_code = mmgi_file_read_at(from, offset, buffer, want, &got);
        if (os_code == 0 && got < want)
            os_code = EIO; /* the bytes were there when the snapshot was ordered */
        if (os_code == 0)
            os_code = write_fully(to, buffer, got, offset);
        if (os_code != 0)
            return os_code;
        offset += got;
        size -= got;
    }
    return 0;
}

/* Bytes keep their offset, so that nobody has to translate between the file and its snapshot; in front is a hole. */
static int
piece_to_file(int from, int to, uint64_t offset, size_t size)
{
    off_t in = (off_t)offset, out = in;

    while (size > 0) {
        ssize_t n = copy_file_range(from, &in, to, &out, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        /* Another file system (before Linux 5.19), or one without the call, or (0) one that is wrong about the end. */
        if (n == 0 || (n < 0 && (errno == EXDEV || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP)))
            return piece_through_buffer(from, to, (uint64_t)in, size);
        if (n < 0)
            return errno;
        size -= (size_t)n;
    }
    return 0;
}

/* Copy piece by piece into a file, or (`to` -1) into memory, until all is there or something ends it. */
static void
copy_pieces(const struct snapshot_order *order, int to, unsigned char *memory, struct snapshot *snapshot)
{
    size_t length = order->length;

    snapshot->secured = 0;
    snapshot->os_code = 0;
    if (length > order->cap) {
        length = (size_t)order->cap; /* smaller than a size_t */
        snapshot->os_code = EFBIG;
    }
    while (snapshot->secured < length) {
        size_t done = snapshot->secured, got = 0;
        size_t size = length - done < PIECE ? length - done : PIECE;
        int os_code = order->may_continue == NULL || order->may_continue(order->context) ? 0 : ECANCELED;
        if (os_code == 0 && to >= 0)
            os_code = piece_to_file(order->fd, to, order->from + done, size);
        else if (os_code == 0)
            os_code = mmgi_file_read_at(order->fd, order->from + done, memory + done, size, &got);
        if (os_code == 0 && to < 0 && got < size)
            os_code = EIO;
        if (os_code != 0) {
            snapshot->os_code = os_code;
            return;
        }
        snapshot->secured += size;
    }
}

/* False: not here. */
static bool
copy_to_file(const struct snapshot_order *order, int to, struct snapshot *snapshot)
{
    if (to < 0)
        return false;
    copy_pieces(order, to, NULL, snapshot);
    bool over_cap = order->length > order->cap && snapshot->secured == order->cap;
    if (snapshot->os_code != 0 && snapshot->os_code != ECANCELED && !over_cap) {
        close(to); /* no room, or no luck, here; the next place may have it */
        return false;
    }
    snapshot->fd = to;
    return true;
}

static void
copy_to_memory(const struct snapshot_order *order, struct snapshot *snapshot)
{
    size_t length = order->length < order->cap ? order->length : (size_t)order->cap;
    unsigned char *memory = mmgi_map_memory(length, &snapshot->memory_length);

    if (memory == NULL) {
        snapshot->secured = 0;
        snapshot->os_code = ENOMEM;
        return;
    }
    snapshot->memory = memory;
    copy_pieces(order, -1, memory, snapshot);
}

/* A clone has what the file had at that moment, which may be less than was ordered. */
static void
secured_by_clone(const struct snapshot_order *order, struct snapshot *snapshot)
{
    struct stat status;
    uint64_t size = fstat(snapshot->fd, &status) == 0 ? (uint64_t)status.st_size : 0; /* of a file: not negative */
    uint64_t there = size > order->from ? size - order->from : 0;

    snapshot->secured = there < order->length ? (size_t)there : order->length;
    if (there < order->length)
        snapshot->os_code = EIO;
}

void
mmgi_snapshot_take(const struct snapshot_order *order, struct snapshot *snapshot)
{
    *snapshot = (struct snapshot){.fd = -1, .means = MMG_MEANS_REFLINK};
    snapshot->reflink_error = mmgi_snapshot_reflink(order->fd, &snapshot->fd);
    if (snapshot->reflink_error == 0) {
        secured_by_clone(order, snapshot);
        return;
    }
    snapshot->means = MMG_MEANS_SNAPSHOT;
    bool may_write = is_within_limit(order->from + order->length);
    if (may_write && (copy_to_file(order, unlinked_beside(order->fd), snapshot) ||
                      copy_to_file(order, unlinked_in_tmpdir(), snapshot)))
        return;
    if (order->in_file)
        snapshot->secured = 0;
    else
        copy_to_memory(order, snapshot);
}

void
mmgi_snapshot_release(struct snapshot *snapshot)
{
    if (snapshot->fd >= 0)
        close(snapshot->fd);
    if (snapshot->memory != NULL)
        mmgi_map_memory_release(snapshot->memory, snapshot->memory_length);
    snapshot->fd = -1;
    snapshot->memory = NULL;
}
