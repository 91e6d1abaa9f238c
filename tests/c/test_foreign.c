/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what the guard makes of a fault in a foreign mapping while the kernel's answers do not fit together, because the owner
 * or a writer changes things between two questions. The answers are those of a plan; the pages and the file are real.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guard/foreign.h"
#include "guard/foreign_file.h"
#include "guard/ledger.h"
#include "guard/process_guard.h"
#include "guard/spares.h"
#include "standing_in.h"

STANDS_IN(bool, mmgi_ask_may_retry, (uintptr_t address), (address))
STANDS_IN(bool, mmgi_foreign_file_has_changed, (const struct foreign *f), (f))
STANDS_IN(bool, mmgi_foreign_is_readable, (uintptr_t address), (address))
STANDING_IN(int, mmgi_map_list_find, (int list, uintptr_t address, char *path, char *text, struct map_area *area))
STANDING_IN(void, mmgi_map_await_changes, (void))
STANDING_IN(bool, mmgi_foreign_look_at_file, (struct foreign * f, enum file_medium *medium))

/* The guard looks this often before it believes answers that do not fit together. */
#define LOOKS 6
#define PAGES 4
#define ALWAYS(answer) answer, answer, answer, answer, answer, answer, answer, answer, answer, answer

static enum file_medium medium_of_file;

bool
__wrap_mmgi_foreign_look_at_file(struct foreign *f, enum file_medium *medium)
{
    const bool is_guarded = __real_mmgi_foreign_look_at_file(f, medium);
    CALLS(mmgi_foreign_look_at_file)++;
    *medium = medium_of_file;
    return is_guarded;
}

static bool only_has_list;      /* the kernel does not answer for one mapping, as an old one does not */
static const char *listed_path; /* what the list has for a path; NULL: what the kernel says */
static unsigned asked_at_await; /* how often the kernel was asked before the last wait for changes */

int
__wrap_mmgi_map_list_find(int list, uintptr_t address, char *path, char *text, struct map_area *area)
{
    int result;
    if (plan_next(&mmgi_map_list_find_plan, &result)) {
        return result;
    }
    result = __real_mmgi_map_list_find(list, address, path, text, area);
    area->is_from_list = area->is_from_list || only_has_list;
    if (listed_path != NULL && path != NULL) {
        memcpy(path, listed_path, strlen(listed_path) + 1);
    }
    return result;
}

void
__wrap_mmgi_map_await_changes(void)
{
    CALLS(mmgi_map_await_changes)++;
    asked_at_await = CALLS(mmgi_map_list_find);
    __real_mmgi_map_await_changes();
}

bool __wrap_mmgi_process_guard_is_on(uint32_t *flags);

/** The process is guarded in every case. */
bool
__wrap_mmgi_process_guard_is_on(uint32_t *flags)
{
    *flags = 0;
    return true;
}

static uint8_t *bytes;

static uint64_t
size_of_bytes(void)
{
    return PAGES * check_page();
}

/** Maps memory, or a file on such a medium, that no page can be read of. Returns false, and skips, without a list of mappings. */
static bool
map_unreadable(const char *path, enum file_medium medium)
{
    char text[MAP_TEXT_SIZE];
    struct map_area area;
    mmgi_spares_fill();
    const int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(path == NULL || fd >= 0);
    bytes = mmap(NULL, size_of_bytes(), PROT_READ, MAP_PRIVATE | (path == NULL ? MAP_ANONYMOUS : 0), fd, 0);
    REQUIRE(bytes != MAP_FAILED);
    REQUIRE(path == NULL || close(fd) == 0);
    if (mmgi_map_find((uintptr_t)bytes, NULL, text, &area) != 0 || (area.inode == 0) != (path == NULL)) {
        munmap(bytes, size_of_bytes());
        check_skip("the kernel does not say here what is mapped at an address");
        return false;
    }
    medium_of_file = medium;
    PLAN(mmgi_foreign_look_at_file, GO_ON);
    PLAN(mmgi_foreign_is_readable, ALWAYS(false));
    PLAN(mmgi_foreign_file_has_changed, GO_ON);
    PLAN(mmgi_map_list_find, GO_ON);
    PLAN(mmgi_ask_may_retry, true);
    return true;
}

static void
give_back(void)
{
    CHECK(munmap(bytes, size_of_bytes()) == 0);
}

/** Contains a fault in the second page. */
static bool
contain(void)
{
    return mmgi_foreign_contain(bytes + check_page() + 17, 0);
}

static bool
is_replaced(uint64_t index)
{
    return check_is_zero(bytes + index * check_page(), check_page());
}

/** A device fails under a file that somebody writes to all the time. */
static void
a_file_that_changes_is_believed_at_the_last_look(void)
{
    if (!map_unreadable(check_file("file", size_of_bytes()), FILE_MEDIUM_DISK)) {
        return;
    }
    PLAN(mmgi_foreign_file_has_changed, ALWAYS(true));
    const mmg_stats before = check_stats();
    CHECK(contain());
    CHECK_U64(CALLS(mmgi_foreign_look_at_file), LOOKS);
    CHECK_U64(CALLS(mmgi_foreign_file_has_changed), LOOKS - 1);
    CHECK_U64(check_stats().losses_io, before.losses_io + 1);
    CHECK(is_replaced(1) && !is_replaced(0) && !is_replaced(2));
    give_back();
}

static void
a_file_that_is_as_it_was_is_believed_at_once(void)
{
    if (!map_unreadable(check_file("file", size_of_bytes()), FILE_MEDIUM_DISK)) {
        return;
    }
    PLAN(mmgi_foreign_file_has_changed, true, false);
    CHECK(contain());
    CHECK_U64(CALLS(mmgi_foreign_look_at_file), 2);
    CHECK(is_replaced(1) && !is_replaced(0) && !is_replaced(2));
    give_back();
}

/** A change that was under way when the guard asked has ended before the guard asks for the last time. */
static void
a_change_that_is_under_way_ends_before_the_last_question(void)
{
    for (unsigned round = 0; round <= 1; round++) {
        if (!map_unreadable(check_file("file", size_of_bytes()), FILE_MEDIUM_DISK)) {
            return;
        }
        only_has_list = round == 1;
        PLAN(mmgi_foreign_file_has_changed, false);
        PLAN(mmgi_map_await_changes, GO_ON);
        CHECK(contain());
        only_has_list = false;
        CHECK_U64(CALLS(mmgi_map_await_changes), 1);
        CHECK_U64(asked_at_await, CALLS(mmgi_map_list_find) - 1);
        CHECK(is_replaced(1));
        give_back();
    }
}

/** The kernel adds a word to the path of a file that has no name any more. The ledger has the path that the file had. */
static void
the_ledger_has_the_path_without_what_the_kernel_adds(void)
{
    static const struct {
        const char *listed, *path;
    } files[] = {
        {"/folder/file (deleted)", "/folder/file"},
        {"/a (deleted)", "/a"},
        {"/ (deleted)", "/"},
        {"/file (deleted) (deleted)", "/file (deleted)"},
        {"/file(deleted)", "/file(deleted)"},
        {"/file", "/file"},
    };
    for (size_t index = 0; index < sizeof files / sizeof *files; index++) {
        mmg_loss record;
        int patience = 0;
        if (!map_unreadable(check_file("file", size_of_bytes()), FILE_MEDIUM_DISK)) {
            return;
        }
        listed_path = files[index].listed;
        CHECK(contain());
        listed_path = NULL;
        CHECK(mmgi_ledger_read(mmgi_ledger_newest(), &patience, &record));
        CHECK_TEXT(record.path, files[index].path);
        give_back();
    }
}

/** Memory does not fail, so the guard passes the signal on, whatever the file does. */
static void
a_file_in_memory_is_looked_at_as_often_and_kept(void)
{
    if (!map_unreadable(check_file("file", size_of_bytes()), FILE_MEDIUM_MEMORY)) {
        return;
    }
    CHECK(!contain());
    CHECK_U64(CALLS(mmgi_foreign_look_at_file), LOOKS);
    CHECK_U64(CALLS(mmgi_foreign_file_has_changed), 0);
    CHECK(check_is_pattern(bytes, 0, size_of_bytes()));
    give_back();
}

/** Memory in the place of the file: the owner may be mapping another file. */
static void
memory_that_cannot_be_read_is_looked_at_as_often(void)
{
    if (!map_unreadable(NULL, FILE_MEDIUM_MEMORY)) {
        return;
    }
    CHECK(!contain());
    CHECK_U64(CALLS(mmgi_foreign_is_readable), LOOKS);
    PLAN(mmgi_foreign_is_readable, false, false, true);
    CHECK(contain());
    CHECK_U64(CALLS(mmgi_foreign_is_readable), 3);
    CHECK_U64(CALLS(mmgi_ask_may_retry), 1);
    CHECK_U64(CALLS(mmgi_foreign_look_at_file), 0);
    give_back();
}

static void
nothing_at_the_address_is_tried_again_and_no_answer_is_passed_on(void)
{
    if (!map_unreadable(NULL, FILE_MEDIUM_MEMORY)) {
        return;
    }
    PLAN(mmgi_map_list_find, ENOENT);
    CHECK(contain());
    CHECK_U64(CALLS(mmgi_map_list_find), 1);
    PLAN(mmgi_map_list_find, ENOENT);
    PLAN(mmgi_ask_may_retry, false);
    CHECK(!contain());
    PLAN(mmgi_map_list_find, EIO);
    CHECK(!contain());
    CHECK_U64(CALLS(mmgi_map_list_find), 1);
    CHECK_U64(CALLS(mmgi_ask_may_retry), 1);
    give_back();
}

/** Returns the lowest number that the next descriptor of this process gets. */
static int
next_descriptor(void)
{
    const int fd = open("/", O_RDONLY | O_CLOEXEC);
    REQUIRE(fd >= 0 && close(fd) == 0);
    return fd;
}

/** A signal without an address makes the guard read the list of all mappings, which it closes. */
static void
a_look_at_all_mappings_leaves_no_descriptor(void)
{
    const char *path = check_file("file", size_of_bytes());
    if (!map_unreadable(path, FILE_MEDIUM_DISK)) {
        return;
    }
    const int next = next_descriptor();
    CHECK(!mmgi_foreign_contain_truncated());
    CHECK_I64(next_descriptor(), next);
    if (check_reads_itself()) { /* otherwise nobody can ask whether a page is lost */
        check_truncate(path, check_page() + 5);
        REQUIRE(mmgi_foreign_contain_truncated());
        CHECK(is_replaced(PAGES - 1));
        CHECK_I64(next_descriptor(), next);
    }
    give_back();
}

static const struct check_case cases[] = {
    {"a look at all mappings leaves no descriptor", a_look_at_all_mappings_leaves_no_descriptor, 0},
    {"a file that changes is believed at the last look", a_file_that_changes_is_believed_at_the_last_look, 0},
    {"a file that is as it was is believed at once", a_file_that_is_as_it_was_is_believed_at_once, 0},
    {"a change that is under way ends before the last question",
     a_change_that_is_under_way_ends_before_the_last_question, 0},
    {"a file in memory is looked at as often, and kept", a_file_in_memory_is_looked_at_as_often_and_kept, 0},
    {"memory that cannot be read is looked at as often", memory_that_cannot_be_read_is_looked_at_as_often, 0},
    {"nothing at the address is tried again, and no answer is passed on",
     nothing_at_the_address_is_tried_again_and_no_answer_is_passed_on, 0},
    {"the ledger has the path without what the kernel adds", the_ledger_has_the_path_without_what_the_kernel_adds,
     CHECK_LOSES},
};

CHECK_MAIN(cases)
