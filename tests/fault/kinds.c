/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kinds of mappings that the guard leaves alone, each with a fault of its own kind: the process ends as it ends
 * without the guard, and nothing is told. And those that look as if they were of such a kind, and are guarded.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "foreign.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4U
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/** How the guard is asked for, or that it is not. */
enum guarding {
    UNGUARDED,
    GUARDED,
    GUARDED_MORE, /* shared writable mappings as well */
    GUARDINGS
};

static void
guard(enum guarding how)
{
    signal(SIGBUS, SIG_DFL);
    if (how != UNGUARDED) {
        REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, how == GUARDED_MORE ? MMG_PROCESS_SHARED_WRITABLE : 0),
                       MMG_OK);
    }
}

/** Run a case that ends in a fault: in each way of guarding it is killed. */
static void
is_killed_in_each_way(void (*body)(void *))
{
    for (enum guarding how = UNGUARDED; how < GUARDINGS; how++) {
        CHECK_KILLED(check_child(body, &how), SIGBUS);
    }
}

/** Run a case that does not end in a fault where the process is guarded. */
static void
lives_guarded_only(void (*body)(void *))
{
    enum guarding how = UNGUARDED;
    CHECK_KILLED(check_child(body, &how), SIGBUS);
    how = GUARDED;
    CHECK_EXITED(check_child(body, &how));
}

/* ------------------------------------------------------------------------------------------------- loaded objects -- */

static const char *object;

/** Copy the file of a library, so that it can be cut. */
static bool
copy_library(void)
{
    static uint8_t bytes[4 << 20];
    const char *from = getenv("MMAPGUARD_STRANGER");
    if (from == NULL) {
        check_skip("CTest says where a library is");
        return false;
    }
    int descriptor = open(from, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    const ssize_t size = read(descriptor, bytes, sizeof bytes);
    REQUIRE(size > 0 && (size_t)size < sizeof bytes);
    close(descriptor);
    object = check_file_with("object.so", bytes, (size_t)size);
    return true;
}

/** The segments of the copy: the first byte of the last page of one that can be executed, or cannot. */
static uint8_t *segment;
static bool wants_code;

static int
find_segment(struct dl_phdr_info *info, size_t size, void *unused)
{
    (void)size;
    (void)unused;
    if (strcmp(info->dlpi_name, object) != 0) {
        return 0;
    }
    for (unsigned index = 0; index < info->dlpi_phnum; index++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[index];
        bool is_code = (header->p_flags & PF_X) != 0;
        if (header->p_type == PT_LOAD && is_code == wants_code && header->p_vaddr > 0 &&
            (header->p_flags & PF_W) == 0) {
            segment = (uint8_t *)(uintptr_t)(info->dlpi_addr + header->p_vaddr / check_page() * check_page());
        }
    }
    return 1;
}

static void
cut_a_loaded_object(void *how)
{
    REQUIRE(dlopen(object, RTLD_NOW) != NULL);
    dl_iterate_phdr(find_segment, NULL);
    REQUIRE(segment != NULL);
    guard(*(enum guarding *)how);
    check_truncate(object, 100); /* it is still ELF, as far as its first bytes go */
    touch(segment, 0);
}

/** The same file, mapped elsewhere as data. */
static void
cut_the_file_of_a_loaded_object(void *how)
{
    REQUIRE(dlopen(object, RTLD_NOW) != NULL);
    uint8_t *bytes = foreign_map(object, PROT_READ, MAP_PRIVATE, 4 * check_page(), 0);
    guard(*(enum guarding *)how);
    check_truncate(object, 100);
    touch(bytes, 3 * check_page());
}

static void
of_a_loaded_object(void (*body)(void *))
{
    for (enum guarding how = UNGUARDED; how < GUARDINGS; how++) {
        if (!copy_library()) {
            return;
        }
        CHECK_KILLED(check_child(body, &how), SIGBUS);
    }
}

static void
code_of_a_loaded_object(void)
{
    wants_code = true;
    if (!foreign_is_unsupported() && !foreign_hides_code()) {
        of_a_loaded_object(cut_a_loaded_object);
    }
}

static void
constants_of_a_loaded_object(void)
{
    wants_code = false;
    if (!foreign_is_unsupported() && !foreign_hides_code()) {
        of_a_loaded_object(cut_a_loaded_object);
    }
}

static void
data_of_the_file_of_a_loaded_object(void)
{
    if (!foreign_is_unsupported() && !foreign_hides_code()) {
        of_a_loaded_object(cut_the_file_of_a_loaded_object);
    }
}

/* --------------------------------------------------------------------------------------------- without a file -- */

static void
a_device_is_left_alone(void)
{
    static const int sharing[] = {MAP_PRIVATE, MAP_SHARED};
    if (foreign_is_unsupported()) {
        return;
    }
    for (size_t index = 0; index < 2; index++) {
        int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
        REQUIRE(zero >= 0);
        uint8_t *bytes = mmap(NULL, 4 * check_page(), PROT_READ | PROT_WRITE, sharing[index], zero, 0);
        REQUIRE(bytes != MAP_FAILED);
        close(zero);
        siginfo_t info = check_fault(bytes + check_page());
        memset(bytes, 42, 4 * check_page());
        REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, MMG_PROCESS_SHARED_WRITABLE), MMG_OK);
        const uint64_t mark = ledger_mark();
        CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
        CHECK_U64(ledger_mark(), mark);
        CHECK(bytes[0] == 42 && memcmp(bytes, bytes + 1, 4 * check_page() - 1) == 0);
        REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, MMG_PROCESS_SHARED_WRITABLE), MMG_OK);
        REQUIRE(munmap(bytes, 4 * check_page()) == 0);
    }
}

/** Maps a new memfd, and stores its descriptor. */
static uint8_t *
map_memfd(int *descriptor)
{
    *descriptor = memfd_create("cut", MFD_CLOEXEC);
    REQUIRE(*descriptor >= 0 && ftruncate(*descriptor, (off_t)whole()) == 0);
    uint8_t *bytes = mmap(NULL, whole(), PROT_READ, MAP_SHARED, *descriptor, 0);
    REQUIRE(bytes != MAP_FAILED);
    return bytes;
}

static void
cut_a_memfd(void *how)
{
    int descriptor = -1;
    uint8_t *bytes = map_memfd(&descriptor);
    guard(*(enum guarding *)how);
    REQUIRE(ftruncate(descriptor, (off_t)check_page()) == 0);
    touch(bytes, whole() - 1);
}

static void
a_memfd_is_passed_on(void)
{
    if (!foreign_is_unsupported()) {
        is_killed_in_each_way(cut_a_memfd);
    }
}

static void
a_memfd_is_adopted_with_its_descriptor(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    mmg_handle handle = 0;
    mmg_loss losses[LOSSES];
    int descriptor = -1;
    uint8_t *bytes = map_memfd(&descriptor);
    REQUIRE_STATUS(mmg_adopt(bytes, whole(), descriptor, NULL, &handle, NULL), MMG_OK);
    const uint64_t mark = ledger_mark();
    REQUIRE(ftruncate(descriptor, (off_t)check_page()) == 0);
    CHECK(touch(bytes, whole() - 1) == 0);
    CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
    REQUIRE(ledger_since(mark, losses) == 1);
    CHECK_U64(losses[0].offset, check_page());
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    munmap(bytes, whole());
    close(descriptor);
}

/* ------------------------------------------------------------------------------------------------------ huge pages -- */

/** Memory of huge pages that nobody has reserved: the first touch finds none. */
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
    if (probe == MAP_FAILED || free_huge_pages() >= 512 || check_under_valgrind() || check_under_qemu()) {
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
    CHECK_STATUS(mmg_adopt(bytes, 2 * huge, -1, NULL, &handle, &error), MMG_E_NOT_MAPPABLE);
    CHECK(strstr(error.message, "huge pages") != NULL);
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

/* ----------------------------------------------------------------------------------------------------- userfaultfd -- */

/** By the system call, since C libraries declare the request of ioctl(2) with different types. */
static int
uffd_ioctl(int userfault, unsigned long request, void *argument)
{
    return (int)syscall(SYS_ioctl, userfault, request, argument);
}

static int
userfault_open(void)
{
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM};
    int userfault = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    if (userfault >= 0 && uffd_ioctl(userfault, UFFDIO_API, &api) != 0) {
        close(userfault);
        return -1;
    }
    return userfault;
}

/** Memory, or a file in memory, whose missing pages are somebody's purpose. */
static void
miss_a_page(enum guarding how, int descriptor)
{
    int userfault = userfault_open();
    uint8_t *bytes = mmap(NULL, whole(), PROT_READ | PROT_WRITE,
                          descriptor < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, descriptor, 0);
    struct uffdio_register wanted = {.range = {(uintptr_t)bytes, whole()}, .mode = UFFDIO_REGISTER_MODE_MISSING};
    REQUIRE(bytes != MAP_FAILED && uffd_ioctl(userfault, UFFDIO_REGISTER, &wanted) == 0);
    guard(how);
    touch(bytes, 5 * check_page());
}

static void
miss_a_page_of_memory(void *how)
{
    miss_a_page(*(enum guarding *)how, -1);
}

/** With a path: without one, nothing tells such pages from those of a file that was cut. */
static void
miss_a_page_of_a_file(void *how)
{
    int descriptor = open(object, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(descriptor >= 0 && ftruncate(descriptor, (off_t)whole()) == 0);
    miss_a_page(*(enum guarding *)how, descriptor);
}

static void
ranges_of_userfaultfd_are_passed_on(void)
{
    char path[] = "/dev/shm/mmapguard-kinds-XXXXXX";
    int userfault = userfault_open();
    if (foreign_is_unsupported()) {
        return;
    }
    if (userfault < 0) {
        check_skip("the kernel has no userfaultfd for this process");
        return;
    }
    close(userfault);
    is_killed_in_each_way(miss_a_page_of_memory);
    int descriptor = mkstemp(path);
    if (descriptor < 0) {
        return; /* no /dev/shm */
    }
    close(descriptor);
    object = path;
    is_killed_in_each_way(miss_a_page_of_a_file);
    unlink(path);
}

/* ---------------------------------------------------------------------------------------------------------- poison -- */

/** Say to this thread that the hardware has lost a page. */
static void
poison(const uint8_t *address)
{
    siginfo_t info = check_fault(address);
    info.si_code = BUS_MCEERR_AR;
    info.si_addr_lsb = (short)__builtin_ctzll(check_page());
    REQUIRE(syscall(SYS_rt_tgsigqueueinfo, getpid(), (pid_t)syscall(SYS_gettid), SIGBUS, &info) == 0);
}

static void
lose_a_page_to_the_hardware(void *how)
{
    const uint64_t page = check_page();
    const char *path = check_file("poisoned", whole());
    uint8_t *bytes = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
    guard(*(enum guarding *)how);
    const uint64_t mark = ledger_mark();
    poison(bytes + 20 * page + 5);
    ledger_has_one(mark, MMG_E_POISONED, path, 20 * page, page);
    CHECK(check_is_pattern(bytes, 0, 20 * page));
    CHECK(check_is_zero(bytes + 20 * page, page));
    CHECK(check_is_pattern(bytes + 21 * page, 21 * page, whole() - 21 * page));
    CHECK_U64(check_stats().losses_poisoned, 1);
    check_child_end();
}

static void
lose_an_adopted_page_to_the_hardware(void *how)
{
    const uint64_t page = check_page();
    const char *path = check_file("poisoned", whole());
    uint8_t *bytes = foreign_map(path, PROT_READ, MAP_PRIVATE, whole(), 0);
    mmg_handle handle = 0;
    mmg_loss losses[LOSSES];
    signal(SIGBUS, SIG_DFL);
    if (*(enum guarding *)how != UNGUARDED) {
        REQUIRE_STATUS(mmg_adopt(bytes, whole(), -1, NULL, &handle, NULL), MMG_OK);
    }
    const uint64_t mark = ledger_mark();
    poison(bytes + 20 * page + 5);
    CHECK_STATUS(mmg_check(handle), MMG_E_POISONED);
    CHECK_U64(check_info(handle).fault_offset, 20 * page);
    REQUIRE(ledger_since(mark, losses) == 1);
    CHECK_STATUS(losses[0].cause, MMG_E_POISONED);
    CHECK_U64(losses[0].origin, MMG_ORIGIN_ADOPTED);
    CHECK(check_is_zero(bytes + 20 * page, page));
    CHECK(check_is_pattern(bytes + 21 * page, 21 * page, whole() - 21 * page));
    check_child_end();
}

static void
a_memory_error_costs_its_page(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    if (check_under_valgrind() || check_under_qemu()) {
        check_skip("valgrind and qemu take a signal with this code for an error of their own");
        return;
    }
    lives_guarded_only(lose_a_page_to_the_hardware);
    lives_guarded_only(lose_an_adopted_page_to_the_hardware);
}

static const struct check_case cases[] = {
    {"code of a loaded object is passed on", code_of_a_loaded_object, 0},
    {"constants of a loaded object are passed on", constants_of_a_loaded_object, 0},
    {"data of the file of a loaded object are passed on", data_of_the_file_of_a_loaded_object, 0},
    {"a device is left alone", a_device_is_left_alone, 0},
    {"a memfd is passed on", a_memfd_is_passed_on, 0},
    {"a memfd is adopted with its descriptor", a_memfd_is_adopted_with_its_descriptor, 0},
    {"huge pages that are missing are passed on", missing_huge_pages_are_passed_on, CHECK_ONCE},
    {"a file of huge pages is passed on", a_file_of_huge_pages_is_passed_on, CHECK_ONCE},
    {"transparent huge pages are no difference", transparent_huge_pages_are_no_difference, CHECK_ONCE},
    {"ranges of userfaultfd are passed on", ranges_of_userfaultfd_are_passed_on, CHECK_ONCE},
    {"a memory error costs its page", a_memory_error_costs_its_page, 0},
};

CHECK_MAIN(cases)
