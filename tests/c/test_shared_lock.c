/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the lock that many regions of a file share, at the room that hands it out: who holds it after each share is given
 * back, after a refusal, and after the host has closed or replaced the descriptor that had it.
 */
#include "locks.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include "region/shared_lock.h"

/* So many shares lock their own descriptors; the next ones share one lock (shared_lock.c). */
#define FEW 8
#define MOST 12

/* Descriptions of one file, with a share each. */
static struct shares {
    const char *path;
    uint32_t kind;
    uint64_t device, inode;
    int fd[MOST];
    struct lock_share share[MOST];
    int count;
} shares;

static void
begin(uint32_t kind)
{
    struct stat status;
    shares = (struct shares){.path = check_file("locked", 100000), .kind = kind};
    REQUIRE(stat(shares.path, &status) == 0);
    shares.device = status.st_dev;
    shares.inode = status.st_ino;
}

/** Takes one more share, and returns what the call returns. */
static int
take(void)
{
    const int fd = other(shares.path);
    const int os_code = mmgi_shared_lock_take(fd, shares.kind, shares.device, shares.inode,
                                              &shares.share[shares.count]);
    if (os_code == 0) {
        shares.fd[shares.count++] = fd;
    } else {
        close(fd);
    }
    return os_code;
}

static void
drop(int index, bool unlock)
{
    mmgi_shared_lock_drop(&shares.share[index], shares.kind, shares.fd[index], unlock);
    CHECK(shares.share[index].count == 0 && shares.share[index].lock == NULL); /* so nothing is given back twice */
    if (shares.fd[index] >= 0) {
        close(shares.fd[index]);
    }
    shares.fd[index] = -1;
}

static bool
is_locked(void)
{
    return shares.kind == MMG_LOCK_OFD ? !can_posix_lock(shares.path, F_WRLCK) : !can_flock(shares.path, LOCK_EX);
}

static const uint32_t kinds[] = {MMG_LOCK_SHARED, MMG_LOCK_OFD};

/** The order of the ends does not matter: the lock lasts as long as one share, also when its first holder has ended. */
static void
the_lock_ends_with_the_last_share(void)
{
    for (unsigned round = 0; round < 8; round++) {
        begin(kinds[round % 2]);
        CHECK(mmgi_shared_lock_is_needless());
        for (int index = 0; index < MOST; index++) {
            CHECK_I64(take(), 0);
            CHECK((shares.share[index].lock != NULL) == (index >= FEW));
            CHECK(mmgi_shared_lock_is_needless() == (index + 1 < FEW));
        }
        const bool is_backwards = (round & 2) != 0, unlocks = (round & 4) != 0;
        for (int index = 0; index < MOST; index++) {
            CHECK(is_locked());
            drop(is_backwards ? MOST - 1 - index : index, unlocks);
        }
        CHECK(!is_locked());
        CHECK(mmgi_shared_lock_is_needless());
    }
}

/** The shares of one kind of lock are no shares of the other kind, and those of one file none of another file. */
static void
each_file_and_each_kind_has_a_lock_of_its_own(void)
{
    struct stat status;
    struct lock_share ofd, stranger;
    const char *path = check_file("stranger", 10);
    REQUIRE(stat(path, &status) == 0);
    begin(MMG_LOCK_SHARED);
    for (int index = 0; index < FEW + 2; index++) {
        CHECK_I64(take(), 0);
    }
    const int fd = other(shares.path), strange = other(path);
    CHECK_I64(mmgi_shared_lock_take(fd, MMG_LOCK_OFD, shares.device, shares.inode, &ofd), 0);
    CHECK(ofd.lock != NULL && ofd.lock != shares.share[FEW].lock);
    CHECK(!can_posix_lock(shares.path, F_WRLCK));
    CHECK_I64(mmgi_shared_lock_take(strange, MMG_LOCK_SHARED, status.st_dev, status.st_ino, &stranger), 0);
    CHECK(stranger.lock == NULL || stranger.lock != shares.share[FEW].lock);
    CHECK(!can_flock(path, LOCK_EX));
    mmgi_shared_lock_drop(&ofd, MMG_LOCK_OFD, fd, true);
    CHECK(can_posix_lock(shares.path, F_WRLCK));
    CHECK(is_locked());
    mmgi_shared_lock_drop(&stranger, MMG_LOCK_SHARED, strange, true);
    CHECK(can_flock(path, LOCK_EX));
    close(fd);
    close(strange);
    for (int index = 0; index < shares.count; index++) {
        drop(index, false);
    }
    CHECK(!is_locked());
}

/** A lock that another process holds refuses a share, and the refusal leaves nothing behind that a later share could trust. */
static void
a_refused_share_is_no_share(void)
{
    for (size_t kind = 0; kind < 2; kind++) {
        begin(kinds[kind]);
        struct lock_share counted[FEW];
        for (size_t index = 0; index < FEW; index++) {
            mmgi_shared_lock_count(shares.device, shares.inode, &counted[index]);
        }
        const int holder = other(shares.path);
        struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        REQUIRE(kind == 0 ? flock(holder, LOCK_EX | LOCK_NB) == 0 : fcntl(holder, F_OFD_SETLK, &whole) == 0);
        CHECK_I64(take(), EWOULDBLOCK);
        CHECK_I64(take(), EWOULDBLOCK);
        close(holder);
        CHECK(!is_locked());
        CHECK_I64(take(), 0);
        CHECK(is_locked());
        CHECK_I64(take(), 0);
        drop(0, false);
        CHECK(is_locked());
        drop(1, false);
        CHECK(!is_locked());
        for (size_t index = 0; index < FEW; index++) {
            mmgi_shared_lock_drop(&counted[index], MMG_LOCK_NONE, -1, true);
        }
        CHECK(mmgi_shared_lock_is_needless());
    }
}

/** The host closes the first descriptor, and gives its number to another file: the next share takes the lock again. */
static void
a_lock_whose_descriptor_is_gone_is_taken_again(void)
{
    const char *path = check_file("of the host", 10);
    for (unsigned is_replaced = 0; is_replaced <= 1; is_replaced++) {
        begin(MMG_LOCK_SHARED);
        for (int index = 0; index <= FEW; index++) {
            CHECK_I64(take(), 0);
        }
        for (int index = 0; index < FEW; index++) {
            drop(index, false);
        }
        CHECK(is_locked());
        const int host = other(path);
        const int lost = shares.fd[FEW];
        REQUIRE(is_replaced ? dup2(host, lost) == lost : close(lost) == 0);
        CHECK(!is_locked());
        struct lock_share counted[FEW];
        for (size_t index = 0; index < FEW; index++) {
            mmgi_shared_lock_count(shares.device, shares.inode, &counted[index]);
        }
        CHECK_I64(take(), 0);
        CHECK(is_locked());
        CHECK(shares.share[FEW].lock == shares.share[FEW + 1].lock);
        shares.fd[FEW] = -1;
        drop(FEW, false);
        CHECK(is_locked());
        CHECK(can_flock(path, LOCK_EX)); /* nobody has locked the file of the host */
        drop(FEW + 1, false);
        CHECK(!is_locked());
        for (size_t index = 0; index < FEW; index++) {
            mmgi_shared_lock_drop(&counted[index], MMG_LOCK_NONE, -1, true);
        }
        if (is_replaced) {
            CHECK(fcntl(lost, F_GETFD) >= 0); /* the host's descriptor is the host's */
            close(lost);
        }
        close(host);
    }
}

/** A file of up to 64 KiB is nearly always copied, and gives its lock back at once. So its regions are not counted. */
static void
a_small_file_shares_no_lock(void)
{
    for (uint64_t size = 65535; size <= 65537; size++) {
        const mmg_options options = check_backing(MMG_BACKING_MAP);
        mmg_handle handles[FEW];
        const char *path = check_file("file", size);
        for (size_t index = 0; index < FEW; index++) {
            handles[index] = check_open(path, &options);
        }
        if (check_info(handles[0]).lock != MMG_LOCK_SHARED) {
            check_skip("the file system under TMPDIR has no lock of this kernel");
        } else {
            CHECK(mmgi_shared_lock_is_needless() == (size <= 65536));
        }
        for (size_t index = 0; index < FEW; index++) {
            CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
        }
        CHECK(mmgi_shared_lock_is_needless());
    }
}

static const struct check_case cases[] = {
    {"a small file shares no lock", a_small_file_shares_no_lock, 0},
    {"the lock ends with the last share", the_lock_ends_with_the_last_share, 0},
    {"each file and each kind has a lock of its own", each_file_and_each_kind_has_a_lock_of_its_own, 0},
    {"a refused share is no share", a_refused_share_is_no_share, 0},
    {"a lock whose descriptor is gone is taken again", a_lock_whose_descriptor_is_gone_is_taken_again, 0},
};

CHECK_MAIN(cases)
