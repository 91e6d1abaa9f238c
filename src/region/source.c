/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opens a path or takes a descriptor, and finds out what kind of file it is. After it has taken the lock (source_lock.c), the
 * code asks for the size, so that a cooperating writer cannot change the size afterwards. A small file keeps the size from
 * before the lock, since the copy finds out whether that size still holds (backing.c).
 */
#include "region/source.h"

#include <errno.h>
#include <stddef.h>

#include "base/status.h"
#include "region/shared_lock.h"
#include "region/source_lock.h"

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
    int os_code = 0;

    source->size = source->status.size;
    if (source->kind == SOURCE_DEVICE)
        os_code = mmgi_file_device_size(source->fd, &source->size);
    return os_code == 0 ? MMG_OK : mmgi_error_tell_os(source->report, "ioctl", os_code);
}

mmg_status
mmgi_source_refresh(struct source *source)
{
    int os_code = mmgi_file_status(source->fd, &source->status);

    source->is_early = false;
    return os_code == 0 ? size_find(source) : mmgi_error_tell_os(source->report, "fstat", os_code);
}

/* Finds out the kind of a source. Returns MMG_E_NOT_MAPPABLE for a kind that has no bytes. */
static mmg_status
classify(struct source *source)
{
    int os_code = mmgi_file_status_with_mount(source->fd, &source->status);

    if (os_code != 0)
        return mmgi_error_tell_os(source->report, "fstat", os_code);
    if ((source->options->flags & MMG_FLAG_REGULAR_ONLY) && source->status.kind != FILE_KIND_REGULAR)
        return mmgi_error_tell_own(source->report, MMG_E_NOT_MAPPABLE, "open", "is not a regular file");
    switch (source->status.kind) {
    case FILE_KIND_REGULAR:
        source->kind = SOURCE_FILE;
        return size_find(source);
    case FILE_KIND_BLOCK_DEVICE:
        source->kind = SOURCE_DEVICE;
        return size_find(source);
    case FILE_KIND_FIFO:
    case FILE_KIND_STREAM:
        source->kind = SOURCE_STREAM;
        return MMG_OK;
    case FILE_KIND_DIRECTORY:
        return mmgi_error_tell(source->report, MMG_E_NOT_MAPPABLE, "open", EISDIR, 0, "is a directory");
    default:
        return mmgi_error_tell_own(source->report, MMG_E_NOT_MAPPABLE, "open", "is neither a file nor a stream");
    }
}

/* Refuses a file that a process has open for writing, if the options ask for that. A stream exists to be written to. */
static mmg_status
refuse_writers(const struct source *source)
{
    if (!(source->options->flags & MMG_FLAG_NO_WRITERS) || source->kind == SOURCE_STREAM)
        return MMG_OK;
    bool can_ask = source->kind == SOURCE_FILE && !source->is_shared;
    int os_code = can_ask ? mmgi_file_check_writers(source->fd) : ENOTSUP;
    if (os_code == 0)
        return MMG_OK;
    if (os_code == EWOULDBLOCK)
        return mmgi_error_tell(source->report, MMG_E_WOULD_BLOCK, "fcntl", os_code, 0, "is open for writing elsewhere");
    return mmgi_error_tell(source->report, MMG_E_UNSUPPORTED, "fcntl", os_code, 0,
                           "the kernel does not tell whether the file is open for writing");
}

/* Classifies an open source and locks it, in the order that takes fewer system calls. */
static mmg_status
classify_and_lock(struct source *source)
{
    /* Few callers set this flag, so it is tested before the function is called. */
    bool locks_first = (source->options->flags & MMG_FLAG_REGULAR_ONLY) != 0 && mmgi_source_locks_first(source);
    mmg_status status = locks_first ? mmgi_source_lock_first(source) : MMG_OK;

    if (status == MMG_OK)
        status = classify(source);
    if (status != MMG_OK)
        return status;
    if (source->kind == SOURCE_STREAM)
        return mmgi_source_lock_none(source);
    mmgi_file_system_find(source->fd, &source->status, &source->file_system);
    if (locks_first)
        mmgi_source_lock_count(source);
    return locks_first ? MMG_OK : mmgi_source_lock(source);
}

/* Finds out the kind of an open source, and locks it. Closes the source when one of the two fails. */
static mmg_status
finish_opening(struct source *source)
{
    mmg_status status = classify_and_lock(source);

    if (status == MMG_OK)
        status = refuse_writers(source);
    if (status != MMG_OK)
        mmgi_source_close(source);
    return status;
}

/* Nearly all sources are paths. So what this file has for each of them is inline here, which saves 17 instructions. */
__attribute__((flatten)) mmg_status
mmgi_source_open_path(const char *path, struct source *source)
{
    unsigned flags = source->options->flags & MMG_FLAG_NOFOLLOW ? FILE_OPEN_NOFOLLOW : 0;

    source->path = path;
    source->is_shared = false;
    source->is_owned = true;
    int os_code = mmgi_file_open(path, flags, &source->fd);
    return os_code == 0 ? finish_opening(source) : tell_open_failed(source, os_code);
}

/* Returns MMG_OK when a descriptor of the caller is open for reading. */
static mmg_status
check_descriptor(int fd, const struct source *source)
{
    switch (mmgi_file_check_readable(fd)) {
    case 0:
        return MMG_OK;
    case ENOTSUP:
        return mmgi_error_tell(source->report, MMG_E_ARGUMENT, "descriptor", EBADF, 0, "was opened with O_PATH");
    case EACCES:
        return mmgi_error_tell(source->report, MMG_E_PERMISSION, "descriptor", EBADF, 0, "is open for writing only");
    default:
        return mmgi_error_tell(source->report, MMG_E_ARGUMENT, "descriptor", EBADF, 0, "is not an open descriptor");
    }
}

/* Opens the file behind a descriptor again, so that the library has an open file description of its own. Where that is not
   possible, duplicates the descriptor. */
static mmg_status
reopen(int fd, struct source *source)
{
    /* Locks and leases belong to the description, and a short lease tells whether there are writers. Without these a duplicate
       is enough, and much cheaper. */
    const bool needs_own = source->options->lock != MMG_LOCK_NONE ||
                           source->options->guarantee == MMG_GUARANTEE_STABLE ||
                           (source->options->flags & MMG_FLAG_NO_WRITERS) != 0;
    int os_code = needs_own ? mmgi_file_reopen(fd, &source->fd) : ENOSYS;

    source->is_owned = true;
    source->is_shared = false;
    if (os_code != 0) { /* /proc is not mounted, or this process has no right to open the file itself */
        source->is_shared = true;
        os_code = mmgi_file_duplicate(fd, &source->fd);
    }
    return os_code == 0 ? MMG_OK : tell_open_failed(source, os_code);
}

mmg_status
mmgi_source_open_fd(int fd, struct source *source)
{
    mmg_status result = check_descriptor(fd, source);

    if (result != MMG_OK)
        return result;
    source->path = NULL;
    int os_code = mmgi_file_status(fd, &source->status);
    if (os_code != 0)
        return mmgi_error_tell_os(source->report, "fstat", os_code);
    if (source->status.kind != FILE_KIND_REGULAR && source->status.kind != FILE_KIND_BLOCK_DEVICE) {
        source->fd = fd;
        source->is_owned = false;
        source->is_shared = true;
        return finish_opening(source);
    }
    result = reopen(fd, source);
    return result == MMG_OK ? finish_opening(source) : result;
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
    status = classify(source);
    if (status == MMG_OK)
        status = refuse_writers(source); /* also of a file that is read as a stream */
    source->kind = SOURCE_STREAM;
    return status == MMG_OK ? mmgi_source_lock_none(source) : status;
}

void
mmgi_source_close(struct source *source)
{
    if (source->is_owned) {
        shared_lock_end(&source->lock_share, source->lock, source->fd);
        mmgi_file_close(source->fd); /* this also ends a lock that no other region shares */
    }
    source->is_owned = false;
}

void
mmgi_source_keep(struct source *source)
{
    source->is_owned = false;
}
