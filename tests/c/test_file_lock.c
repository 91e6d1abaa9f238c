/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the locks of the system behind the contract of os/file_lock.h, also where the system refuses the calls: both kinds,
 * alone, against another holder, with a wait, and given back.
 */
#include "forbid.h"
#include "locks.h"

#include "os/file_lock.h"

static const uint32_t kinds[] = {MMG_LOCK_SHARED, MMG_LOCK_OFD};

static bool
is_locked(const char *path, uint32_t kind)
{
    return kind == MMG_LOCK_OFD ? !can_posix_lock(path, F_WRLCK) : !can_flock(path, LOCK_EX);
}

static void
a_lock_is_shared_and_lasts_until_it_is_dropped(void)
{
    const char *path = check_file("file", 100);
    for (size_t index = 0; index < 2; index++) {
        const int one = other(path), two = other(path);
        CHECK_I64(mmgi_lock_try(one, kinds[index]), 0);
        CHECK_I64(mmgi_lock_try(two, kinds[index]), 0);
        CHECK(is_locked(path, kinds[index]));
        CHECK(!is_locked(path, kinds[1 - index]));
        mmgi_lock_drop(one, kinds[index]);
        CHECK(is_locked(path, kinds[index]));
        mmgi_lock_drop(two, MMG_LOCK_NONE);
        mmgi_lock_drop(two, kinds[1 - index]);
        CHECK(is_locked(path, kinds[index]));
        mmgi_lock_drop(two, kinds[index]);
        CHECK(!is_locked(path, kinds[index]));
        close(one);
        close(two);
    }
}

static void
a_lock_that_is_held_elsewhere_is_waited_for_as_long_as_wanted(void)
{
    const char *path = check_file("file", 100);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    for (size_t index = 0; index < 2; index++) {
        const int holder = other(path), fd = other(path);
        REQUIRE(index == 0 ? flock(holder, LOCK_EX | LOCK_NB) == 0 : fcntl(holder, F_OFD_SETLK, &whole) == 0);
        CHECK_I64(mmgi_lock_try(fd, kinds[index]), EWOULDBLOCK);
        CHECK_I64(mmgi_lock_wait(fd, kinds[index], 0), EWOULDBLOCK);
        CHECK_I64(mmgi_lock_wait(fd, kinds[index], 50), EWOULDBLOCK);
        close(holder);
        CHECK_I64(mmgi_lock_wait(fd, kinds[index], MMG_WAIT_FOREVER), 0);
        CHECK(is_locked(path, kinds[index]));
        close(fd);
        CHECK(!is_locked(path, kinds[index]));
    }
    CHECK_I64(mmgi_lock_try(-1, MMG_LOCK_SHARED), EBADF);
    CHECK_I64(mmgi_lock_wait(-1, MMG_LOCK_OFD, MMG_WAIT_FOREVER), EBADF);
}

static void
only_a_holder_elsewhere_means_that_there_are_locks(void)
{
    CHECK(!mmgi_lock_is_missing(0));
    CHECK(!mmgi_lock_is_missing(EWOULDBLOCK));
    CHECK(mmgi_lock_is_missing(ENOLCK));
    CHECK(mmgi_lock_is_missing(EACCES));
}

static void
ask_without(void *call)
{
    CHECK(mmgi_lock_ofd_is_known());
    REQUIRE(forbid(*(const long *)call, EINVAL));
    CHECK(!mmgi_lock_ofd_is_known());
    CHECK(!mmgi_lease_is_known());
}

/** A kernel that refuses the call does not know the lock. */
static void
what_the_kernel_refuses_is_not_known(void)
{
    static long calls[] = {SYS_memfd_create, SYS_fcntl};
    if (check_under_valgrind() || check_under_qemu() || check_is_slow() || sizeof(long) < sizeof(uint64_t)) {
        check_skip("valgrind, qemu and sanitizers make these calls themselves, and 32-bit systems have other ones");
        return;
    }
    CHECK_EXITED(check_child(ask_without, &calls[0]));
    CHECK_EXITED(check_child(ask_without, &calls[1]));
}

static const struct check_case cases[] = {
    {"a lock is shared and lasts until it is dropped", a_lock_is_shared_and_lasts_until_it_is_dropped, 0},
    {"a lock that is held elsewhere is waited for as long as wanted",
     a_lock_that_is_held_elsewhere_is_waited_for_as_long_as_wanted, 0},
    {"only a holder elsewhere means that there are locks", only_a_holder_elsewhere_means_that_there_are_locks, 0},
    {"what the kernel refuses is not known", what_the_kernel_refuses_is_not_known, 0},
};

CHECK_MAIN(cases)
