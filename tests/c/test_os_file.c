/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the questions about one file behind the contract of os/file.h, and how files are opened: by a descriptor, and where
 * another process holds a write lease.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "os/linux/fd_path.h"
#include "os/file.h"
#include "os/map.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif

/** The path of every descriptor, or NULL for its own. */
static const char *elsewhere;

const char *__real_mmgi_fd_path(int fd, struct fd_path *path);
const char *__wrap_mmgi_fd_path(int fd, struct fd_path *path);

const char *
__wrap_mmgi_fd_path(int fd, struct fd_path *path)
{
    return elsewhere != NULL ? elsewhere : __real_mmgi_fd_path(fd, path);
}

static int
open_file(const char *path, int flags)
{
    const int fd = open(path, flags | O_CLOEXEC);
    REQUIRE(fd >= 0);
    return fd;
}

static void
a_program_is_known_by_its_first_bytes(void)
{
    CHECK(mmgi_file_is_program("/proc/self/exe") || check_under_qemu() || errno == ELOOP);
    CHECK(mmgi_file_is_program(check_file_with("elf", "\177ELF and so on", 13)));
    CHECK(mmgi_file_is_program(check_file_with("pe", "MZ\220", 4)));
    CHECK(!mmgi_file_is_program(check_file_with("short", "MZ", 2)));
    CHECK(!mmgi_file_is_program(check_file_with("other", "\177ELG", 4)));
    CHECK(!mmgi_file_is_program(check_file_with("empty", "", 0)));
    CHECK(!mmgi_file_is_program(check_path("missing")));
}

static void
a_probe_tells_a_byte_from_the_end_and_from_a_failure(void)
{
    const int fd = open_file(check_file("file", 100), O_RDONLY);
    CHECK_I64(mmgi_file_probe(fd, 0), 0);
    CHECK_I64(mmgi_file_probe(fd, 99), 0);
    CHECK_I64(mmgi_file_probe(fd, 100), ENODATA);
    CHECK_I64(mmgi_file_probe(-1, 0), EBADF);
    close(fd);
}

static void
a_file_that_is_open_for_writing_has_writers(void)
{
    const char *path = check_file("file", 100);
    int ends[2];
    if (!check_kernel_has_leases()) {
        check_skip("the file system under TMPDIR gives no lease");
        return;
    }
    const int reader = open_file(path, O_RDONLY);
    CHECK_I64(mmgi_file_check_writers(reader), 0);
    const int writer = open_file(path, O_WRONLY | O_NONBLOCK); /* the question has left no lease */
    CHECK_I64(mmgi_file_check_writers(reader), EWOULDBLOCK);
    close(writer);
    CHECK_I64(mmgi_file_check_writers(reader), 0);
    close(reader);
    CHECK_I64(mmgi_file_check_writers(-1), ENOTSUP);
    REQUIRE(pipe(ends) == 0);
    CHECK_I64(mmgi_file_check_writers(ends[0]), ENOTSUP);
    close(ends[0]);
    close(ends[1]);
}

/** The pages of hugetlbfs are larger. A file there needs no page to be asked about. */
static void
only_hugetlbfs_has_pages_of_another_size(void)
{
    const size_t page = mmgi_map_page_size();
    struct file_status status;
    struct fd_path link;
    int fd = open_file(check_file("file", 100), O_RDONLY);
    REQUIRE(mmgi_file_status(fd, &status) == 0);
    CHECK_U64(mmgi_file_page_size(fd, &status), page);
    status.block_size = (uint32_t)(16 * page); /* a file system may have large blocks */
    CHECK_U64(mmgi_file_page_size(fd, &status), page);
    CHECK_U64(mmgi_file_page_size(-1, &status), page);
    CHECK_I64(mmgi_file_medium(check_path("missing")), FILE_MEDIUM_DISK);
    CHECK_I64(mmgi_file_medium("/proc/self/status"), FILE_MEDIUM_DISK);
    close(fd);
    fd = memfd_create("memory", MFD_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_I64(mmgi_file_medium(mmgi_fd_path(fd, &link)), FILE_MEDIUM_MEMORY);
    close(fd);
    fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB);
    if (fd < 0) {
        check_skip("this kernel has no huge pages");
        return;
    }
    REQUIRE(mmgi_file_status(fd, &status) == 0);
    CHECK(mmgi_file_page_size(fd, &status) > page);
    CHECK_U64(mmgi_file_page_size(fd, &status), status.block_size);
    CHECK_I64(mmgi_file_medium(mmgi_fd_path(fd, &link)), FILE_MEDIUM_HUGE);
    close(fd);
}

/** In a process without standard input the lowest free descriptor is 0, which is a descriptor like any other. */
static void
a_duplicate_may_have_the_number_0(void)
{
    int fresh = 77;
    const int low = open_file(check_file("file", 100), O_RDONLY); /* 0, where this process has no standard input */
    const int fd = fcntl(low, F_DUPFD_CLOEXEC, 3);
    const int input = low == 0 ? -1 : fcntl(0, F_DUPFD_CLOEXEC, 3);
    REQUIRE(fd >= 3);
    close(low);
    close(0);
    errno = EDOM;
    CHECK_I64(mmgi_file_duplicate(fd, &fresh), 0);
    CHECK_I64(fresh, 0);
    CHECK(lseek(fresh, 5, SEEK_SET) == 5 && lseek(fd, 0, SEEK_CUR) == 5); /* the same open file */
    CHECK_I64(fcntl(fresh, F_GETFD), FD_CLOEXEC);
    close(fresh);
    if (input >= 0) {
        REQUIRE(dup2(input, 0) == 0);
        close(input);
    }
    close(fd);
    CHECK_I64(mmgi_file_duplicate(-1, &fresh), EBADF);
}

static void
a_descriptor_that_is_closed_cannot_be_reopened(void)
{
    int fresh = 77;
    const int fd = open_file(check_file("file", 100), O_RDONLY);
    REQUIRE(mmgi_file_reopen(fd, &fresh) == 0);
    CHECK(lseek(fresh, 5, SEEK_SET) == 5 && lseek(fd, 0, SEEK_CUR) == 0); /* an open file of its own */
    close(fresh);
    close(fd);
    CHECK_I64(mmgi_file_reopen(fd, &fresh), ENOSYS);
    CHECK_I64(fresh, -1);
}

/** The path of a descriptor may lead elsewhere, where another thread has closed it and opened a file with its number. */
static void
what_is_reopened_is_the_same_file(void)
{
    int fresh = 77;
    const int fd = open_file(check_file("file", 100), O_RDONLY);
    elsewhere = check_file("other", 100);
    CHECK_I64(mmgi_file_reopen(fd, &fresh), ESTALE);
    CHECK_I64(fresh, -1);
    elsewhere = check_path("file");
    CHECK_I64(mmgi_file_reopen(fd, &fresh), 0);
    elsewhere = NULL;
    close(fresh);
    close(fd);
}

/* --------------------------------------------------------------------------------------------------- write leases -- */

static void
open_beside_a_write_lease(void *flags)
{
    int fd = -1;
    CHECK_I64(mmgi_file_open(check_path("leased"), *(const unsigned *)flags, &fd), 0);
    CHECK(fd >= 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) == 0);
    CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
}

/** Holds a write lease until another process has tried to open the file. */
static void
hold_a_write_lease(void *flags)
{
    sigset_t io;
    int wait_status = 0;
    sigemptyset(&io);
    sigaddset(&io, SIGIO);
    REQUIRE(sigprocmask(SIG_BLOCK, &io, NULL) == 0);
    const int fd = open_file(check_file("leased", 100), O_RDWR);
    REQUIRE(fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
    const pid_t other = fork();
    REQUIRE(other >= 0);
    if (other == 0) {
        open_beside_a_write_lease(flags);
        check_child_end();
    }
    CHECK_I64(sigwaitinfo(&io, NULL), SIGIO);
    CHECK_I64(waitpid(other, &wait_status, WNOHANG), 0); /* it waits */
    REQUIRE(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
    REQUIRE(waitpid(other, &wait_status, 0) == other);
    CHECK_EXITED(wait_status);
    close(fd);
}

static void
an_open_waits_for_the_holder_of_a_write_lease(void)
{
    unsigned flags[] = {0, FILE_OPEN_NOFOLLOW, FILE_OPEN_BLOCKING};
    if (!check_kernel_has_leases() || check_under_qemu()) {
        check_skip("the file system under TMPDIR gives no lease, or qemu-user does not deliver the signal of a break");
        return;
    }
    for (size_t index = 0; index < 3; index++) {
        CHECK_EXITED(check_child(hold_a_write_lease, &flags[index]));
    }
}

/** Only the question about a file system tells of mounts and of verity. Every other member is that of fstat(2). */
static void
a_status_has_what_the_kernel_says_and_nothing_else(void)
{
    const char *path = check_file("file", 777);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct file_status found, named;
    struct stat expected;
    REQUIRE(fd >= 0 && fstat(fd, &expected) == 0);
    memset(&found, 0x5A, sizeof found);
    memset(&named, 0x5A, sizeof named);
    REQUIRE(mmgi_file_status(fd, &found) == 0 && mmgi_file_status_of_path(path, true, &named) == 0);
    const struct file_status *const both[] = {&found, &named};
    for (size_t index = 0; index < 2; index++) {
        CHECK_I64(both[index]->kind, FILE_KIND_REGULAR);
        CHECK_U64(both[index]->device, (uint64_t)expected.st_dev);
        CHECK_U64(both[index]->inode, (uint64_t)expected.st_ino);
        CHECK_U64(both[index]->size, 777);
        CHECK_U64(both[index]->links, 1);
        CHECK_U64(both[index]->block_size, (uint64_t)expected.st_blksize);
        CHECK_I64(both[index]->modified.seconds, expected.st_mtim.tv_sec);
        CHECK_I64(both[index]->modified.nanoseconds, expected.st_mtim.tv_nsec);
        CHECK_I64(both[index]->changed.seconds, expected.st_ctim.tv_sec);
        CHECK_I64(both[index]->changed.nanoseconds, expected.st_ctim.tv_nsec);
        CHECK_U64(both[index]->mount, 0);
        CHECK(!both[index]->has_verity);
    }
    CHECK_I64(mmgi_file_status_if(fd, found.device, found.inode, &named), 0);
    CHECK_I64(mmgi_file_status_if(fd, found.device, found.inode + 1, &named), EBADF);
    CHECK_I64(mmgi_file_status_if(fd, found.device + 1, found.inode, &named), EBADF);
    close(fd);
    CHECK_I64(mmgi_file_status(fd, &named), EBADF);
}

/** The number of a mount keeps two mounts of one device apart. Kernels before 6.8 have none that is used only once. */
static void
a_status_tells_of_the_mount_if_the_kernel_does(void)
{
    enum {
        MASK = 0,
        MOUNT = 144,
        BASIC = 0x7ff,
        UNIQUE = 0x4000
    };
    uint8_t answer[256] = {0};
    struct file_status plain, full;
    uint32_t mask = 0;
    uint64_t mount = 0;
    const int fd = open_file(check_file("file", 777), O_RDONLY);
#ifdef SYS_statx
    if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, BASIC | UNIQUE, answer) == 0) {
        memcpy(&mask, answer + MASK, sizeof mask);
        memcpy(&mount, answer + MOUNT, sizeof mount);
    }
#endif
    memset(&full, 0x5A, sizeof full);
    REQUIRE(mmgi_file_status(fd, &plain) == 0 && mmgi_file_status_with_mount(fd, &full) == 0);
    CHECK_U64(full.mount, (mask & UNIQUE) != 0 ? mount : 0);
    CHECK(full.kind == plain.kind && full.device == plain.device && full.inode == plain.inode);
    CHECK(full.size == 777 && full.links == 1 && full.block_size == plain.block_size);
    CHECK(file_time_equals(full.modified, plain.modified) && file_time_equals(full.changed, plain.changed));
    close(fd);
    CHECK_I64(mmgi_file_status_with_mount(fd, &full), EBADF);
}

static const struct check_case cases[] = {
    {"a status tells of the mount if the kernel does", a_status_tells_of_the_mount_if_the_kernel_does, 0},
    {"what is reopened is the same file", what_is_reopened_is_the_same_file, 0},
    {"a status has what the kernel says and nothing else", a_status_has_what_the_kernel_says_and_nothing_else, 0},
    {"a program is known by its first bytes", a_program_is_known_by_its_first_bytes, 0},
    {"a probe tells a byte from the end and from a failure", a_probe_tells_a_byte_from_the_end_and_from_a_failure, 0},
    {"a file that is open for writing has writers", a_file_that_is_open_for_writing_has_writers, 0},
    {"only hugetlbfs has pages of another size", only_hugetlbfs_has_pages_of_another_size, 0},
    {"a duplicate may have the number 0", a_duplicate_may_have_the_number_0, 0},
    {"a descriptor that is closed cannot be reopened", a_descriptor_that_is_closed_cannot_be_reopened, 0},
    {"an open waits for the holder of a write lease", an_open_waits_for_the_holder_of_a_write_lease, 0},
};

CHECK_MAIN(cases)
