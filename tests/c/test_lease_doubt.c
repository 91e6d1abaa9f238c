/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what the voucher of leases makes of what is not certain: a lease whose state is hidden, one that is being given up,
 * and a child that can neither open nor map the file of its region. The other answers are tested by test_lease_vouch.
 */
#include <errno.h>
#include <sys/wait.h>

#include "leased_mapping.h"
#include "standing_in.h"

STANDS_IN(enum lease_state, mmgi_lease_state, (int fd), (fd))
STANDS_IN(int, mmgi_file_reopen, (int fd, int *fresh), (fd, fresh))
STANDS_IN(int, mmgi_map_replace_with_file, (const struct mapping *mapping, size_t length, int fd, uint64_t offset),
          (mapping, length, fd, offset))
STANDS_IN(bool, mmgi_registry_hold_number, (uint32_t number, struct registration *registration), (number, registration))
STANDS_IN_SILENTLY(mmgi_registry_let_go, (uint32_t number), (number))
STANDS_IN_SILENTLY(mmgi_clock_sleep_ns, (int64_t nanoseconds), (nanoseconds))

/** The time in place of the clock's, or 0; and for how long the kernel lets writers wait, as the keeper knows. */
static int64_t now, patience;

STANDING_IN(int64_t, mmgi_clock_tick_ns, (void))
STANDING_IN(int64_t, mmgi_keeper_patience_ns, (void))

int64_t
__wrap_mmgi_clock_tick_ns(void)
{
    CALLS(mmgi_clock_tick_ns)++;
    return now != 0 ? now : __real_mmgi_clock_tick_ns();
}

int64_t
__wrap_mmgi_keeper_patience_ns(void)
{
    CALLS(mmgi_keeper_patience_ns)++;
    return patience;
}

/* ------------------------------------------------------------------------------ a lease whose state is hidden -- */

/** Asks about a lease of which nobody knows whether it is breaking or gone. It was whole up to `until`. */
static void
ask_about_a_hidden_lease(int64_t until)
{
    begin(false);
    mmgi_vouch_set_voucher(NULL); /* what is known of losses is asked for below without another question */
    mmgi_vouch(subject.number, until);
    PLAN(mmgi_lease_state, LEASE_HIDDEN);
    mmgi_lease_vouch(subject.number, subject.fd);
}

/** A lease is in force for as long as the kernel lets writers wait, less the time after which it was asked for the last time. */
static void
a_hidden_lease_is_in_force_while_the_kernel_lets_writers_wait(void)
{
    static const struct {
        int64_t patience;
        int64_t age; /**< since the moment up to which the lease was known to be whole */
        bool is_in_force;
    } cases[] = {
        {INT64_MAX, FAR, true},
        {3 * LEASE_MIN_BREAK_NS, 2 * LEASE_MIN_BREAK_NS - 1, true},
        {3 * LEASE_MIN_BREAK_NS, 2 * LEASE_MIN_BREAK_NS, false},
        {LEASE_MIN_BREAK_NS + 1, 0, true},
        {LEASE_MIN_BREAK_NS, -1, false}, /* the time is not known when it is so short */
    };
    for (size_t index = 0; index < sizeof cases / sizeof *cases; index++) {
        const int64_t until = 5 * FAR;
        PLAN(mmgi_clock_sleep_ns, GO_ON);
        patience = cases[index].patience;
        now = until + cases[index].age;
        ask_about_a_hidden_lease(until);
        now = 0;
        CHECK_STATUS(loss(), cases[index].is_in_force ? MMG_OK : MMG_E_UNSTABLE);
        CHECK(!cases[index].is_in_force || vouched() == until);
        CHECK_U64(CALLS(mmgi_clock_sleep_ns), 0);
        end();
    }
}

static void
hear_of_the_break(void)
{
    patience = INT64_MAX;
}

static void
finish_with_the_region(void)
{
    mmgi_vouch(subject.number, VOUCHED_FOR_EVER);
}

/** A thread may see a break before the keeper does. */
static void
a_hidden_lease_waits_for_the_keeper_to_hear_of_the_break(void)
{
    void (*const others[])(void) = {hear_of_the_break, finish_with_the_region};
    for (size_t index = 0; index < 2; index++) {
        patience = 0;
        PLAN_MEANWHILE(mmgi_clock_sleep_ns, 3, others[index]);
        ask_about_a_hidden_lease(mmgi_clock_tick_ns());
        CHECK_STATUS(loss(), MMG_OK);
        CHECK_U64(CALLS(mmgi_clock_sleep_ns), 3);
        end();
    }
}

/* --------------------------------------------------------------------------------- a lease that is being given up -- */

/** Asks about a lease that the keeper is giving up. */
static void
ask_during_the_hand_over(void)
{
    begin(false);
    mmgi_vouch(subject.number, VOUCHED_HANDING_OVER);
    PLAN(mmgi_lease_state, LEASE_GONE, LEASE_GONE);
    mmgi_lease_vouch(subject.number, subject.fd);
}

/** Only the keeper knows whether the bytes were secured in time. */
static void
a_question_during_the_hand_over_waits_for_its_end(void)
{
    PLAN_MEANWHILE(mmgi_clock_sleep_ns, 3, finish_with_the_region);
    ask_during_the_hand_over();
    CHECK_STATUS(loss(), MMG_OK);
    CHECK_U64(CALLS(mmgi_clock_sleep_ns), 3);
    end();
}

static pid_t forked;

static void
fork_meanwhile(void)
{
    forked = fork();
    REQUIRE(forked >= 0);
    if (forked > 0) {
        finish_with_the_region();
    }
}

/** A signal handler forks while the thread waits: the child has no keeper for which it could wait. */
static void
a_child_does_not_wait_for_the_keeper_of_its_parent(void)
{
    int wait_status = 0;
    if (!children_are_known()) {
        return;
    }
    PLAN_MEANWHILE(mmgi_clock_sleep_ns, 3, fork_meanwhile);
    ask_during_the_hand_over();
    CHECK_STATUS(loss(), forked == 0 ? MMG_E_UNSTABLE : MMG_OK);
    CHECK_I64(vouched(), VOUCHED_FOR_EVER);
    CHECK_U64(CALLS(mmgi_clock_sleep_ns), 3);
    if (forked == 0) {
        check_child_end();
    }
    REQUIRE(waitpid(forked, &wait_status, 0) == forked);
    CHECK_EXITED(wait_status);
    end();
}

/* ------------------------------------------------------------------------------- a child that cannot disown itself -- */

enum refusal {
    NO_ENTRY,
    NO_DESCRIPTOR,
    NO_MAPPING
};

static void
fail_to_disown(void *argument)
{
    const enum refusal refusal = *(const enum refusal *)argument;
    const unsigned before = check_descriptors();
    PLAN(mmgi_lease_state, LEASE_WHOLE);
    PLAN(mmgi_file_reopen, GO_ON);
    PLAN(mmgi_registry_let_go, GO_ON);
    switch (refusal) {
    case NO_ENTRY:
        PLAN(mmgi_registry_hold_number, false);
        break;
    case NO_DESCRIPTOR:
        PLAN(mmgi_file_reopen, EMFILE);
        break;
    case NO_MAPPING:
        PLAN(mmgi_map_replace_with_file, ENOMEM);
        break;
    }
    mmgi_lease_vouch(subject.number, subject.fd);
    CHECK_U64(CALLS(mmgi_file_reopen), refusal != NO_ENTRY);
    CHECK_STATUS(loss(), MMG_OK);
    CHECK_I64(vouched(), VOUCHED_FOR_EVER);
    CHECK_U64(check_descriptors(), before);
    CHECK(check_is_pattern(subject.bytes, 0, subject.length));
    CHECK_U64(CALLS(mmgi_registry_let_go), refusal != NO_ENTRY);
    CHECK_I64(fcntl(subject.fd, F_GETLEASE), subject.has_lease ? F_RDLCK : F_UNLCK);
}

/** The child still reads its region, which is no worse than before, and leaks nothing. */
static void
a_child_that_can_open_or_map_nothing_keeps_what_it_has(void)
{
    if (!children_are_known()) {
        return;
    }
    const uint64_t before = mmgi_signal_block_all();
    for (enum refusal refusal = NO_ENTRY; refusal <= NO_MAPPING; refusal++) {
        begin(true);
        mmgi_vouch(subject.number, mmgi_clock_tick_ns() + FAR);
        CHECK_EXITED(check_child(fail_to_disown, &refusal));
        end();
    }
    mmgi_signal_unblock(before);
}

static void
ask_about_a_hidden_lease_in_the_child(void *unused)
{
    (void)unused;
    PLAN(mmgi_lease_state, LEASE_HIDDEN);
    mmgi_lease_vouch(subject.number, subject.fd);
    CHECK_STATUS(loss(), MMG_E_UNSTABLE);
}

static void
in_a_child_a_hidden_lease_is_gone(void)
{
    if (!children_are_known()) {
        return;
    }
    begin(false);
    mmgi_vouch(subject.number, mmgi_clock_tick_ns() + FAR);
    CHECK_EXITED(check_child(ask_about_a_hidden_lease_in_the_child, NULL));
    end();
}

static const struct check_case cases[] = {
    {"a hidden lease is in force while the kernel lets writers wait",
     a_hidden_lease_is_in_force_while_the_kernel_lets_writers_wait, 0},
    {"a hidden lease waits for the keeper to hear of the break",
     a_hidden_lease_waits_for_the_keeper_to_hear_of_the_break, 0},
    {"a question during the hand-over waits for its end", a_question_during_the_hand_over_waits_for_its_end, 0},
    {"a child does not wait for the keeper of its parent", a_child_does_not_wait_for_the_keeper_of_its_parent, 0},
    {"a child that can open or map nothing keeps what it has", a_child_that_can_open_or_map_nothing_keeps_what_it_has,
     0},
    {"in a child a hidden lease is gone", in_a_child_a_hidden_lease_is_gone, 0},
};

CHECK_MAIN(cases)
