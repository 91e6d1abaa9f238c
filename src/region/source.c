/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opening. The lock comes before fstat(2), so that the size is one that a cooperating writer keeps; what turns out
 * not to be a file needs no lock and loses it again. O_NONBLOCK, so that a FIFO without a writer does not hang; it
 * means nothing for files, except where somebody holds a write lease (open(2)).
 */
#include "region/source.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "os/file_lock.h"
#include "os/linux/ioctl_compat.h"
#include "base/status.h"

static int
open_retrying(const char *path, int flags)
{
    int fd;

    do
        fd = open(path, flags | O_RDONLY | O_CLOEXEC | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static mmg_status
tell_open_failed(const struct source *source, int os_code)
{
    const char *detail = NULL;
    mmg_status status = mmgi_status_from_errno(os_code);

    if (os_code == ELOOP && (source->options->flags & MMG_FLAG_NOFOLLOW)) {
        status = MMG_E_NOT_MAPPABLE;
        detail = "is a symbolic link";
    } else if (os_code == ENAMETOOLONG) {
        detail = "the path is too long";
    } else if (os_code == EMFILE || os_code == ENFILE) {
        detail = "no descriptors left";
    }
    return mmgi_error_tell(source->report, status, "open", os_code, 0, detail);
}

static mmg_status
size_find(struct source *source)
{
    source->size = (uint64_t)source->status.st_size; /* never negative for a file */
    if (source->kind == SOURCE_DEVICE && ioctl(source->fd, IOCTL_REQUEST(BLKGETSIZE64), &source->size) != 0)
        return mmgi_error_tell_os(source->report, "ioctl", errno);
    return MMG_OK;
}

mmg_status
mmgi_source_refresh(struct source *source)
{
    if (fstat(source->fd, &source->status) != 0)
        return mmgi_error_tell_os(source->report, "fstat", errno);
    return size_find(source);
}

static mmg_status
classify(struct source *source)
{
    if (fstat(source->fd, &source->status) != 0)
        return mmgi_error_tell_os(source->report, "fstat", errno);
    switch (source->status.st_mode & S_IFMT) {
    case S_IFREG:
        source->kind = SOURCE_FILE;
        return size_find(source);
    case S_IFBLK:
        source->kind = SOURCE_DEVICE;
        return size_find(source);
    case S_IFIFO:
    case S_IFSOCK:
    case S_IFCHR:
        source->kind = SOURCE_STREAM;
        return MMG_OK;
    case S_IFDIR:
        return mmgi_error_tell(source->report, MMG_E_NOT_MAPPABLE, "open", EISDIR, 0, "is a directory");
    default:
        return mmgi_error_tell(source->report, MMG_E_NOT_MAPPABLE, "open", 0, 0, "is neither a file nor a stream");
    }
}

static const char *
lock_call(const struct source *source)
{
    return source->options->lock == MMG_LOCK_OFD ? "fcntl" : "flock";
}

/* A lock that was not to be had: wait for it, do without it, or fail. */
static mmg_status
lock_resolve(struct source *source, int os_code)
{
    const mmg_options *options = source->options;

    if (os_code == EWOULDBLOCK && options->lock_wait_ms > 0) {
        os_code = mmgi_lock_wait(source->fd, options->lock, options->lock_wait_ms);
        if (os_code == 0)
            source->lock = options->lock;
    }
    if (os_code == 0)
        return mmgi_source_refresh(source); /* who held the lock may have changed the file */
    if (os_code == EWOULDBLOCK)
        return mmgi_error_tell(source->report, MMG_E_WOULD_BLOCK, lock_call(source), os_code, 0, "is locked elsewhere");
    if (!mmgi_lock_is_missing(os_code))
        return mmgi_error_tell_os(source->report, lock_call(source), os_code);
    source->lock_error = os_code;
    if (options->flags & MMG_FLAG_REQUIRE_LOCK)
        return mmgi_error_tell(source->report, MMG_E_UNSUPPORTED, lock_call(source), os_code, 0,
                               "the file system has no such lock");
    return MMG_OK;
}

static mmg_status
lock_and_classify(struct source *source)
{
    const mmg_options *options = source->options;
    bool wanted = options->lock != MMG_LOCK_NONE;
    int os_code = 0;

    source->lock = MMG_LOCK_NONE;
    source->lock_error = 0;
    if (wanted && !source->is_shared) {
        os_code = mmgi_lock_try(source->fd, options->lock);
        if (os_code == 0)
            source->lock = options->lock;
    }
    mmg_status status = classify(source);
    if (status != MMG_OK)
        return status;
    if (source->kind == SOURCE_STREAM) {
        if (source->lock != MMG_LOCK_NONE)
            mmgi_lock_drop(source->fd, source->lock);
        source->lock = MMG_LOCK_NONE;
        return MMG_OK;
    }
    if (wanted && source->is_shared && (options->flags & MMG_FLAG_REQUIRE_LOCK))
        return mmgi_error_tell(source->report, MMG_E_UNSUPPORTED, lock_call(source), 0, 0,
                               "the descriptor cannot be opened anew, and a lock on it would be the caller's");
    return os_code == 0 ? MMG_OK : lock_resolve(source, os_code);
}

static mmg_status
settle(struct source *source)
{
    mmg_status status = lock_and_classify(source);

    if (status != MMG_OK)
        mmgi_source_close(source);
    return status;
}

mmg_status
mmgi_source_open_path(const char *path, struct source *source)
{
    int flags = source->options->flags & MMG_FLAG_NOFOLLOW ? O_NOFOLLOW : 0;

    source->path = path;
    source->is_shared = false;
    source->is_owned = true;
    source->fd = open_retrying(path, flags | O_NONBLOCK);
    /* A write lease of somebody else: the kernel has asked them for it, and a blocking open waits for the answer. */
    if (source->fd < 0 && errno == EWOULDBLOCK)
        source->fd = open_retrying(path, flags);
    if (source->fd < 0)
        return tell_open_failed(source, errno);
    return settle(source);
}

/* Is this a descriptor that can be read from? */
static mmg_status
check_descriptor(int fd, const struct source *source)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return mmgi_error_tell(source->report, MMG_E_ARGUMENT, "descriptor", errno, 0, "is not an open descriptor");
    if (flags & O_PATH)
        return mmgi_error_tell(source->report, MMG_E_ARGUMENT, "descriptor", EBADF, 0, "was opened with O_PATH");
    if ((flags & O_ACCMODE) == O_WRONLY)
        return mmgi_error_tell(source->report, MMG_E_PERMISSION, "descriptor", EBADF, 0, "is open for writing only");
    return MMG_OK;
}

/* A description of our own for the file behind a descriptor, or at least a duplicate. */
static mmg_status
reopen(int fd, struct source *source)
{
    char link[32];

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    source->is_owned = true;
    source->is_shared = false;
    source->fd = open_retrying(link, O_NONBLOCK);
    if (source->fd < 0) { /* no /proc, or rights that only the one who opened it had */
        source->is_shared = true;
        source->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    }
    return source->fd < 0 ? tell_open_failed(source, errno) : MMG_OK;
}

mmg_status
mmgi_source_open_fd(int fd, struct source *source)
{
    struct stat status;
    mmg_status result = check_descriptor(fd, source);

    if (result != MMG_OK)
        return result;
    source->path = NULL;
    if (fstat(fd, &status) != 0)
        return mmgi_error_tell_os(source->report, "fstat", errno);
    if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
        source->fd = fd;
        source->is_owned = false;
        source->is_shared = true;
        return settle(source);
    }
    result = reopen(fd, source);
    return result == MMG_OK ? settle(source) : result;
}

mmg_status
mmgi_source_open_stream(int fd, struct source *source)
{
    mmg_status status = check_descriptor(fd, source);

    if (status != MMG_OK)
        return status;
    source->path = NULL;
    source->fd = fd;
    source->is_owned = false;
    source->is_shared = true;
    source->lock = MMG_LOCK_NONE;
    source->lock_error = 0;
    status = classify(source);
    source->kind = SOURCE_STREAM;
    return status;
}

void
mmgi_source_close(struct source *source)
{
    if (source->is_owned)
        close(source->fd); /* which ends the lock: nobody else has this description */
    source->is_owned = false;
}

int
mmgi_source_keep(struct source *source)
{
    source->is_owned = false;
    return source->fd;
}
