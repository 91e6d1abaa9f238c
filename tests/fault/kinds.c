/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the kinds of mappings that the guard leaves alone, each with a fault of its own kind: the process ends as it ends
 * without the guard, and no loss is told. The file also tests kinds that look alike and are guarded.
 */
#include <dlfcn.h>
#include <link.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "guarding.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

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

/* ---------------------------------------------------------------------------------------------- not to be read -- */

static void
cut_a_mapping_for_writing_only(void *how)
{
    const char *path = check_file("written", whole());
    uint8_t *bytes = foreign_map(path, PROT_WRITE, MAP_PRIVATE, whole(), 0);
    guard(*(enum guarding *)how);
    check_truncate(path, check_page());
    REQUIRE(unlink(path) == 0);
    *(volatile uint8_t *)(bytes + 5 * check_page()) = 42;
}

/** The kernel does not say which pages of such a mapping are missing. None is taken from the owner. */
static void
a_mapping_that_cannot_be_read_is_left_alone(void)
{
    if (foreign_is_unsupported()) {
        return;
    }
    if (check_under_qemu()) {
        check_skip("qemu lets what can be written be read as well");
        return;
    }
    is_killed_in_each_way(cut_a_mapping_for_writing_only);
    const char *path = check_file("written", whole());
    uint8_t *bytes = foreign_map(path, PROT_WRITE, MAP_PRIVATE, whole(), 0);
    siginfo_t info = check_fault(bytes + 5 * check_page());
    *bytes = 42;
    check_truncate(path, check_page());
    REQUIRE(unlink(path) == 0);
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    const uint64_t mark = ledger_mark();
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 0);
    /* An owner who forbids every access while the handler runs gets a SIGSEGV from the next one. */
    REQUIRE(mprotect(bytes, whole(), PROT_NONE) == 0);
    CHECK_I64(mmg_handle_fault(SIGBUS, &info, NULL), 1);
    CHECK_U64(ledger_mark(), mark);
    REQUIRE(mprotect(bytes, check_page(), PROT_READ) == 0);
    CHECK_U64(*bytes, 42);
    CHECK(check_is_pattern(bytes + 1, 1, check_page() - 1));
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
    REQUIRE(munmap(bytes, whole()) == 0);
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

/** Tells this thread that the hardware has lost a page. */
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
    {"a mapping that cannot be read is left alone", a_mapping_that_cannot_be_read_is_left_alone, 0},
    {"ranges of userfaultfd are passed on", ranges_of_userfaultfd_are_passed_on, CHECK_ONCE},
    {"a memory error costs its page", a_memory_error_costs_its_page, 0},
};

CHECK_MAIN(cases)
