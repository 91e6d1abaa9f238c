/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what the kernel is asked about mappings, twice: where it answers for one mapping (PROCMAP_QUERY), and where it does not
 * know the request, so that the list of all mappings is read. Both ways must say the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"
#include "forbid.h"
#include "os/linux/map_text.h"
#include "os/map.h"
#include "os/map_query.h"

#define PAGES 6

static struct map_scratch scratch;
static size_t page;

/** Maps pages of a new file between two holes. */
static unsigned char *
map_between_holes(const char *name, int protection, int kind)
{
    page = (size_t)check_page();
    const int fd = open(check_file(name, (PAGES + 1) * page), O_RDWR | O_CLOEXEC);
    unsigned char *room = mmap(NULL, (PAGES + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(fd >= 0 && room != MAP_FAILED && munmap(room, (PAGES + 2) * page) == 0);
    REQUIRE(mmap(room + page, PAGES * page, protection, kind | MAP_FIXED, fd, (off_t)page) == room + page);
    close(fd);
    return room + page;
}

static int
find(const void *address, struct map_area *area)
{
    memset(&scratch, '!', sizeof scratch);
    return mmgi_map_find((uintptr_t)address, scratch.path, scratch.text, area);
}

/** Runs a body in two children. In the second one, the kernel does not know the request. */
static void
run_both_ways(void (*body)(void *is_known))
{
    struct map_area area;
    static const char here;
    if (find(&here, &area) != 0 || check_under_qemu()) {
        check_skip("there is no list of mappings here, or it is that of the emulator");
        return;
    }
    CHECK_EXITED(check_child(body, &area));
    CHECK_EXITED(check_child(body, NULL));
}

/** Begins in a child. Returns false where the request cannot be taken away. */
static bool
begin(const void *is_known)
{
    return is_known != NULL || forbid(SYS_ioctl, ENOTTY);
}

/* ------------------------------------------------------------------------------------------------------ one area -- */

static void
describe_areas(void *is_known)
{
    struct map_area area;
    if (!begin(is_known)) {
        return;
    }
    CHECK(is_known != NULL || !mmgi_map_query_is_known());
    unsigned char *start = map_between_holes("described", PROT_READ | PROT_WRITE, MAP_SHARED);
    REQUIRE(mprotect(start + 2 * page, page, PROT_READ) == 0);
    for (size_t index = 2; index < 4; index++) {
        CHECK_I64(find(start + index * page + 7, &area), 0);
        CHECK_U64(area.start, (uintptr_t)start + index * page);
        CHECK_U64(area.end, (uintptr_t)start + (index == 2 ? 3 : PAGES) * page);
        CHECK_U64(area.offset, (index + 1) * page);
        CHECK_U64(area.access, index == 2 ? MAP_ACCESS_READ : MAP_ACCESS_READ | MAP_ACCESS_WRITE);
        CHECK(area.is_shared && area.inode != 0);
        CHECK_I64(area.is_from_list, !mmgi_map_query_is_known());
        CHECK_TEXT(scratch.path, check_path("described"));
    }
    CHECK_I64(find(start + PAGES * page - 1, &area), 0);
    CHECK_I64(find(start - 1, &area), ENOENT);
    CHECK_I64(find(start + PAGES * page, &area), ENOENT);
    CHECK_I64(find((void *)UINTPTR_MAX, &area), ENOENT);
    void *memory = mmap(start, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    REQUIRE(memory == start);
    CHECK_I64(find(start, &area), 0);
    CHECK(area.inode == 0 && area.access == 0 && !area.is_shared);
    CHECK_TEXT(scratch.path, "");
}

static void
an_area_is_described_as_it_is(void)
{
    run_both_ways(describe_areas);
}

static void
name_areas(void *is_known)
{
    static const char *const names[] = {"two words", " ahead", "line\nfeed", "\\012", "\n"};
    struct map_area area;
    if (!begin(is_known)) {
        return;
    }
    for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
        CHECK_I64(find(map_between_holes(names[index], PROT_READ, MAP_PRIVATE), &area), 0);
        /* The list has the same characters for a line feed and for a path that looks like one. */
        CHECK_TEXT(scratch.path, check_path(area.is_from_list && index == 3 ? "\n" : names[index]));
        CHECK(!area.is_shared);
    }
}

static void
a_path_has_all_its_characters(void)
{
    run_both_ways(name_areas);
}

/** The list of some emulators has nothing behind the inode of an area without a name, not even the spaces of the kernel. */
static void
an_area_without_a_name_has_no_path(void)
{
    static const char list[] = "1000-3000 rw-p 00000000 00:00 0\n"
                               "3000-4000 r-xs 00002000 08:01 77 /a/file\n"
                               "5000-6000 ---p 00000000 00:00 0\n";
    const int fd = open(check_file_with("list", list, sizeof list - 1), O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    for (uintptr_t wanted = 0x1000; wanted <= 0x5000; wanted += 0x2000) {
        struct map_text reader = {.fd = fd, .text = scratch.text};
        struct map_area area = {.end = 0};
        memset(scratch.path, '!', sizeof scratch.path);
        REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
        while (area.end <= wanted) {
            REQUIRE(mmgi_map_text_next(&reader, wanted, scratch.path, &area));
        }
        CHECK_U64(area.start, wanted);
        CHECK_U64(area.inode, wanted == 0x3000 ? 77 : 0);
        CHECK_TEXT(scratch.path, wanted == 0x3000 ? "/a/file" : "");
    }
    struct map_text reader = {.fd = fd, .text = scratch.text};
    struct map_area area;
    unsigned count = 0;
    REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
    while (mmgi_map_text_next(&reader, 0, NULL, &area)) {
        count++;
    }
    CHECK_U64(count, 3);
    close(fd);
}

/* ------------------------------------------------------------------------------------------------- the next area -- */

static uint64_t wanted_inode, seen_wrong;

static bool
is_wanted(const struct map_area *area)
{
    seen_wrong += area->inode == 0;
    return area->inode == wanted_inode;
}

static void
search_areas(void *is_known)
{
    struct map_area area, other, found;
    int list = -1;
    if (!begin(is_known)) {
        return;
    }
    unsigned char *one = map_between_holes("one", PROT_READ, MAP_SHARED);
    unsigned char *two = map_between_holes("two", PROT_READ, MAP_PRIVATE);
    CHECK(find(one, &area) == 0 && find(two, &other) == 0);
    const uintptr_t low = area.start < other.start ? area.start : other.start;
    REQUIRE(mmgi_map_list_open(&list) == 0);
    for (int round = 0; round < 2; round++) {
        wanted_inode = round == 0 ? area.inode : other.inode;
        CHECK_I64(mmgi_map_list_next(list, 0, is_wanted, scratch.path, scratch.text, &found), 0);
        CHECK_U64(found.start, round == 0 ? area.start : other.start);
        CHECK_TEXT(scratch.path, check_path(round == 0 ? "one" : "two"));
        CHECK_I64(mmgi_map_list_next(list, low, is_wanted, scratch.path, scratch.text, &found), 0);
        CHECK_U64(found.start, round == 0 ? area.start : other.start);
        CHECK_I64(mmgi_map_list_next(list, found.end, is_wanted, scratch.path, scratch.text, &found), ENOENT);
    }
    CHECK_U64(seen_wrong, 0);
    wanted_inode = UINT64_MAX;
    CHECK_I64(mmgi_map_list_next(list, 0, is_wanted, scratch.path, scratch.text, &found), ENOENT);
    CHECK_I64(mmgi_map_list_find(list, low, scratch.path, scratch.text, &found), 0); /* the list serves again */
    CHECK_U64(found.start, low);
    mmgi_map_list_close(list);
    CHECK(fcntl(list, F_GETFD) < 0);
}

static void
the_next_area_is_the_first_that_is_wanted(void)
{
    run_both_ways(search_areas);
}

/* --------------------------------------------------------------------------------------------- programs that run -- */

static bool
is_loaded(const void *address, bool everywhere)
{
    struct map_area area;
    int list = -1;
    REQUIRE(mmgi_map_list_open(&list) == 0);
    REQUIRE(mmgi_map_list_find(list, (uintptr_t)address, NULL, scratch.text, &area) == 0);
    const bool result = mmgi_map_is_loaded(list, &area, everywhere, scratch.text);
    mmgi_map_list_close(list);
    return result;
}

static void
look_for_code(void *is_known)
{
    static const char text[] = "a constant of this program";
    if (!begin(is_known)) {
        return;
    }
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0);
    const unsigned char *data = map_between_holes("data", PROT_READ, MAP_PRIVATE);
    void *room = map_between_holes("room", PROT_READ, MAP_PRIVATE);
    const void *program = mmap(room, page, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    REQUIRE(program == room);
    for (int everywhere = 0; everywhere < 2; everywhere++) {
        CHECK(is_loaded(text, everywhere));
        CHECK(!is_loaded(data, everywhere));
    }
    CHECK(is_loaded(program, true));
    /* Whoever reads the whole list anyway sees the code anywhere. */
    CHECK_I64(is_loaded(program, false), !mmgi_map_query_is_known());
    /* Code behind the area counts as well as code in front of it. */
    void *behind = mmap((unsigned char *)room + page, page, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd, 0);
    CHECK(behind == MAP_FAILED || is_loaded(program, false));
    close(fd);
}

static void
a_file_whose_code_is_mapped_is_loaded(void)
{
    run_both_ways(look_for_code);
}

/* -------------------------------------------------------------------------------------------------------- limits -- */

static void
ask_without_descriptors(void *is_known)
{
    struct map_area area;
    struct rlimit limit, after;
    if (!begin(is_known)) {
        return;
    }
    const int free_one = dup(0);
    REQUIRE(free_one >= 0 && close(free_one) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const rlim_t first_free = (rlim_t)free_one;
    limit.rlim_cur = 0;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_I64(find(&area, &area), 0);
    REQUIRE(getrlimit(RLIMIT_NOFILE, &after) == 0);
    CHECK(after.rlim_cur == 0 && after.rlim_max == limit.rlim_max);
    limit.rlim_cur = limit.rlim_max = first_free;
    REQUIRE(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_I64(find(&area, &area), EMFILE);
    CHECK(!mmgi_map_query_is_known());
    close(0);
    CHECK_I64(find(&area, &area), 0);
}

/** What an earlier call left in errno is no interruption of this one. */
CHECK_IN_A_CHILD(an_answer_does_not_depend_on_errno)
{
    static const int left[] = {EINTR, EMFILE, ENOENT};
    static const char here;
    struct map_area area;
    if (find(&here, &area) != 0) {
        return;
    }
    const unsigned before = check_descriptors();
    for (size_t index = 0; index < sizeof left / sizeof *left; index++) {
        errno = left[index];
        CHECK_I64(find(&here, &area), 0);
        CHECK_U64(check_descriptors(), before);
    }
}

static void
without_a_descriptor_the_limit_is_lifted_for_a_moment(void)
{
    if (check_under_valgrind()) {
        check_skip("Valgrind does not let the hard limit of descriptors fall");
        return;
    }
    run_both_ways(ask_without_descriptors);
}

static bool
wants_none(const struct map_area *area)
{
    (void)area;
    return false;
}

static void
ask_without_proc(void *unused)
{
    struct map_area area;
    int list = -1;
    (void)unused;
    CHECK_I64(mmgi_map_list_find(-1, (uintptr_t)&area, scratch.path, scratch.text, &area), EIO);
    CHECK_I64(mmgi_map_list_next(-1, 0, wants_none, scratch.path, scratch.text, &area), EIO);
    unsigned char *bytes = map_between_holes("written", PROT_READ | PROT_WRITE, MAP_PRIVATE);
    bytes[0] = 7;
    CHECK(mmgi_map_has_copies((uintptr_t)bytes, (uintptr_t)bytes + page, scratch.text));
    unsigned char *read = map_between_holes("read", PROT_READ, MAP_PRIVATE);
    CHECK(mmgi_map_has_no_copies((uintptr_t)read, (uintptr_t)read + page, scratch.text));
    if (!forbid_opening(O_RDONLY | O_CLOEXEC, ENOENT)) {
        return;
    }
    CHECK_I64(mmgi_map_list_open(&list), ENOSYS);
    CHECK_I64(find(&area, &area), ENOSYS);
    CHECK(!mmgi_map_query_is_known());
    CHECK(!mmgi_map_has_copies((uintptr_t)bytes, (uintptr_t)bytes + page, scratch.text));
    CHECK(!mmgi_map_has_no_copies((uintptr_t)read, (uintptr_t)read + page, scratch.text));
}

static void
without_proc_nothing_is_known(void)
{
    if (check_under_qemu() || check_is_slow()) {
        check_skip("an emulator and sanitizers open files themselves");
        return;
    }
    CHECK_EXITED(check_child(ask_without_proc, NULL));
}

/** More pages than one read tells of. */
static void
a_copy_is_found_among_many_pages(void)
{
    const size_t pages = 3 * MAP_TEXT_SIZE / sizeof(uint64_t);
    page = (size_t)check_page();
    const int fd = open(check_file("many", pages * page), O_RDONLY | O_CLOEXEC);
    unsigned char *start = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    REQUIRE(fd >= 0 && start != MAP_FAILED);
    const uintptr_t from = (uintptr_t)start, to = from + pages * page;
    CHECK(!mmgi_map_has_copies(from, to, scratch.text));
    start[(pages - 1) * page] = 7;
    if (!mmgi_map_has_copies(to - page, to, scratch.text)) {
        check_skip("the kernel does not say here which pages are copies");
    } else {
        CHECK(mmgi_map_has_copies(from, to, scratch.text));
        CHECK(!mmgi_map_has_copies(from, to - page, scratch.text));
        CHECK(!mmgi_map_has_no_copies(from, to, scratch.text));
        CHECK(mmgi_map_has_no_copies(from, to - page, scratch.text));
        CHECK(!mmgi_map_has_no_copies(UINTPTR_MAX / page * page - page, UINTPTR_MAX / page * page, scratch.text));
        CHECK(!mmgi_map_has_copies(from, from, scratch.text));
    }
    munmap(start, pages * page);
    close(fd);
}

static const struct check_case cases[] = {
    {"an area is described as it is", an_area_is_described_as_it_is, 0},
    {"a path has all its characters", a_path_has_all_its_characters, 0},
    {"an area without a name has no path", an_area_without_a_name_has_no_path, 0},
    {"the next area is the first that is wanted", the_next_area_is_the_first_that_is_wanted, 0},
    {"a file whose code is mapped is loaded", a_file_whose_code_is_mapped_is_loaded, 0},
    {"an answer does not depend on errno", an_answer_does_not_depend_on_errno, 0},
    {"without a descriptor the limit is lifted for a moment", without_a_descriptor_the_limit_is_lifted_for_a_moment, 0},
    {"without /proc nothing is known", without_proc_nothing_is_known, 0},
    {"a copy is found among many pages", a_copy_is_found_among_many_pages, 0},
};

CHECK_MAIN(cases)
