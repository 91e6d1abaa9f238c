/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what the guard makes of a mapping that other code has made and changed: pages that no longer show the file are told
 * from those that do, and only the latter are replaced. Where the kernel cannot be asked, nothing is touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard/adopted.h"
#include "guard/ask.h"
#include "os/map.h"
#include "os/map_query.h"
#include "standing_in.h"

STANDS_IN_FOR_MEMORY(struct map_scratch *, mmgi_ask_begin, (void), ())
STANDS_IN_SILENTLY(mmgi_ask_end, (struct map_scratch * scratch), (scratch))
STANDS_IN(bool, mmgi_ask_begin_replacing, (void), ())
STANDS_IN_SILENTLY(mmgi_ask_end_replacing, (void), ())
STANDS_IN(int, mmgi_map_find, (uintptr_t address, char *path, char *text, struct map_area *area),
          (address, path, text, area))
STANDS_IN(bool, mmgi_map_has_copies, (uintptr_t from, uintptr_t to, char *text), (from, to, text))
STANDS_IN(bool, mmgi_map_has_no_copies, (uintptr_t from, uintptr_t to, char *text), (from, to, text))
STANDS_IN(int, mmgi_map_list_open, (int *list), (list))
STANDS_IN_SILENTLY(mmgi_map_list_close, (int list), (list))
STANDING_IN(enum replaced, mmgi_spares_replace,
            (unsigned char *start, size_t length, unsigned char *fault, unsigned access))
STANDS_IN(enum replaced, mmgi_spares_replace_at_last,
          (unsigned char *start, size_t length, unsigned char *fault, unsigned access), (start, length, fault, access))

#define PAGES 8
#define SCRATCHES 20 /* more than there are */

/** The page that was touched, as the calls for the parts were told; NULL when each was told that it was in another part. */
static unsigned char *touched;

enum replaced
__wrap_mmgi_spares_replace(unsigned char *start, size_t length, unsigned char *fault, unsigned access)
{
    int result;
    CHECK(fault == NULL || (fault >= start && fault < start + length));
    touched = fault != NULL ? fault : touched;
    return plan_next(&mmgi_spares_replace_plan, &result) ? (enum replaced)result
                                                         : __real_mmgi_spares_replace(start, length, fault, access);
}

static size_t page;
static struct registration r;

static unsigned char *
page_at(size_t index)
{
    return r.start + index * page;
}

/** Maps a file of so many pages, and asks the kernel what it is called there. Returns false, and skips, if it does not say. */
static bool
adopt(size_t pages, int kind, int protection)
{
    char text[MAP_TEXT_SIZE];
    struct map_area area;
    page = (size_t)check_page();
    mmgi_spares_fill();
    const int fd = open(check_file("file", pages * page), O_RDWR | O_CLOEXEC);
    REQUIRE(fd >= 0);
    unsigned char *start = mmap(NULL, pages * page, protection, kind, fd, 0);
    REQUIRE(start != MAP_FAILED);
    close(fd);
    if (mmgi_map_find((uintptr_t)start, NULL, text, &area) != 0 || area.inode == 0 || !check_reads_itself()) {
        munmap(start, pages * page);
        check_skip("the kernel does not say here what is mapped at an address, or whether it can be read");
        return false;
    }
    r = (struct registration){
        .start = start, .length = pages * page, .page = page, .fd = -1, .device = area.device, .inode = area.inode};
    PLAN(mmgi_spares_replace, GO_ON);
    PLAN(mmgi_spares_replace_at_last, GO_ON);
    PLAN(mmgi_ask_end, GO_ON);
    PLAN(mmgi_ask_end_replacing, GO_ON);
    PLAN(mmgi_map_list_open, GO_ON);
    PLAN(mmgi_map_list_close, GO_ON);
    PLAN(mmgi_map_has_copies, GO_ON);
    PLAN(mmgi_map_has_no_copies, GO_ON);
    touched = NULL;
    return true;
}

static void
give_back(void)
{
    munmap(r.start, r.length);
}

/** Puts memory with sevens in the place of a page. */
static void
put_memory(size_t index, int protection)
{
    void *start = mmap(page_at(index), page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    REQUIRE(start != MAP_FAILED);
    memset(start, 7, page);
    REQUIRE(mprotect(start, page, protection) == 0);
}

static enum adopted_place
look_at(size_t index)
{
    return mmgi_adopted_look(&r, index * page + 5);
}

static enum replaced
replace(size_t first, size_t end)
{
    return mmgi_adopted_replace(&r, first * page, end * page, first * page);
}

static bool
is_replaced(size_t index)
{
    return check_is_zero(page_at(index), page);
}

static void
a_page_is_there_while_its_file_is_mapped_there(void)
{
    if (!adopt(PAGES, MAP_SHARED, PROT_READ)) {
        return;
    }
    CHECK_I64(look_at(0), ADOPTED_THERE);
    put_memory(2, PROT_READ);
    put_memory(3, PROT_NONE);
    REQUIRE(munmap(page_at(4), page) == 0);
    CHECK_I64(look_at(1), ADOPTED_THERE);
    CHECK_I64(look_at(2), ADOPTED_READABLE);
    CHECK_I64(look_at(3), ADOPTED_GONE);
    CHECK_I64(look_at(4), ADOPTED_GONE);
    CHECK_I64(look_at(5), ADOPTED_THERE);
    REQUIRE(mremap(page_at(6), page, page, MREMAP_MAYMOVE | MREMAP_FIXED, page_at(5)) != MAP_FAILED);
    CHECK_I64(look_at(5), ADOPTED_READABLE); /* the file at another offset */
    give_back();
}

static void
another_file_is_something_else(void)
{
    if (!adopt(PAGES, MAP_SHARED, PROT_READ)) {
        return;
    }
    const struct registration before = r;
    r.inode++;
    CHECK_I64(look_at(0), ADOPTED_READABLE);
    r = before;
    r.device++;
    CHECK_I64(look_at(0), ADOPTED_READABLE);
    r.inode = 0; /* a snapshot, which no other process can open, is known by its offset alone */
    CHECK_I64(look_at(0), ADOPTED_THERE);
    put_memory(0, PROT_READ);
    CHECK_I64(look_at(0), ADOPTED_READABLE);
    CHECK_I64(look_at(1), ADOPTED_THERE);
    r.file_offset = page;
    CHECK_I64(look_at(1), ADOPTED_READABLE);
    r = before;
    give_back();
}

static void
only_what_shows_the_file_is_replaced(void)
{
    if (!adopt(PAGES, MAP_SHARED, PROT_READ)) {
        return;
    }
    put_memory(3, PROT_READ);
    REQUIRE(mprotect(page_at(5), page, PROT_NONE) == 0);
    CHECK_I64(mmgi_adopted_replace(&r, page, 7 * page, 4 * page), REPLACED_ALL);
    CHECK(check_is_pattern(page_at(0), 0, page) && check_is_pattern(page_at(7), 7 * page, page));
    CHECK(is_replaced(1) && is_replaced(2) && is_replaced(4) && is_replaced(6));
    CHECK_U64(page_at(3)[0], 7);
    CHECK(!mmgi_map_is_readable(page_at(5))); /* it keeps its protection */
    REQUIRE(mprotect(page_at(5), page, PROT_READ) == 0);
    CHECK(is_replaced(5));
    CHECK(touched == page_at(4));
    CHECK_U64(CALLS(mmgi_spares_replace), 4); /* pages 1 and 2, 4, 5, and 6 */
    CHECK_U64(CALLS(mmgi_ask_end), 1);
    CHECK_U64(CALLS(mmgi_ask_end_replacing), 1);
    CHECK_U64(CALLS(mmgi_map_list_close), 1);
    CHECK_I64(replace(1, 7), REPLACED_NOTHING); /* nothing shows the file any more */
    CHECK_U64(page_at(3)[0], 7);
    give_back();
}

static void
what_the_kernel_refuses_ends_the_work(void)
{
    static const enum replaced ends[] = {REPLACED_NOTHING, REPLACED_PAGE};
    for (size_t index = 0; index < 2; index++) {
        if (!adopt(PAGES, MAP_SHARED, PROT_READ)) {
            return;
        }
        put_memory(2, PROT_READ);
        put_memory(4, PROT_READ);
        PLAN(mmgi_spares_replace, GO_ON, (int)ends[index]);
        CHECK_I64(replace(1, 7), ends[index]);
        CHECK(is_replaced(1) && !is_replaced(3) && !is_replaced(5));
        CHECK_U64(CALLS(mmgi_spares_replace), 2);
        give_back();
    }
}

/** Nothing larger is left to try than the whole mapping. */
static void
the_whole_mapping_is_a_last_attempt(void)
{
    if (!adopt(PAGES, MAP_SHARED, PROT_READ)) {
        return;
    }
    CHECK_I64(replace(1, PAGES), REPLACED_ALL);
    CHECK_U64(CALLS(mmgi_spares_replace_at_last), 0);
    CHECK_I64(replace(0, PAGES - 1), REPLACED_ALL);
    CHECK_U64(CALLS(mmgi_spares_replace_at_last), 0);
    give_back();
    if (adopt(PAGES, MAP_SHARED, PROT_READ)) {
        CHECK_I64(replace(0, PAGES), REPLACED_ALL);
        CHECK_U64(CALLS(mmgi_spares_replace_at_last), 1);
        CHECK_U64(CALLS(mmgi_spares_replace), 0);
        give_back();
    }
}

static void
one_call_replaces_no_more_than_64_parts(void)
{
    if (!adopt(70, MAP_SHARED, PROT_READ)) {
        return;
    }
    for (size_t index = 1; index < 70; index += 2) {
        REQUIRE(mprotect(page_at(index), page, PROT_READ | PROT_WRITE) == 0);
    }
    CHECK_I64(replace(1, 70), REPLACED_ALL);
    CHECK(!is_replaced(0) && is_replaced(1) && is_replaced(64) && !is_replaced(65));
    CHECK_I64(replace(65, 70), REPLACED_ALL);
    CHECK(is_replaced(65) && is_replaced(69));
    give_back();
}

/** What one call does not replace, it need not look at. */
static void
one_call_looks_at_no_more_than_64_parts_for_copies(void)
{
    if (!adopt(70, MAP_PRIVATE, PROT_READ)) {
        return;
    }
    for (size_t index = 1; index < 70; index += 2) {
        REQUIRE(mprotect(page_at(index), page, PROT_READ | PROT_WRITE) == 0);
    }
    page_at(65)[0] = 7;
    PLAN(mmgi_map_find, GO_ON);
    CHECK(!mmgi_adopted_has_copies(&r, page, 70 * page));
    CHECK_U64(CALLS(mmgi_map_find), 64);
    CHECK(mmgi_adopted_has_copies(&r, 2 * page, 70 * page));
    give_back();
}

static void
where_nobody_can_ask_nothing_is_touched(void)
{
    struct map_scratch *before = NULL;
    if (!adopt(PAGES, MAP_PRIVATE, PROT_READ)) {
        return;
    }
    PLAN(mmgi_ask_begin, 0, 0, 0);
    CHECK_I64(look_at(0), ADOPTED_GONE);
    CHECK_I64(replace(0, PAGES), REPLACED_NOTHING);
    CHECK(mmgi_adopted_has_copies(&r, 0, PAGES * page)); /* so the caller leaves the pages alone */
    CHECK_U64(CALLS(mmgi_ask_end), 0);
    PLAN(mmgi_ask_begin_replacing, false);
    CHECK_I64(replace(0, PAGES), REPLACED_NOTHING);
    CHECK_U64(CALLS(mmgi_ask_end_replacing), 0);
    CHECK_U64(CALLS(mmgi_map_list_open), 0);
    PLAN(mmgi_map_list_open, EMFILE);
    CHECK_I64(replace(0, PAGES), REPLACED_NOTHING);
    CHECK_U64(CALLS(mmgi_ask_end_replacing), 1);
    CHECK_U64(CALLS(mmgi_map_list_close), 0);
    CHECK_U64(CALLS(mmgi_ask_end), 2);
    PLAN(mmgi_map_find, EMFILE, EMFILE);
    CHECK_I64(look_at(0), ADOPTED_GONE);
    CHECK(!mmgi_adopted_has_copies(&r, 0, PAGES * page));
    CHECK(check_is_pattern(r.start, 0, r.length));
    for (int turn = 0; turn < SCRATCHES; turn++) { /* each was given back */
        before = mmgi_ask_begin();
        REQUIRE(before != NULL);
        mmgi_ask_end(before);
    }
    give_back();
}

static void
pages_that_the_owner_has_written_are_copies(void)
{
    if (!adopt(PAGES, MAP_PRIVATE, PROT_READ | PROT_WRITE)) {
        return;
    }
    CHECK(!mmgi_adopted_has_copies(&r, 0, PAGES * page));
    page_at(4)[0] = 7;
    CHECK(mmgi_adopted_has_copies(&r, 0, PAGES * page));
    CHECK(mmgi_adopted_has_copies(&r, 4 * page, 5 * page));
    CHECK(!mmgi_adopted_has_copies(&r, 0, 4 * page));
    CHECK(!mmgi_adopted_has_copies(&r, 5 * page, PAGES * page));
    put_memory(4, PROT_READ); /* what shows the file no more is not replaced, so it does not matter */
    CHECK(!mmgi_adopted_has_copies(&r, 0, PAGES * page));
    page_at(6)[0] = 7;
    CHECK(mmgi_adopted_has_copies(&r, 0, PAGES * page)); /* the search goes on behind it */
    REQUIRE(munmap(page_at(5), page) == 0);
    CHECK(!mmgi_adopted_has_copies(&r, 0, PAGES * page)); /* it ends where nothing is mapped */
    give_back();
    if (adopt(PAGES, MAP_SHARED, PROT_READ | PROT_WRITE)) {
        page_at(4)[0] = 7;
        PLAN(mmgi_map_has_copies, true);
        CHECK(!mmgi_adopted_has_copies(&r, 0, PAGES * page));
        CHECK_U64(CALLS(mmgi_map_has_copies), 0); /* the file has what is written to a shared page */
        give_back();
    }
}

static bool
is_untouched(size_t first, size_t end)
{
    return mmgi_adopted_is_untouched(&r, first * page, end * page);
}

/** Other pages take the place of the mapping only while every part of it is what it was. */
static void
a_mapping_is_untouched_while_each_part_can_only_be_read(void)
{
    static const int protections[] = {PROT_NONE, PROT_READ | PROT_WRITE};
    if (!adopt(PAGES, MAP_PRIVATE, PROT_READ)) {
        return;
    }
    PLAN(mmgi_map_has_no_copies, true, true, true, true, true, true, true, true, true, true);
    CHECK(is_untouched(0, PAGES));
    REQUIRE(madvise(page_at(3), page, MADV_RANDOM) == 0); /* a part of its own */
    CHECK(is_untouched(0, PAGES));
    for (size_t index = 0; index < sizeof protections / sizeof *protections; index++) {
        REQUIRE(mprotect(page_at(5), page, protections[index]) == 0);
        CHECK(!is_untouched(0, PAGES) && !is_untouched(5, 6));
        CHECK(is_untouched(0, 5) && is_untouched(6, PAGES));
        REQUIRE(mprotect(page_at(5), page, PROT_READ) == 0);
    }
    put_memory(6, PROT_READ);
    CHECK(is_untouched(0, 6) && !is_untouched(0, PAGES) && is_untouched(7, PAGES));
    REQUIRE(munmap(page_at(6), page) == 0);
    CHECK(!is_untouched(0, 7));
    r.inode++;
    CHECK(!is_untouched(0, 1));
    give_back();
}

/** The kernel is asked about the pages of a private mapping, and must answer. */
static void
a_private_mapping_is_untouched_while_it_has_no_copies(void)
{
    if (!adopt(PAGES, MAP_PRIVATE, PROT_READ)) {
        return;
    }
    PLAN(mmgi_map_has_no_copies, true, false);
    CHECK(is_untouched(0, PAGES));
    CHECK(!is_untouched(0, PAGES));
    CHECK_U64(CALLS(mmgi_map_has_no_copies), 2);
    CHECK_U64(CALLS(mmgi_map_list_close), 3); /* the parts are looked at once more after their pages */
    CHECK_U64(CALLS(mmgi_ask_end), 2);
    PLAN(mmgi_map_has_no_copies, true, true);
    PLAN(mmgi_map_list_open, GO_ON, EMFILE);
    CHECK(!is_untouched(0, PAGES));
    PLAN(mmgi_ask_begin, 0);
    CHECK(!is_untouched(0, PAGES));
    give_back();
    if (adopt(PAGES, MAP_SHARED, PROT_READ)) {
        PLAN(mmgi_map_has_no_copies, false);
        CHECK(is_untouched(0, PAGES));
        CHECK_U64(CALLS(mmgi_map_has_no_copies), 0); /* the file has what is written to a shared page */
        give_back();
    }
}

static const struct check_case cases[] = {
    {"a page is there while its file is mapped there", a_page_is_there_while_its_file_is_mapped_there, 0},
    {"another file is something else", another_file_is_something_else, 0},
    {"only what shows the file is replaced", only_what_shows_the_file_is_replaced, 0},
    {"what the kernel refuses ends the work", what_the_kernel_refuses_ends_the_work, 0},
    {"the whole mapping is a last attempt", the_whole_mapping_is_a_last_attempt, 0},
    {"one call replaces no more than 64 parts", one_call_replaces_no_more_than_64_parts, 0},
    {"one call looks at no more than 64 parts for copies", one_call_looks_at_no_more_than_64_parts_for_copies, 0},
    {"where nobody can ask, nothing is touched", where_nobody_can_ask_nothing_is_touched, 0},
    {"a mapping is untouched while each part can only be read", a_mapping_is_untouched_while_each_part_can_only_be_read,
     0},
    {"a private mapping is untouched while it has no copies", a_private_mapping_is_untouched_while_it_has_no_copies, 0},
    {"pages that the owner has written are copies", pages_that_the_owner_has_written_are_copies, 0},
};

CHECK_MAIN(cases)
