/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests how pages are replaced when the kernel refuses: by giving up spares, by lifting a limit, by unlocking, or by a spare
 * in the place of one page. The kernel's answers are those of a plan, so that each of these ways is taken for sure.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "guard/spares.h"
#include "os/map.h"
#include "os/map_query.h"
#include "os/process.h"
#include "standing_in.h"

STANDS_IN(int, mmgi_map_replace_with_zeros, (unsigned char *start, size_t length, unsigned access),
          (start, length, access))
STANDS_IN_FOR_MEMORY(unsigned char *, mmgi_map_spare_again, (void), ())
STANDS_IN(int, mmgi_map_spare_move, (unsigned char *spare, unsigned char *lost, unsigned access), (spare, lost, access))
STANDS_IN_SILENTLY(mmgi_map_spare_release, (unsigned char *spare), (spare))
STANDS_IN_FOR_MEMORY(unsigned char *, mmgi_map_spares, (size_t count), (count))
STANDS_IN_SILENTLY(mmgi_map_unlock, (unsigned char *start, size_t length), (start, length))
STANDS_IN(enum process_space_state, mmgi_process_space_lift, (struct process_space * before), (before))
STANDS_IN_SILENTLY(mmgi_process_space_restore, (const struct process_space *before), (before))

#define PAGES 4
#define SUCCEED GO_ON

/** Pages with other bytes than zeros. */
static unsigned char *pages;

static size_t
size_of_pages(void)
{
    return PAGES * (size_t)check_page();
}

static void
begin(void)
{
    pages = mmap(NULL, size_of_pages(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    memset(pages, 7, size_of_pages());
    mmgi_spares_fill();
    CHECK(spares_are_full());
    PLAN(mmgi_map_spare_release, SUCCEED);
    PLAN(mmgi_map_spare_again, SUCCEED);
}

static unsigned
missing(void)
{
    return atomic_load(&mmgi_spares_missing);
}

static bool
are_replaced(void)
{
    return check_is_zero(pages, size_of_pages());
}

/** Returns true when the `index`-th page has zeros. */
static bool
is_replaced(size_t index)
{
    return check_is_zero(pages + index * (size_t)check_page(), check_page());
}

static enum replaced
replace(unsigned char *fault)
{
    return mmgi_spares_replace(pages, size_of_pages(), fault, MAP_ACCESS_READ | MAP_ACCESS_WRITE);
}

static enum replaced
replace_at_last(void)
{
    return mmgi_spares_replace_at_last(pages, size_of_pages(), NULL, MAP_ACCESS_READ | MAP_ACCESS_WRITE);
}

CHECK_IN_A_CHILD(spares_are_made_once_and_again_when_some_are_missing)
{
    PLAN(mmgi_map_spares, ENOMEM);
    mmgi_spares_fill();
    CHECK_U64(missing(), SPARES);
    mmgi_spares_fill();
    CHECK_U64(missing(), 0);
    mmgi_spares_fill();
    CHECK_U64(CALLS(mmgi_map_spares), 2);
    begin();
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, ENOMEM, SUCCEED);
    CHECK_I64(replace(NULL), REPLACED_ALL);
    CHECK_U64(missing(), 2);
    PLAN(mmgi_map_spare_release, SUCCEED);
    mmgi_spares_fill();
    CHECK_U64(missing(), 0);
    CHECK_U64(CALLS(mmgi_map_spare_release), SPARES - 2); /* those whose place is taken */
}

CHECK_IN_A_CHILD(spares_that_another_thread_has_made_meanwhile_stay)
{
    PLAN_MEANWHILE(mmgi_map_spares, 1, mmgi_spares_fill);
    mmgi_spares_fill();
    CHECK_U64(missing(), 0);
    CHECK_U64(CALLS(mmgi_map_spare_release), SPARES);
}

CHECK_IN_A_CHILD(what_the_kernel_replaces_at_once_takes_no_spare)
{
    begin();
    CHECK_I64(replace(pages), REPLACED_ALL);
    CHECK(are_replaced());
    CHECK_U64(missing(), 0);
}

CHECK_IN_A_CHILD(a_refusal_that_is_no_limit_takes_no_spare)
{
    begin();
    PLAN(mmgi_map_replace_with_zeros, EPERM);
    CHECK_I64(replace(pages), REPLACED_NOTHING);
    CHECK_U64(pages[0], 7);
    CHECK_U64(missing(), 0);
    CHECK_U64(CALLS(mmgi_map_replace_with_zeros), 1);
}

CHECK_IN_A_CHILD(locked_pages_are_unlocked_once)
{
    begin();
    PLAN(mmgi_map_unlock, SUCCEED);
    PLAN(mmgi_map_replace_with_zeros, EAGAIN);
    CHECK_I64(replace(pages), REPLACED_ALL);
    CHECK(are_replaced());
    CHECK_U64(CALLS(mmgi_map_unlock), 1);
    PLAN(mmgi_map_replace_with_zeros, EAGAIN, EAGAIN);
    CHECK_I64(replace(pages), REPLACED_NOTHING);
    CHECK_U64(CALLS(mmgi_map_unlock), 2);
    CHECK_U64(missing(), 0);
}

CHECK_IN_A_CHILD(spares_are_given_up_until_there_is_room)
{
    begin();
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, ENOMEM, ENOMEM, ENOMEM, SUCCEED);
    CHECK_I64(replace(NULL), REPLACED_ALL);
    CHECK(are_replaced());
    CHECK_U64(missing(), 4);
    CHECK_U64(CALLS(mmgi_map_spare_release), 4);
}

CHECK_IN_A_CHILD(no_more_than_four_spares_are_given_up_at_once)
{
    begin();
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM);
    CHECK_I64(replace(NULL), REPLACED_NOTHING);
    CHECK_U64(pages[0], 7);
    CHECK_U64(missing(), 4);
}

/** Makes every attempt fail for want of mappings. */
static void
plan_only_failures(void)
{
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM,
         ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM,
         ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM);
}

CHECK_IN_A_CHILD(two_spares_are_kept_for_last_attempts)
{
    begin();
    plan_only_failures();
    for (int i = 0; i < 5; i++) {
        CHECK_I64(replace(NULL), REPLACED_NOTHING);
    }
    CHECK_U64(missing(), SPARES - SPARES_KEPT);
    plan_only_failures();
    CHECK_I64(replace_at_last(), REPLACED_NOTHING);
    CHECK_U64(missing(), SPARES);
    CHECK_U64(CALLS(mmgi_map_spare_again), 0);
    plan_only_failures();
    CHECK_I64(replace_at_last(), REPLACED_NOTHING);
    CHECK_U64(CALLS(mmgi_map_replace_with_zeros), 1);
}

/** Gives up all spares but so many. */
static void
keep_spares(unsigned kept)
{
    begin();
    plan_only_failures();
    for (int i = 0; i < 5; i++) {
        replace(NULL);
    }
    for (unsigned left = SPARES_KEPT; left > kept; left--) {
        PLAN(mmgi_map_replace_with_zeros, ENOMEM, SUCCEED);
        PLAN(mmgi_map_spare_again, ENOMEM);
        CHECK_I64(replace_at_last(), REPLACED_ALL);
    }
    CHECK_U64(missing(), SPARES - kept);
    PLAN(mmgi_map_replace_with_zeros, SUCCEED);
    PLAN(mmgi_map_spare_again, SUCCEED);
    PLAN(mmgi_map_spare_release, SUCCEED);
}

/** After a whole mapping was replaced there is room for one mapping, which serves the next last attempt. */
CHECK_IN_A_CHILD(a_last_attempt_that_succeeds_makes_a_spare_for_the_next)
{
    keep_spares(SPARES_KEPT);
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, SUCCEED);
    CHECK_I64(replace_at_last(), REPLACED_ALL);
    CHECK_U64(missing(), SPARES - SPARES_KEPT);
    CHECK_U64(CALLS(mmgi_map_spare_again), 1);
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, ENOMEM, SUCCEED);
    CHECK_I64(replace_at_last(), REPLACED_ALL);
    CHECK_U64(missing(), SPARES - 1);
}

CHECK_IN_A_CHILD(a_last_attempt_makes_no_spare_where_there_are_enough)
{
    begin();
    CHECK_I64(replace_at_last(), REPLACED_ALL);
    CHECK_U64(CALLS(mmgi_map_spare_again), 0);
    keep_spares(SPARES_KEPT);
    CHECK_I64(replace_at_last(), REPLACED_ALL);
    CHECK_U64(CALLS(mmgi_map_spare_again), 0);
    keep_spares(SPARES_KEPT - 1);
    CHECK_I64(replace_at_last(), REPLACED_ALL);
    CHECK_U64(CALLS(mmgi_map_spare_again), 1);
    CHECK_U64(missing(), SPARES - SPARES_KEPT);
}

CHECK_IN_A_CHILD(a_spare_for_which_no_place_is_left_is_released)
{
    keep_spares(0);
    PLAN_MEANWHILE(mmgi_map_spare_again, 1, mmgi_spares_fill);
    CHECK_I64(replace_at_last(), REPLACED_ALL);
    CHECK_U64(missing(), 0);
    CHECK_U64(CALLS(mmgi_map_spare_release), 1);
}

CHECK_IN_A_CHILD(a_limit_on_address_space_is_lifted_for_a_moment)
{
    begin();
    PLAN(mmgi_process_space_restore, 0, 0);
    PLAN(mmgi_process_space_lift, PROCESS_SPACE_LIFTED);
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, SUCCEED);
    CHECK_I64(replace(pages), REPLACED_ALL);
    CHECK(are_replaced());
    CHECK_U64(CALLS(mmgi_process_space_restore), 1);
    CHECK_U64(missing(), 0);
    /* Where mappings are short as well, spares help. */
    PLAN(mmgi_process_space_lift, PROCESS_SPACE_LIFTED);
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, ENOMEM, SUCCEED);
    CHECK_I64(replace(pages), REPLACED_ALL);
    CHECK_U64(CALLS(mmgi_process_space_restore), 2);
    CHECK_U64(missing(), 1);
}

CHECK_IN_A_CHILD(under_a_limit_that_stays_a_spare_takes_the_place_of_one_page)
{
    begin();
    PLAN(mmgi_process_space_lift, PROCESS_SPACE_STUCK);
    PLAN(mmgi_map_replace_with_zeros, ENOMEM);
    CHECK_I64(replace(pages + check_page()), REPLACED_PAGE);
    CHECK(!is_replaced(0) && is_replaced(1) && !is_replaced(2));
    CHECK_U64(missing(), 1);
    CHECK_U64(CALLS(mmgi_map_spare_release), 0);
}

CHECK_IN_A_CHILD(a_spare_that_cannot_be_moved_is_given_up_like_others)
{
    begin();
    PLAN(mmgi_process_space_lift, PROCESS_SPACE_STUCK);
    PLAN(mmgi_map_spare_move, ENOMEM);
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, SUCCEED);
    CHECK_I64(replace(pages), REPLACED_ALL);
    CHECK(are_replaced());
    CHECK_U64(missing(), 2);
    CHECK_U64(CALLS(mmgi_map_spare_release), 2);
}

CHECK_IN_A_CHILD(where_no_page_was_touched_none_is_replaced_alone)
{
    begin();
    PLAN(mmgi_process_space_lift, PROCESS_SPACE_STUCK);
    PLAN(mmgi_map_spare_move, SUCCEED);
    PLAN(mmgi_map_replace_with_zeros, ENOMEM, ENOMEM, ENOMEM, ENOMEM, ENOMEM);
    CHECK_I64(replace(NULL), REPLACED_NOTHING);
    CHECK_U64(CALLS(mmgi_map_spare_move), 0);
    CHECK(!is_replaced(0));
}

CHECK_IN_A_CHILD(without_a_spare_nothing_is_replaced_alone)
{
    keep_spares(0);
    PLAN(mmgi_process_space_lift, PROCESS_SPACE_STUCK);
    PLAN(mmgi_map_replace_with_zeros, ENOMEM);
    memset(pages, 7, 1);
    CHECK_I64(replace(pages), REPLACED_NOTHING);
    CHECK_U64(pages[0], 7);
}

static const struct check_case cases[] = {
    {"spares are made once, and again when some are missing", spares_are_made_once_and_again_when_some_are_missing, 0},
    {"spares that another thread has made meanwhile stay", spares_that_another_thread_has_made_meanwhile_stay, 0},
    {"what the kernel replaces at once takes no spare", what_the_kernel_replaces_at_once_takes_no_spare, 0},
    {"a refusal that is no limit takes no spare", a_refusal_that_is_no_limit_takes_no_spare, 0},
    {"locked pages are unlocked once", locked_pages_are_unlocked_once, 0},
    {"spares are given up until there is room", spares_are_given_up_until_there_is_room, 0},
    {"no more than four spares are given up at once", no_more_than_four_spares_are_given_up_at_once, 0},
    {"two spares are kept for last attempts", two_spares_are_kept_for_last_attempts, 0},
    {"a last attempt that succeeds makes a spare for the next", a_last_attempt_that_succeeds_makes_a_spare_for_the_next,
     0},
    {"a last attempt makes no spare where there are enough", a_last_attempt_makes_no_spare_where_there_are_enough, 0},
    {"a spare for which no place is left is released", a_spare_for_which_no_place_is_left_is_released, 0},
    {"a limit on address space is lifted for a moment", a_limit_on_address_space_is_lifted_for_a_moment, 0},
    {"under a limit that stays, a spare takes the place of one page",
     under_a_limit_that_stays_a_spare_takes_the_place_of_one_page, 0},
    {"a spare that cannot be moved is given up like others", a_spare_that_cannot_be_moved_is_given_up_like_others, 0},
    {"where no page was touched, none is replaced alone", where_no_page_was_touched_none_is_replaced_alone, 0},
    {"without a spare nothing is replaced alone", without_a_spare_nothing_is_replaced_alone, 0},
};

CHECK_MAIN(cases)
