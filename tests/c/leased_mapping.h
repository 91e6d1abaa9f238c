/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Helper for tests of the voucher of leases: one mapping of a file, in the registry, with a lease or without.
 */
#ifndef MMAPGUARD_TESTS_LEASED_MAPPING_H
#define MMAPGUARD_TESTS_LEASED_MAPPING_H

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "guard/registry.h"
#include "guard/vouch.h"
#include "os/clock.h"
#include "os/fork_mark.h"
#include "os/lease.h"
#include "os/signal.h"
#include "stable/leased_file.h"

#define FAR INT64_C(1000000000000)

static struct subject {
    char path[4096];
    int fd;
    uint8_t *bytes;
    size_t length;
    uint32_t number;
    bool has_lease;
} subject;

static inline void
nothing(void)
{
}

/** Maps a file with a lease, if there is one to be had, and registers the mapping. */
static inline void
begin(bool with_lease)
{
    struct stat status;
    subject.length = (size_t)(4 * check_page());
    snprintf(subject.path, sizeof subject.path, "%s", check_file("file", subject.length));
    subject.fd = open(subject.path, O_RDONLY | O_CLOEXEC);
    REQUIRE(subject.fd >= 0 && fstat(subject.fd, &status) == 0);
    subject.bytes = mmap(NULL, subject.length, PROT_READ, MAP_SHARED, subject.fd, 0);
    REQUIRE(subject.bytes != MAP_FAILED);
    static const struct mapping_owner owner = {.path = NULL};
    const struct registration r = {.start = subject.bytes,
                                   .length = subject.length,
                                   .page = (size_t)check_page(),
                                   .size = subject.length,
                                   .fd = subject.fd,
                                   .device = status.st_dev,
                                   .inode = status.st_ino,
                                   .owner = &owner};
    subject.number = mmgi_registry_add(&r);
    subject.has_lease = with_lease && mmgi_lease_take(subject.fd, (int)syscall(SYS_gettid)) == 0;
    mmgi_fork_mark_set(nothing);
    mmgi_vouch_set_voucher(mmgi_lease_vouch);
    mmgi_vouch(subject.number, 1); /* a moment of long ago */
}

/** Returns false, and skips the case, where a forked child does not know that it is one unless a hook of the library runs. */
static inline bool
children_are_known(void)
{
    if (check_under_qemu()) {
        check_skip("qemu-user does not wipe memory at a fork (MADV_WIPEONFORK), and answers that it will");
    }
    return !check_under_qemu();
}

static inline void
end(void)
{
    if (subject.has_lease) {
        mmgi_lease_give_up(subject.fd);
    }
    mmgi_vouch(subject.number, VOUCHED_FOR_EVER);
    mmgi_registry_remove(subject.number);
    munmap(subject.bytes, subject.length);
    close(subject.fd);
}

/** Returns the moment up to which the bytes are vouched for. */
static inline int64_t
vouched(void)
{
    bool is_own;
    return mmgi_vouched(subject.number, &is_own);
}

static inline mmg_status
loss(void)
{
    struct losses losses;
    mmgi_registry_losses(subject.number, &losses);
    return losses.cause;
}

#endif
