/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Files on a platform without files. Every open fails.
 */
#include "os/file.h"

#include <errno.h>
#include <string.h>

#include "os/file_io.h"
#include "os/file_lock.h"
#include "os/file_system.h"

#define STUB_PAGE 4096u

int
mmgi_file_open(const char *path, unsigned flags, int *fd)
{
    (void)path;
    (void)flags;
    *fd = -1;
    return ENOTSUP;
}

int
mmgi_file_reopen(int fd, int *fresh)
{
    (void)fd;
    *fresh = -1;
    return ENOTSUP;
}

int
mmgi_file_duplicate(int fd, int *fresh)
{
    return mmgi_file_reopen(fd, fresh);
}

void
mmgi_file_close(int fd)
{
    (void)fd;
}

void
mmgi_file_exchange(int fd, int fresh)
{
    (void)fd;
    (void)fresh;
}

int
mmgi_file_status(int fd, struct file_status *status)
{
    (void)fd;
    memset(status, 0, sizeof *status);
    return ENOTSUP;
}

int
mmgi_file_status_again(int fd, struct file_status *before, struct file_status *now, bool *is_same)
{
    (void)before;
    *is_same = false;
    return mmgi_file_status(fd, now);
}

int
mmgi_file_status_if(int fd, uint64_t device, uint64_t inode, struct file_status *status)
{
    (void)device;
    (void)inode;
    return mmgi_file_status(fd, status);
}

void
mmgi_file_close_if(int fd, uint64_t device, uint64_t inode)
{
    (void)device;
    (void)inode;
    mmgi_file_close(fd);
}

int
mmgi_file_status_with_mount(int fd, struct file_status *status)
{
    (void)fd;
    memset(status, 0, sizeof *status);
    return ENOTSUP;
}

int
mmgi_file_status_of_path(const char *path, bool follow, struct file_status *status)
{
    (void)path;
    return mmgi_file_status(follow ? 0 : 1, status);
}

enum file_medium
mmgi_file_medium(const char *path)
{
    (void)path;
    return FILE_MEDIUM_DISK;
}

bool
mmgi_file_is_program(const char *path)
{
    (void)path;
    return false;
}

int
mmgi_file_probe(int fd, uint64_t offset)
{
    (void)fd;
    (void)offset;
    return ENOTSUP;
}

int
mmgi_file_device_size(int fd, uint64_t *size)
{
    (void)fd;
    *size = 0;
    return ENOTSUP;
}

int
mmgi_file_check_readable(int fd)
{
    (void)fd;
    return 0; /* the next call reports what is not supported */
}

int
mmgi_file_check_writers(int fd)
{
    (void)fd;
    return ENOTSUP;
}

size_t
mmgi_file_page_size(int fd, const struct file_status *status)
{
    (void)fd;
    (void)status;
    return STUB_PAGE;
}

int
mmgi_file_read_at(int fd, uint64_t offset, void *buffer, size_t size, size_t *got)
{
    (void)fd;
    (void)offset;
    (void)buffer;
    (void)size;
    *got = 0;
    return ENOTSUP;
}

bool
mmgi_file_equals(int fd, uint64_t offset, const void *bytes, size_t size)
{
    (void)fd;
    (void)offset;
    (void)bytes;
    return size == 0;
}

bool
mmgi_files_equal(int fd, int other, uint64_t offset, size_t size)
{
    (void)other;
    return mmgi_file_equals(fd, offset, NULL, size);
}

int
mmgi_file_evict(int fd, uint64_t offset, uint64_t length)
{
    (void)fd;
    (void)offset;
    (void)length;
    return ENOSYS;
}

int
mmgi_stream_read(struct stream *stream)
{
    stream->data = NULL;
    stream->size = 0;
    return ENOTSUP;
}

int
mmgi_lock_try(int fd, uint32_t kind)
{
    (void)fd;
    (void)kind;
    return ENOTSUP;
}

int
mmgi_lock_wait(int fd, uint32_t kind, uint32_t wait_ms)
{
    (void)wait_ms;
    return mmgi_lock_try(fd, kind);
}

bool
mmgi_lock_ofd_is_known(void)
{
    return false;
}

bool
mmgi_lease_is_known(void)
{
    return false;
}

void
mmgi_lock_drop(int fd, uint32_t kind)
{
    (void)fd;
    (void)kind;
}

bool
mmgi_lock_is_missing(int os_code)
{
    return os_code == ENOTSUP;
}

void
mmgi_file_system_find(int fd, const struct file_status *status, struct file_system *file_system)
{
    (void)fd;
    (void)status;
    memset(file_system, 0, sizeof *file_system);
    file_system->lock = FILE_SYSTEM_LOCK_NOT_LOCAL;
}

bool
mmgi_file_system_memory_is_sealed(int fd)
{
    (void)fd;
    return false;
}
