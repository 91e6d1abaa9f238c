/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what the voucher of leases makes of each state of a lease: a whole one vouches for longer, a breaking one says
 * nothing new, and one that is gone makes the bytes unstable. The region of a forked child becomes one of its own.
 */
#include <fcntl.h>
#include <unistd.h>

#include "leased_mapping.h"

static void
break_the_lease(void *unused)
{
    (void)unused;
    mmgi_signal_block_all(); /* the signal of the break comes to this thread, which does not wait for it */
    begin(true);
    REQUIRE(subject.has_lease);
    const int64_t before = mmgi_clock_tick_ns();
    mmgi_lease_vouch(subject.number, subject.fd);
    CHECK(vouched() >= before + LEASE_VOUCH_NS);
    CHECK(vouched() <= mmgi_clock_tick_ns() + LEASE_VOUCH_NS);
    mmgi_vouch(subject.number, 1);
    CHECK(open(subject.path, O_WRONLY | O_NONBLOCK | O_CLOEXEC) < 0);
    mmgi_lease_vouch(subject.number, subject.fd);
    CHECK_I64(vouched(), 1);
    CHECK_STATUS(loss(), MMG_OK);
    CHECK_I64(mmgi_lease_give_up(subject.fd), 0);
    mmgi_lease_vouch(subject.number, subject.fd);
    CHECK_STATUS(loss(), MMG_E_UNSTABLE);
    end();
}

static void
a_lease_vouches_until_it_is_gone(void)
{
    if (check_under_qemu()) {
        check_skip("qemu-user does not deliver the signal of a lease break");
        return;
    }
    if (!check_kernel_has_leases()) {
        check_skip("the file system under TMPDIR gives no lease");
        return;
    }
    CHECK_EXITED(check_child(break_the_lease, NULL));
}

/** The bytes are a snapshot by now, or the region has lost them already. */
static void
what_needs_no_lease_is_not_lost_with_it(void)
{
    begin(false);
    mmgi_vouch(subject.number, VOUCHED_FOR_EVER);
    mmgi_lease_vouch(subject.number, subject.fd);
    CHECK_STATUS(loss(), MMG_OK);
    end();
}

/** The host has given the descriptor of the lease to a file of its own, whose lease says nothing of the region's. */
static void
the_lease_of_another_file_vouches_for_nothing(void)
{
    begin(false);
    const int host = open(check_file("of the host", 5), O_RDONLY | O_CLOEXEC);
    REQUIRE(host >= 0);
    if (mmgi_lease_take(host, (int)syscall(SYS_gettid)) == 0) {
        mmgi_lease_vouch(subject.number, host);
        CHECK_STATUS(loss(), MMG_E_UNSTABLE);
    } else {
        check_skip("the file system under TMPDIR gives no lease");
    }
    close(host);
    end();
}

static void
ask_in_the_child(void *is_needed)
{
    if (is_needed == NULL) {
        mmgi_vouch_no_more(subject.number); /* another thread of the child has asked first */
    }
    mmgi_lease_vouch(subject.number, subject.fd);
    CHECK_STATUS(loss(), is_needed != NULL && !subject.has_lease ? MMG_E_UNSTABLE : MMG_OK);
    CHECK_I64(vouched(), VOUCHED_FOR_EVER);
    CHECK(check_is_pattern(subject.bytes, 0, subject.length));
    CHECK_I64(fcntl(subject.fd, F_GETLEASE), subject.has_lease && is_needed == NULL ? F_RDLCK : F_UNLCK);
}

/** The child opens the file anew, so that the lease of its parent ends with the parent. Without a lease nothing is certain. */
static void
a_child_gives_up_its_part_of_the_lease(void)
{
    if (!children_are_known()) {
        return;
    }
    const uint64_t before = mmgi_signal_block_all();
    for (unsigned with_lease = 0; with_lease <= 1; with_lease++) {
        begin(with_lease);
        mmgi_vouch(subject.number, mmgi_clock_tick_ns() + FAR);
        CHECK_EXITED(check_child(ask_in_the_child, &subject));
        CHECK_EXITED(check_child(ask_in_the_child, NULL));
        CHECK_STATUS(loss(), MMG_OK);
        CHECK(!subject.has_lease || mmgi_lease_state(subject.fd) == LEASE_WHOLE);
        end();
    }
    mmgi_signal_unblock(before);
}

static const struct check_case cases[] = {
    {"a lease vouches until it is gone", a_lease_vouches_until_it_is_gone, 0},
    {"what needs no lease is not lost with it", what_needs_no_lease_is_not_lost_with_it, 0},
    {"the lease of another file vouches for nothing", the_lease_of_another_file_vouches_for_nothing, 0},
    {"a child gives up its part of the lease", a_child_gives_up_its_part_of_the_lease, 0},
};

CHECK_MAIN(cases)
