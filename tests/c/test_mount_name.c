/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the name of the file system of a descriptor against the mount table, whose line is found in another way: the kernel
 * tells the number of the mount in /proc/self/fdinfo, too.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "forbid.h"
#include "os/linux/mount_name.h"

#define NAME_SIZE 24

/**
 * Stores the name of the file system of a descriptor, or an empty string where the kernel does not tell the mount. Returns
 * the number of the mount.
 */
static long
expected_of(int fd, char name[NAME_SIZE])
{
    char line[8192];
    long wanted = -1, number = 0;
    snprintf(line, sizeof line, "/proc/self/fdinfo/%d", fd);
    name[0] = '\0';
    FILE *file = fopen(line, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        sscanf(line, "mnt_id: %ld", &wanted);
    }
    if (file != NULL) {
        fclose(file);
    }
    file = fopen("/proc/self/mountinfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *mark = strstr(line, " - ");
        if (mark != NULL && sscanf(line, "%ld", &number) == 1 && number == wanted) {
            sscanf(mark, " - %23s", name);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return wanted;
}

/** Returns true when the kernel tells the mount of a descriptor by statx(2) (Linux 5.8). */
static bool
tells_the_mount(int fd)
{
#ifdef SYS_statx
    uint32_t answer[64] = {0}; /* begins with what the kernel has told */
    return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, 0x1000 /* STATX_MNT_ID */, answer) == 0 &&
           (answer[0] & 0x1000) != 0;
#else
    return fd < 0;
#endif
}

static void
the_name_is_the_one_of_the_mount_table(void)
{
    static const char *const others[] = {"/proc/self/status", "/dev", "/dev/shm", "/sys", "/"};
    char expected[NAME_SIZE], name[NAME_SIZE], longer[NAME_SIZE];
    unsigned compared = 0;
    for (size_t index = 0; index <= sizeof others / sizeof *others; index++) {
        const char *path = index == 0 ? check_file("file", 1) : others[index - 1];
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            continue;
        }
        expected_of(fd, expected);
        memset(name, '!', sizeof name);
        memset(longer, '!', sizeof longer);
        if (expected[0] != '\0' && tells_the_mount(fd)) {
            compared++;
            CHECK(mmgi_mount_name(fd, 0, name, sizeof name));
            CHECK_TEXT(name, expected);
            CHECK(mmgi_mount_name(fd, 0, longer, strlen(expected))); /* without room for the last character */
            CHECK(strlen(longer) == strlen(expected) - 1 && strncmp(longer, expected, strlen(longer)) == 0);
            CHECK(longer[strlen(expected)] == '!');
        }
        close(fd);
    }
    if (compared == 0) {
        check_skip("the kernel does not tell here which mount a descriptor is of");
    }
}

#define MOST_MOUNTS 1000 /* other processes mount at the same time, and take numbers as well */
#define ALL_DIGITS ((1u << 10) - 1)
#define NOT_ALLOWED 2

/** Mounts one file system above the other, so that every digit is the last one of a number. Only this process sees them. */
static void
mount_many(void *unused)
{
    char directory[4096], expected[NAME_SIZE], name[NAME_SIZE];
    unsigned last_digits = 0;
    (void)unused;
    snprintf(directory, sizeof directory, "%s", check_path("mounts"));
    REQUIRE(mkdir(directory, 0755) == 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0) {
        _exit(NOT_ALLOWED);
    }
    for (int index = 0; index < MOST_MOUNTS && last_digits != ALL_DIGITS; index++) {
        if (mount("none", directory, index % 2 == 0 ? "tmpfs" : "ramfs", 0, NULL) != 0) {
            _exit(NOT_ALLOWED);
        }
        const int fd = open(directory, O_RDONLY | O_CLOEXEC);
        REQUIRE(fd >= 0);
        if (!tells_the_mount(fd)) {
            _exit(NOT_ALLOWED);
        }
        const long number = expected_of(fd, expected);
        CHECK_TEXT(expected, index % 2 == 0 ? "tmpfs" : "ramfs");
        CHECK(mmgi_mount_name(fd, 0, name, sizeof name));
        CHECK_TEXT(name, expected);
        last_digits |= 1u << (number % 10);
        close(fd);
    }
    CHECK_U64(last_digits, ALL_DIGITS);
}

static void
a_number_may_have_every_digit(void)
{
    const int wait_status = check_child(mount_many, NULL);
    if (WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == NOT_ALLOWED) {
        check_skip("this process may not mount, or the kernel does not tell the mount of a descriptor");
    } else {
        CHECK_EXITED(wait_status);
    }
}

static void
a_descriptor_of_nothing_has_no_name(void)
{
    char name[NAME_SIZE] = "before";
    CHECK(!mmgi_mount_name(-1, 0, name, sizeof name));
    CHECK_TEXT(name, "");
}

static void
ask_without_proc(void *argument)
{
    char name[NAME_SIZE] = "before";
    REQUIRE(forbid_opening(O_RDONLY | O_CLOEXEC, ENOENT));
    CHECK(!mmgi_mount_name(*(const int *)argument, 0, name, sizeof name));
    CHECK_TEXT(name, "");
}

static void
without_a_mount_table_there_is_no_name(void)
{
    if (check_under_qemu() || check_is_slow()) {
        check_skip("an emulator and sanitizers open files themselves");
        return;
    }
    int fd = open(check_file("file", 1), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    CHECK_EXITED(check_child(ask_without_proc, &fd));
    close(fd);
}

static const struct check_case cases[] = {
    {"the name is the one of the mount table", the_name_is_the_one_of_the_mount_table, 0},
    {"a number may have every digit", a_number_may_have_every_digit, 0},
    {"a descriptor of nothing has no name", a_descriptor_of_nothing_has_no_name, 0},
    {"without a mount table there is no name", without_a_mount_table_there_is_no_name, 0},
};

CHECK_MAIN(cases)
