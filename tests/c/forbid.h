/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helper for tests of what the library does where the system refuses a call, as in a sandbox or on an old kernel.
 */
#ifndef MMAPGUARD_TESTS_FORBID_H
#define MMAPGUARD_TESTS_FORBID_H

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "check.h"

/** Puts a filter on the system calls of this process. Returns false where the system has no filters. */
static inline bool
forbid_by(struct sock_filter *lines, size_t count)
{
    const struct sock_fprog filter = {(unsigned short)count, lines};

    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

/**
 * Makes a system call fail with an errno in this process, from now on: nothing takes a filter away, so this is for child
 * processes. Returns false where the system has no filters.
 */
static inline bool
forbid(long number, int os_code)
{
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)os_code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    return forbid_by(lines, sizeof lines / sizeof *lines);
}

/** Does the same, for calls only that have this value of 32 bits as the argument of this index. */
static inline bool
forbid_with(long number, unsigned index, uint32_t value, int os_code)
{
    const uint32_t low = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? 4 : 0;
    const uint32_t argument = (uint32_t)(offsetof(struct seccomp_data, args) + index * sizeof(uint64_t)) + low;
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, argument),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)os_code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };

    return forbid_by(lines, sizeof lines / sizeof *lines);
}

/** Does the same, for calls that open a file with exactly these flags. C libraries make them in several ways. */
static inline bool
forbid_opening(uint32_t flags, int os_code)
{
    const uint32_t large = flags | (uint32_t)O_LARGEFILE;
    bool done = forbid_with(SYS_openat, 2, flags, os_code) && forbid_with(SYS_openat, 2, large, os_code);

#ifdef SYS_open
    done = done && forbid_with(SYS_open, 1, flags, os_code) && forbid_with(SYS_open, 1, large, os_code);
#endif
    return done;
}

#endif
