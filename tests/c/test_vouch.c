/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests when a question about losses calls the voucher: not before the moment up to which a mapping is vouched for, and
 * not for a mapping that needs none; always in a forked child.
 */
#include "check.h"

#include <string.h>

#include "guard/registry.h"
#include "guard/vouch.h"
#include "os/clock.h"
#include "os/fork_mark.h"

#define FAR INT64_C(1000000000000)

static unsigned asked;
static uint32_t asked_number;
static int asked_fd;

static void
note_question(uint32_t number, int fd)
{
    asked++;
    asked_number = number;
    asked_fd = fd;
}

static void
no_answer(uint32_t number, int fd)
{
    (void)number;
    (void)fd;
}

static unsigned char *pages;

/** Registers one page, for which nobody vouches yet. */
static uint32_t
begin(void)
{
    const size_t page = (size_t)check_page();
    struct registration r = {.length = page, .page = page, .size = page, .fd = 77};
    REQUIRE(posix_memalign((void **)&pages, page, page) == 0);
    memset(pages, 1, page);
    r.start = pages;
    const uint32_t number = mmgi_registry_add(&r);
    REQUIRE(number != 0);
    asked = 0;
    mmgi_vouch_set_voucher(note_question);
    return number;
}

static void
end(uint32_t number)
{
    mmgi_registry_remove(number);
    mmgi_vouch_set_voucher(no_answer);
    free(pages);
}

/** Asks about losses, and returns how often the voucher was called meanwhile. */
static unsigned
questions(uint32_t number)
{
    const unsigned before = asked;
    CHECK_STATUS(registry_loss_within(number, 0, 1), MMG_OK);
    return asked - before;
}

static void
the_voucher_is_asked_after_the_moment_only(void)
{
    const uint32_t number = begin();
    const int64_t now = mmgi_clock_tick_ns();
    CHECK_U64(questions(number), 0); /* nobody has vouched, so this is a mapping without a lease */
    mmgi_vouch(number, now + FAR);
    CHECK_U64(questions(number), 0);
    mmgi_vouch(number, now - 1);
    CHECK_U64(questions(number), 1);
    CHECK_U64(asked_number, number);
    CHECK_I64(asked_fd, 77);
    CHECK_U64(questions(number), 1);
    mmgi_vouch(number, VOUCHED_HANDING_OVER);
    CHECK_U64(questions(number), 1);
    mmgi_vouch(number, VOUCHED_FOR_EVER);
    CHECK_U64(questions(number), 0);
    end(number);
}

static void
a_voucher_moves_the_moment_forwards_only(void)
{
    const uint32_t number = begin();
    bool is_own = false;
    mmgi_vouch(number, 100);
    mmgi_vouch_longer(number, 99);
    CHECK_I64(mmgi_vouched(number, &is_own), 100);
    CHECK(is_own);
    mmgi_vouch_longer(number, 101);
    CHECK_I64(mmgi_vouched(number, &is_own), 101);
    mmgi_vouch(number, VOUCHED_HANDING_OVER);
    mmgi_vouch_longer(number, FAR);
    CHECK_I64(mmgi_vouched(number, &is_own), VOUCHED_HANDING_OVER);
    mmgi_vouch(number, VOUCHED_FOR_EVER);
    mmgi_vouch_longer(number, FAR);
    CHECK_I64(mmgi_vouched(number, &is_own), VOUCHED_FOR_EVER);
    end(number);
}

static void
only_the_first_of_several_ends_the_vouching(void)
{
    const uint32_t number = begin();
    bool is_own;
    mmgi_vouch(number, 100);
    CHECK(mmgi_vouch_no_more(number));
    CHECK(!mmgi_vouch_no_more(number));
    CHECK_I64(mmgi_vouched(number, &is_own), VOUCHED_FOR_EVER);
    CHECK_U64(questions(number), 0);
    end(number);
}

static void
nothing(void)
{
}

static void
ask_in_the_child(void *argument)
{
    const uint32_t number = *(const uint32_t *)argument;
    bool is_own = true;
    CHECK_U64(questions(number), 1);
    CHECK(mmgi_vouched(number, &is_own) > 0);
    CHECK(!is_own);
    mmgi_vouch(number, VOUCHED_FOR_EVER);
    CHECK_U64(questions(number), 0);
}

/** A lease belongs to the process that took it, so what a parent has vouched for means nothing in its child. */
static void
a_forked_child_asks_at_once(void)
{
    uint32_t number = begin();
    mmgi_fork_mark_set(nothing);
    mmgi_vouch(number, mmgi_clock_tick_ns() + FAR);
    CHECK_U64(questions(number), 0);
    CHECK_EXITED(check_child(ask_in_the_child, &number));
    CHECK_U64(questions(number), 0);
    end(number);
}

static const struct check_case cases[] = {
    {"the voucher is asked after the moment only", the_voucher_is_asked_after_the_moment_only, 0},
    {"a voucher moves the moment forwards only", a_voucher_moves_the_moment_forwards_only, 0},
    {"only the first of several ends the vouching", only_the_first_of_several_ends_the_vouching, 0},
    {"a forked child asks at once", a_forked_child_asks_at_once, 0},
};

CHECK_MAIN(cases)
