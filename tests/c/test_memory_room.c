/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests how much memory the library believes to be free, which decides whether a snapshot may be in memory. A child process
 * sees made-up files in the places of /proc/meminfo, /proc/self/cgroup and the control groups, in a mount name space of
 * its own.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/linux/memory_room.h"

#define KIB UINT64_C(1024)

static void
write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    REQUIRE(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

/** Lets this process see a text in the place of a file of /proc. */
static void
replace(const char *path, const char *name, const char *text)
{
    const char *made_up = check_path(name);
    write_file(made_up, text);
    REQUIRE(mount(made_up, path, NULL, MS_BIND, NULL) == 0);
}

/** Makes a control group with three files. NULL leaves one out. */
static void
make_group(const char *folder, const char *const names[3], const char *limit, const char *usage, const char *statistics)
{
    const char *const texts[] = {limit, usage, statistics};
    mkdir(folder, 0755);
    for (size_t index = 0; index < 3; index++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, names[index]);
        if (texts[index] != NULL) {
            write_file(path, texts[index]);
        }
    }
}

static const char *const version_2[3] = {"memory.max", "memory.current", "memory.stat"};
static const char *const version_1[3] = {"memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"};

static void
see_made_up_files(const char *meminfo, const char *cgroup)
{
    REQUIRE(unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
    replace("/proc/meminfo", "meminfo", meminfo);
    replace("/proc/self/cgroup", "cgroup", cgroup);
    REQUIRE(mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL) == 0);
}

#define MEMINFO "MemTotal:       900 kB\nMemFree: 5 kB\nMemAvailable:   \t800 kB\nBuffers: 7 kB\n"

/** The group in the middle has the least room: its limit, less what is used and cannot be dropped. */
static void
in_version_2(void *unused)
{
    (void)unused;
    see_made_up_files(MEMINFO, "0::/outer/middle/inner\n");
    CHECK_U64(mmgi_memory_room(), 800 * KIB); /* no group has a limit */
    make_group("/sys/fs/cgroup/outer", version_2, "700000\n", "1000\n", "anon 5\ninactive_file 400\nfile 9\n");
    CHECK_U64(mmgi_memory_room(), 700000 - 600);
    make_group("/sys/fs/cgroup/outer/middle", version_2, "500000\n", "3000\n", "inactive_file 1000\n");
    CHECK_U64(mmgi_memory_room(), 500000 - 2000);
    make_group("/sys/fs/cgroup/outer/middle/inner", version_2, "max\n", "9000\n", "inactive_file 1\n");
    CHECK_U64(mmgi_memory_room(), 500000 - 2000);
    make_group("/sys/fs/cgroup/outer/middle/inner", version_2, "9\n", "9\n", "inactive_file 10\n");
    CHECK_U64(mmgi_memory_room(), 9); /* what can be dropped is more than what is used */
    make_group("/sys/fs/cgroup/outer/middle/inner", version_2, "9\n", "11\n", "inactive_file 1\n");
    CHECK_U64(mmgi_memory_room(), 0); /* over the limit */
    make_group("/sys/fs/cgroup/outer/middle/inner", version_2, "99999999999999999999999\n", "11\n", "");
    CHECK_U64(mmgi_memory_room(), 500000 - 2000); /* a limit with too many digits is none */
    make_group("/sys/fs/cgroup", version_2, "400000\n", "10\n", NULL);
    CHECK_U64(mmgi_memory_room(), 400000 - 10); /* the root of a container may have a limit */
}

static void
in_version_1(void *unused)
{
    (void)unused;
    see_made_up_files(MEMINFO, "9:pids:/elsewhere\n4:cpu,memory,cpuacct:/inner\n0::/inner\n");
    mkdir("/sys/fs/cgroup/memory", 0755);
    make_group("/sys/fs/cgroup/memory/inner", version_1, "300000\n", "2000\n",
               "inactive_file 5\ntotal_inactive_file 500\n");
    CHECK_U64(mmgi_memory_room(), 300000 - 1500);
    make_group("/sys/fs/cgroup/memory", version_1, "200000\n", "2000\n", NULL);
    CHECK_U64(mmgi_memory_room(), 200000 - 2000);
    make_group("/sys/fs/cgroup/inner", version_2, "100000\n", NULL, NULL);
    CHECK_U64(mmgi_memory_room(), 100000); /* both versions at once */
}

/** The controller of memory in the path of another controller is no controller. */
static void
with_a_name_that_misleads(void *unused)
{
    (void)unused;
    see_made_up_files(MEMINFO, "9:pids:/memory\n8:x\nno line\n");
    mkdir("/sys/fs/cgroup/memory", 0755);
    make_group("/sys/fs/cgroup/memory/memory", version_1, "300000\n", "2000\n", NULL);
    make_group("/sys/fs/cgroup/memory", version_1, "300000\n", "2000\n", NULL);
    CHECK_U64(mmgi_memory_room(), 800 * KIB);
}

static void
without_the_number(void *unused)
{
    (void)unused;
    see_made_up_files("MemTotal: 900 kB\nNotMemAvailable: 800 kB\n", "");
    CHECK(mmgi_memory_room() >= UINT64_MAX / 1024 * 1024);
    make_group("/sys/fs/cgroup", version_2, "5\n", "1\n", NULL);
    CHECK(mmgi_memory_room() >= UINT64_MAX / 1024 * 1024); /* this process is in no group */
    replace("/proc/self/cgroup", "second", "0::/\n");
    CHECK_U64(mmgi_memory_room(), 4);
}

static void
see_nothing_made_up(void *may)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/sys/fs/cgroup", "tmpfs", 0, NULL) != 0) {
        _exit(77);
    }
    (void)may;
}

/** Runs a body in a child, where this process may have mounts of its own. Elsewhere skips the case. */
static void
run(void (*body)(void *argument))
{
    const int status = check_child(see_nothing_made_up, NULL);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        check_skip("mounting needs root, and control groups a system that has them");
        return;
    }
    CHECK_EXITED(check_child(body, NULL));
}

static void
the_tightest_group_above_the_process_counts(void)
{
    run(in_version_2);
}

static void
groups_of_version_1_count(void)
{
    run(in_version_1);
}

static void
only_the_controller_of_memory_counts(void)
{
    run(with_a_name_that_misleads);
}

static void
what_is_not_known_is_no_limit(void)
{
    run(without_the_number);
}

static const struct check_case cases[] = {
    {"the tightest group above the process counts", the_tightest_group_above_the_process_counts, 0},
    {"groups of version 1 count", groups_of_version_1_count, 0},
    {"only the controller of memory counts", only_the_controller_of_memory_counts, 0},
    {"what is not known is no limit", what_is_not_known_is_no_limit, 0},
};

CHECK_MAIN(cases)
