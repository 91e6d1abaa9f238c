/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mappings of huge pages: a file of huge pages is left alone by the guard, and transparent huge pages make no
 * difference.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "guarding.h"

/** Touches memory of huge pages that nobody has reserved. The first touch finds none. */
static void
want_huge_pages(void *how)
{
    const size_t size = (size_t)1 << 30;
    uint8_t *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE,
                          -1, 0);
    REQUIRE(bytes != MAP_FAILED);
    guard(*(enum guarding *)how);
    for (size_t at = 0; at < size; at += 4096) {
        touch(bytes, at);
    }
}

static uint64_t
free_huge_pages(void)
{
    unsigned long count = 0;
    char line[100];
    FILE *list = fopen("/proc/meminfo", "r");
    while (list != NULL && fgets(line, sizeof line, list) != NULL) {
        sscanf(line, "HugePages_Free: %lu", &count);
    }
    if (list != NULL) {
        fclose(list);
    }
    return count;
}

/** Returns how many huge pages the kernel may make on demand. */
static unsigned long
huge_pages_on_demand(void)
{
    unsigned long count = 0;
    FILE *setting = fopen("/proc/sys/vm/nr_overcommit_hugepages", "r");
    if (setting != NULL) {
        REQUIRE(fscanf(setting, "%lu", &count) == 1);
        fclose(setting);
    }
    return count;
}

static void
missing_huge_pages_are_passed_on(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    void *probe = mmap(NULL, (size_t)1 << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1,
                       0);
    if (probe != MAP_FAILED) {
        munmap(probe, (size_t)1 << 30);
    }
    if (probe == MAP_FAILED || free_huge_pages() + huge_pages_on_demand() >= 512 || check_under_valgrind() ||
        check_under_qemu()) {
        check_skip("this kernel has no huge pages, or has enough of them");
        return;
    }
    is_killed_in_each_way(want_huge_pages);
}

/** Set the number of reserved huge pages; returns the one before, or -1 where that may not be set. */
static long
reserve_huge_pages(long count)
{
    long before = -1;
    FILE *setting = fopen("/proc/sys/vm/nr_hugepages", "r+");
    if (setting == NULL) {
        return -1;
    }
    if (fscanf(setting, "%ld", &before) != 1) {
        before = -1;
    }
    rewind(setting);
    fprintf(setting, "%ld", count);
    fclose(setting);
    return before;
}

static const char *folder;

/** Creates a file in the folder, or gives an old one this size. Returns its descriptor. */
static int
file_in_folder(const char *name, size_t size, char *path, size_t room)
{
    snprintf(path, room, "%s/%s", folder, name);
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(descriptor >= 0 && ftruncate(descriptor, (off_t)size) == 0);
    return descriptor;
}

static void
cut_a_file_of_huge_pages(void *how)
{
    char path[4096];
    const size_t huge = (size_t)2 << 20;
    int descriptor = file_in_folder("file", 2 * huge, path, sizeof path);
    uint8_t *bytes = mmap(NULL, 2 * huge, PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(bytes != MAP_FAILED);
    touch(bytes, 2 * huge - 1);
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    REQUIRE_STATUS(mmg_adopt(bytes, 2 * huge, -1, NULL, &handle, &error), MMG_E_NOT_MAPPABLE);
    REQUIRE(strstr(error.message, "huge pages") != NULL);
    guard(*(enum guarding *)how);
    REQUIRE(ftruncate(descriptor, 0) == 0);
    touch(bytes, huge);
}

/** Returns true when a file in the folder can be mapped. qemu-user looks for a place that suits small pages. */
static bool
maps_huge_pages(void)
{
    char path[4096];
    const size_t huge = (size_t)2 << 20;
    int descriptor = file_in_folder("probe", huge, path, sizeof path);
    uint8_t *bytes = mmap(NULL, huge, PROT_READ, MAP_SHARED, descriptor, 0);
    if (bytes != MAP_FAILED) {
        REQUIRE(munmap(bytes, huge) == 0);
    }
    close(descriptor);
    REQUIRE(unlink(path) == 0);
    return bytes != MAP_FAILED;
}

static void
a_file_of_huge_pages_is_passed_on(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    folder = check_path("huge");
    REQUIRE(mkdir(folder, 0700) == 0);
    if (mount("none", folder, "hugetlbfs", 0, "pagesize=2M") != 0) {
        check_skip(geteuid() != 0 ? "needs root: mounts hugetlbfs" : "the kernel has no huge pages of 2 MiB");
        return;
    }
    const long before = reserve_huge_pages(2 + (long)free_huge_pages());
    if (before < 0 || free_huge_pages() < 2) {
        check_skip("no huge pages can be reserved");
    } else if (!maps_huge_pages()) {
        check_skip("a file of huge pages cannot be mapped here");
    } else {
        is_killed_in_each_way(cut_a_file_of_huge_pages);
    }
    REQUIRE(umount(folder) == 0);
    if (before >= 0) {
        reserve_huge_pages(before);
    }
}

/** The value of a line of the kernel's account of one mapping, in KiB. */
static unsigned long
account_of(const uint8_t *bytes, const char *word)
{
    unsigned long value = 0;
    unsigned long start = 0;
    unsigned long end = 0;
    bool is_there = false;
    char line[5000];
    FILE *list = fopen("/proc/self/smaps", "r");
    REQUIRE(list != NULL);
    while (fgets(line, sizeof line, list) != NULL) {
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            is_there = (uintptr_t)bytes >= start && (uintptr_t)bytes < end;
        } else if (is_there && strncmp(line, word, strlen(word)) == 0) {
            value = strtoul(line + strlen(word), NULL, 10);
        }
    }
    fclose(list);
    return value;
}

/** A file of tmpfs in transparent huge pages, cut in the middle of one. */
static void
cut_transparent_huge_pages(void *how)
{
    const size_t huge = (size_t)2 << 20;
    const size_t left = huge + 3 * check_page() + 5;
    char path[4096];
    snprintf(path, sizeof path, "%s/file", folder);
    unlink(path);
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(descriptor >= 0 && ftruncate(descriptor, (off_t)(3 * huge)) == 0);
    uint8_t *room = mmap(NULL, 4 * huge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    uint8_t *bytes = room + (huge - (uintptr_t)room % huge) % huge;
    REQUIRE(mmap(bytes, 3 * huge, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, descriptor, 0) == bytes);
    check_fill(bytes, 0, 3 * huge);
    REQUIRE(mprotect(bytes, 3 * huge, PROT_READ) == 0);
    if (account_of(bytes, "ShmemPmdMapped:") == 0) {
        _exit(77);
    }
    /* A mapping that could be written to is one for the kernel, too, while the descriptor is open for writing. */
    guard(*(enum guarding *)how);
    const uint64_t mark = ledger_mark();
    REQUIRE(ftruncate(descriptor, (off_t)left) == 0);
    CHECK(touch(bytes, 3 * huge - 1) == 0);
    ledger_has_one(mark, MMG_E_TRUNCATED, path, left, 3 * huge - left);
    CHECK(check_is_pattern(bytes, 0, left));
    CHECK(check_is_zero(bytes + left, 3 * huge - left));
    check_child_end();
}

static bool
got_no_huge_page(int wait_status)
{
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 77;
}

static void
transparent_huge_pages_are_no_difference(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    folder = check_path("tmpfs");
    REQUIRE(mkdir(folder, 0700) == 0);
    if (check_page() != 4096 || mount("none", folder, "tmpfs", 0, "huge=always,size=64m") != 0) {
        check_skip(geteuid() != 0 ? "needs root: mounts tmpfs" : "the kernel has no transparent huge pages for tmpfs");
        return;
    }
    enum guarding how = UNGUARDED;
    const int twin = check_child(cut_transparent_huge_pages, &how);
    how = GUARDED;
    const int guarded = check_child(cut_transparent_huge_pages, &how);
    /* Where memory is in pieces, the kernel has no huge page to give, now or in the next moment. */
    if (got_no_huge_page(twin) || got_no_huge_page(guarded)) {
        check_skip("the kernel gave no huge page");
    } else {
        CHECK_KILLED(twin, SIGBUS);
        CHECK_EXITED(guarded);
    }
    REQUIRE(umount(folder) == 0);
}

static const struct check_case cases[] = {
    {"huge pages that are missing are passed on", missing_huge_pages_are_passed_on, CHECK_ONCE},
    {"a file of huge pages is passed on", a_file_of_huge_pages_is_passed_on, CHECK_ONCE},
    {"transparent huge pages are no difference", transparent_huge_pages_are_no_difference, CHECK_ONCE},
};

CHECK_MAIN(cases)
