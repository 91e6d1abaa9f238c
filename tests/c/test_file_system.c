/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what the library makes of the name of a file system. The names are those of a plan, so that each kind is there; what
 * the library makes of real mounts is tested in tests/stable and tests/vm.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "check.h"
#include "os/file_system.h"

/** The name that the mount table has, or NULL: it cannot be read. */
static const char *mount_name;

bool __wrap_mmgi_mount_name(int fd, uint64_t unique, char *name, size_t size);

bool
__wrap_mmgi_mount_name(int fd, uint64_t unique, char *name, size_t size)
{
    (void)fd;
    (void)unique;
    memset(name, 0, size);
    if (mount_name != NULL) {
        REQUIRE(strlen(mount_name) < size);
        memcpy(name, mount_name, strlen(mount_name));
    }
    return mount_name != NULL;
}

/** Asks about a file of a mount that was never asked about before. */
static struct file_system
find(const char *name, bool has_device, int fd)
{
    static uint64_t mount = 1000;
    struct file_status status = {.device = has_device ? makedev(8, 1) : makedev(0, 33), .mount = mount++};
    struct file_system result;
    memset(&result, '!', sizeof result);
    mount_name = name;
    mmgi_file_system_find(fd, &status, &result);
    return result;
}

static void
a_name_decides_who_can_write_and_what_a_lock_means(void)
{
    static const struct {
        const char *name;
        enum file_system_lock lock;
        bool has_leases, is_read_only_medium, may_reflink, is_memory, is_kernel, is_stacked, has_other_clock,
            has_verity, has_coarse_times;
    } known[] = {
        {"ext4", FILE_SYSTEM_LOCK_ADVISORY, .has_leases = true, .has_verity = true},
        {"vfat", FILE_SYSTEM_LOCK_ADVISORY, .has_leases = true, .has_coarse_times = true},
        {"xfs", FILE_SYSTEM_LOCK_ADVISORY, .has_leases = true, .may_reflink = true},
        {"btrfs", FILE_SYSTEM_LOCK_ADVISORY, .has_leases = true, .may_reflink = true, .has_verity = true},
        {"squashfs", FILE_SYSTEM_LOCK_ADVISORY, .is_read_only_medium = true},
        {"tmpfs", FILE_SYSTEM_LOCK_ADVISORY, .is_memory = true},
        {"overlay", FILE_SYSTEM_LOCK_ADVISORY, .is_stacked = true},
        {"proc", FILE_SYSTEM_LOCK_ADVISORY, .is_kernel = true},
        {"cifs", FILE_SYSTEM_LOCK_MANDATORY, .has_other_clock = true},
        {"nfs4", FILE_SYSTEM_LOCK_HANGS, .has_other_clock = true},
        {"9p", FILE_SYSTEM_LOCK_NOT_LOCAL, .has_other_clock = true},
        {"fuse", FILE_SYSTEM_LOCK_HANGS, .has_other_clock = true},
        {"fuse.sshfs", FILE_SYSTEM_LOCK_HANGS, .has_other_clock = true},
        {"fuseblk.ntfs", FILE_SYSTEM_LOCK_HANGS, .has_other_clock = true},
        {"fusefs", FILE_SYSTEM_LOCK_ADVISORY, .has_other_clock = true},
        {"unheard", FILE_SYSTEM_LOCK_ADVISORY, .has_other_clock = true},
    };
    for (size_t index = 0; index < sizeof known / sizeof *known; index++) {
        const struct file_system found = find(known[index].name, true, -1);
        CHECK_TEXT(found.name, known[index].name);
        CHECK_I64(found.lock, known[index].lock);
        CHECK_I64(found.has_leases, known[index].has_leases);
        CHECK_I64(found.is_read_only_medium, known[index].is_read_only_medium);
        CHECK_I64(found.is_memory, known[index].is_memory);
        CHECK_I64(found.is_kernel, known[index].is_kernel);
        CHECK_I64(found.is_stacked, known[index].is_stacked);
        CHECK_I64(found.has_other_clock, known[index].has_other_clock);
        CHECK_I64(found.has_verity, known[index].has_verity);
        CHECK_I64(found.has_coarse_times, known[index].has_coarse_times);
        CHECK(found.may_reflink || !known[index].may_reflink);
    }
    /* Without a device nobody knows which machine keeps the locks of a file system of an unknown name. */
    CHECK_I64(find("unheard", false, -1).lock, FILE_SYSTEM_LOCK_NOT_LOCAL);
    CHECK_I64(find("fuse.sshfs", false, -1).lock, FILE_SYSTEM_LOCK_HANGS);
    CHECK_I64(find("tmpfs", false, -1).lock, FILE_SYSTEM_LOCK_ADVISORY);
}

static void
without_a_name_only_the_lock_and_the_kernels_files_are_known(void)
{
    const int file = open(check_file("file", 1), O_RDONLY | O_CLOEXEC);
    const int proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    struct file_system found = find(NULL, true, -1); /* nor can it be asked */
    CHECK_TEXT(found.name, "");
    CHECK_I64(found.lock, FILE_SYSTEM_LOCK_NOT_LOCAL);
    CHECK(!found.has_leases && !found.is_read_only_medium && !found.has_verity && !found.is_kernel);
    CHECK(found.has_other_clock);
    found = find(NULL, true, file);
    CHECK(!found.has_leases && !found.is_kernel && !found.is_read_only_medium);
    if (proc >= 0 && !check_under_qemu()) {
        found = find(NULL, true, proc);
        CHECK(found.is_kernel && found.lock == FILE_SYSTEM_LOCK_ADVISORY);
        CHECK_TEXT(found.name, "");
    }
    close(proc);
    close(file);
}

static void
an_answer_is_remembered_for_its_mount(void)
{
    const struct file_status first = {.device = makedev(8, 1), .mount = 77},
                             second = {.device = makedev(8, 1), .mount = 78};
    struct file_system found;
    mount_name = "ext4";
    mmgi_file_system_find(-1, &first, &found);
    mount_name = "xfs";
    mmgi_file_system_find(-1, &first, &found);
    CHECK_TEXT(found.name, "ext4");
    mmgi_file_system_find(-1, &second, &found);
    CHECK_TEXT(found.name, "xfs");
    mount_name = NULL;
    mmgi_file_system_find(-1, &(struct file_status){.device = makedev(8, 2), .mount = 78}, &found);
    CHECK_TEXT(found.name, "");
    mount_name = "ext4"; /* that nothing was known is not remembered */
    mmgi_file_system_find(-1, &(struct file_status){.device = makedev(8, 2), .mount = 78}, &found);
    CHECK_TEXT(found.name, "ext4");
}

/**
 * A kernel before Linux 6.8 gives mounts no number of their own. The number of the device and the type of the file system
 * stand for it, where there is a device.
 */
static void
without_a_number_of_the_mount_the_type_stands_for_it(void)
{
    const int file = open(check_file("file", 1), O_RDONLY | O_CLOEXEC),
              proc = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
    const struct file_status on_disk = {.device = makedev(8, 3)}, nowhere = {.device = makedev(0, 44)};
    struct file_system found;
    REQUIRE(file >= 0 && proc >= 0);
    mount_name = "ext4";
    mmgi_file_system_find(file, &on_disk, &found);
    mmgi_file_system_find(file, &nowhere, &found);
    mmgi_file_system_find(-1, &(struct file_status){.device = makedev(8, 4)}, &found);
    CHECK_TEXT(found.name, "ext4");
    mount_name = "xfs";
    mmgi_file_system_find(file, &on_disk, &found);
    CHECK_TEXT(found.name, "ext4");
    mmgi_file_system_find(proc, &on_disk, &found); /* another type, so another file system is mounted there now */
    CHECK_TEXT(found.name, "xfs");
    mmgi_file_system_find(file, &nowhere, &found);
    CHECK_TEXT(found.name, "xfs");
    mmgi_file_system_find(-1, &(struct file_status){.device = makedev(8, 4)}, &found);
    CHECK_TEXT(found.name, "xfs");
    close(proc);
    close(file);
}

/** In a process of its own, since names and answers are kept for the life of a process. */
CHECK_IN_A_CHILD(more_names_and_mounts_than_can_be_kept_are_harmless)
{
    char name[] = "strange00";
    const char *kept = NULL;
    unsigned without_name = 0;
    for (int index = 0; index < 90; index++) {
        name[7] = (char)('0' + index / 10);
        name[8] = (char)('0' + index % 10);
        const struct file_system found = find(name, true, -1);
        CHECK_I64(found.lock, FILE_SYSTEM_LOCK_ADVISORY);
        CHECK(!found.has_leases);
        without_name += found.name[0] == '\0';
        if (found.name[0] != '\0') {
            CHECK_TEXT(found.name, name);
            kept = found.name;
        }
    }
    CHECK(without_name >= 90 - 32 && kept != NULL);
    const char *copy = kept;
    char again[24];
    strncpy(again, kept, sizeof again - 1);
    again[sizeof again - 1] = '\0';
    CHECK(find(again, true, -1).name == copy); /* one copy serves all */
    CHECK(find("ext4", true, -1).has_leases);
}

static atomic_bool is_asking;

static void *
ask_for_strange_names(void *unused)
{
    (void)unused;
    while (atomic_load(&is_asking)) {
        (void)find("strange", true, -1);
    }
    return NULL;
}

static void
ask_as_a_child(void *unused)
{
    (void)unused;
    CHECK_TEXT(find("stranger", true, -1).name, "stranger");
}

/** A thread of the parent that keeps a name at the moment of the fork does not exist in the child, which keeps names, too. */
CHECK_IN_A_CHILD(a_child_keeps_names_whatever_its_parent_did)
{
    pthread_t asking;
    const uint64_t forks = check_scaled(300);
    atomic_store(&is_asking, true);
    REQUIRE(pthread_create(&asking, NULL, ask_for_strange_names, NULL) == 0);
    for (uint64_t fork = 0; fork < forks; fork++) {
        CHECK_EXITED(check_child(ask_as_a_child, NULL));
    }
    atomic_store(&is_asking, false);
    REQUIRE(pthread_join(asking, NULL) == 0);
}

static const struct check_case cases[] = {
    {"a name decides who can write and what a lock means", a_name_decides_who_can_write_and_what_a_lock_means, 0},
    {"without a name, only the lock and the kernel's files are known",
     without_a_name_only_the_lock_and_the_kernels_files_are_known, 0},
    {"an answer is remembered for its mount", an_answer_is_remembered_for_its_mount, CHECK_ONCE},
    {"without a number of the mount, the type stands for it", without_a_number_of_the_mount_the_type_stands_for_it,
     CHECK_ONCE},
    {"more names and mounts than can be kept are harmless", more_names_and_mounts_than_can_be_kept_are_harmless, 0},
    {"a child keeps names whatever its parent did", a_child_keeps_names_whatever_its_parent_did,
     CHECK_ONCE | CHECK_THREADS},
};

CHECK_MAIN(cases)
