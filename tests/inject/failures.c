/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The failures that are injected: each function of libc, and the errors with which a kernel or a C library may make it
 * fail.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "inject.h"

const struct failing failings[] = {
    {SHIM_open, {EINTR, EMFILE, ENFILE, ENOMEM, EACCES, EIO, ENXIO, ELOOP}},
    {SHIM_open64, {EINTR, EMFILE, ENFILE, ENOMEM, EACCES, EIO, ENXIO, ELOOP}},
    {SHIM___open64_2, {EINTR, EMFILE, ENFILE, ENOMEM, EACCES, EIO}},
    {SHIM_fcntl, {EINTR, EMFILE, EAGAIN, EACCES, ENOLCK, EINVAL, EBADF, ENOMEM}},
    {SHIM_fcntl64, {EINTR, EMFILE, EAGAIN, EACCES, ENOLCK, EINVAL, EBADF, ENOMEM}},
    {SHIM_dup3, {EINTR, EBUSY, EMFILE}},
    {SHIM_flock, {EINTR, EWOULDBLOCK, ENOLCK, EOPNOTSUPP, EINVAL, ENOSYS, EIO}},
    {SHIM_fstat, {EIO, ESTALE, ENOMEM, EOVERFLOW}},
    {SHIM_fstat64, {EIO, ESTALE, ENOMEM, EOVERFLOW}},
    {SHIM___fxstat64, {EIO, ESTALE, ENOMEM, EOVERFLOW}},
    {SHIM_stat, {ENOENT, EACCES, EIO, ENOMEM}},
    {SHIM_stat64, {ENOENT, EACCES, EIO, ENOMEM}},
    {SHIM___xstat64, {ENOENT, EACCES, EIO, ENOMEM}},
    {SHIM_lstat, {ENOENT, EACCES, EIO}},
    {SHIM_lstat64, {ENOENT, EACCES, EIO}},
    {SHIM___lxstat64, {ENOENT, EACCES, EIO}},
    {SHIM_fstatfs, {ENOSYS, EIO, ESTALE}},
    {SHIM_fstatfs64, {ENOSYS, EIO, ESTALE}},
    {SHIM_ioctl, {ENOTTY, EOPNOTSUPP, EXDEV, EINVAL, EIO, ENOSPC, EINTR}},
    {SHIM_mmap, {ENOMEM, ENODEV, EAGAIN, EACCES, EPERM, EINVAL, ENFILE, EOVERFLOW}},
    {SHIM_mmap64, {ENOMEM, ENODEV, EAGAIN, EACCES, EPERM, EINVAL, ENFILE, EOVERFLOW}},
    {SHIM_munmap, {ENOMEM, EINVAL}},
    {SHIM_mprotect, {ENOMEM, EACCES}},
    {SHIM_mremap, {ENOMEM, EFAULT, EINVAL}},
    {SHIM_madvise, {EAGAIN, EIO, ENOMEM, EINVAL, EFAULT, EINTR, EBADF}},
    {SHIM_mincore, {EAGAIN, ENOMEM}},
    {SHIM_read, {EINTR, EIO, ENOMEM, ESTALE, EAGAIN, EISDIR, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM___read_chk, {EINTR, EIO, ENOMEM, ESTALE, EAGAIN, EISDIR, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM_pread, {EINTR, EIO, ENOMEM, ESTALE, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM_pread64, {EINTR, EIO, ENOMEM, ESTALE, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM___pread64_chk, {EINTR, EIO, ENOMEM, ESTALE, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM_pwrite, {EINTR, EIO, ENOSPC, EDQUOT, SHIM_ONE_BYTE, SHIM_HALF}},
    {SHIM_pwrite64, {EINTR, EIO, ENOSPC, EDQUOT, SHIM_ONE_BYTE, SHIM_HALF}},
    {SHIM_copy_file_range, {EINTR, EXDEV, EOPNOTSUPP, ENOSYS, EIO, ENOSPC, EINVAL, SHIM_ONE_BYTE, SHIM_HALF}},
    {SHIM_poll, {EINTR, ENOMEM, EINVAL}},
    {SHIM___poll_chk, {EINTR, ENOMEM, EINVAL}},
    {SHIM_nanosleep, {EINTR}},
    {SHIM_readlink, {ENOENT, EACCES, EIO}},
    {SHIM_getentropy, {ENOSYS, EIO}},
    {SHIM_sigaction, {EINVAL}},
    {SHIM_sigwaitinfo, {EINTR}},
    {SHIM_sigtimedwait, {EINTR, EAGAIN}},
    {SHIM_syscall,
     {ENOSYS, EPERM, ENOENT, EACCES, EMFILE, ENFILE, ENOMEM, ENOTTY, EINTR, EIO, SHIM_ONE_BYTE, SHIM_HALF}},
    {SHIM_process_vm_readv, {EINTR, EPERM, ENOSYS, ENOMEM}},
    {SHIM_statfs64, {ENOSYS, EACCES, EIO}},
    {SHIM_close, {EINTR, EIO}},
    {SHIM_pthread_create, {EAGAIN}},
    {SHIM_posix_fadvise, {EINTR, ENOSYS, EPERM, EIO}},
    {SHIM_posix_fadvise64, {EINTR, ENOSYS, EPERM, EIO}},
    {SHIM_malloc, {ENOMEM}},
    {SHIM_calloc, {ENOMEM}},
    {SHIM_realloc, {ENOMEM}},
    {SHIM_aligned_alloc, {ENOMEM}},
};
#define FAILINGS (sizeof failings / sizeof *failings)

const size_t failing_count = sizeof failings / sizeof *failings;

bool
is_invisible(enum shim_function function, int code)
{
    if (code == SHIM_HOOK) { /* the size of the file changes before the call, so any status may follow */
        return false;
    }
    return code == EINTR || code == SHIM_ONE_BYTE || code == SHIM_HALF || function == SHIM_close ||
           function == SHIM_munmap || function == SHIM_getentropy || function == SHIM_fstatfs64 ||
           function == SHIM_fstatfs || function == SHIM_statfs64;
}

const char *
code_name(int code)
{
    return code == SHIM_ONE_BYTE ? "one byte"
           : code == SHIM_HALF   ? "half of it"
           : code == SHIM_END    ? "a premature end"
           : code == SHIM_HOOK   ? "another size of the file"
                                 : strerror(code);
}

bool
is_allocation(enum shim_function function)
{
    return function == SHIM_malloc || function == SHIM_calloc || function == SHIM_realloc ||
           function == SHIM_aligned_alloc;
}

bool
may_last(enum shim_function function, int code)
{
    return !is_invisible(function, code) && code != SHIM_END && code != EAGAIN;
}
