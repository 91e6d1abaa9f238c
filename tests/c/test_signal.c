/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests signal safety: a handler calls the functions that the header calls safe, and interrupts the same functions at
 * random points.
 */
#include "check.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

static mmg_handle handles[2];
static volatile sig_atomic_t wrong;
static volatile sig_atomic_t interruptions;
static mmg_span kept[64];
static volatile sig_atomic_t kept_count;

/** Returns true when SIGBUS is blocked. A sanitizer may call a handler with more signals blocked than its mask says. */
static bool
is_sigbus_blocked(void)
{
    sigset_t blocked;
    return sigprocmask(SIG_BLOCK, NULL, &blocked) == 0 && sigismember(&blocked, SIGBUS) == 1;
}

/** Calls every function that a handler may call. The handler does not use the harness, which is not signal-safe. */
static void
on_alarm(int signal_number)
{
    (void)signal_number;
    interruptions++;
    for (size_t index = 0; index < 2; index++) {
        mmg_span span = MMG_SPAN_INIT;
        mmg_info info = MMG_INFO_INIT;
        mmg_stats stats = MMG_STATS_INIT;
        uint8_t buffer[32];
        uint64_t got = 0;
        wrong |= mmg_pin(handles[index], 100, 200, &span) != MMG_OK;
        wrong |= span.data[0] != check_byte(100) || span.data[199] != check_byte(299);
        wrong |= mmg_read(handles[index], 7, buffer, sizeof buffer, &got) != MMG_OK || got != sizeof buffer;
        wrong |= buffer[31] != check_byte(38);
        wrong |= mmg_info_get(handles[index], &info) != MMG_OK || info.size != 100000 || info.pins == 0;
        wrong |= mmg_stats_get(&stats) != MMG_OK || stats.handles < 2;
        wrong |= mmg_check(handles[index]) != MMG_OK;
        wrong |= mmg_guard_state() != (is_sigbus_blocked() ? MMG_GUARD_BLOCKED : MMG_GUARD_TOP);
        wrong |= mmg_status_name(MMG_E_HANDLE)[0] != 'M' || mmg_supports(MMG_FEATURE_FAULT_GUARD) != 1;
        if (kept_count < 64 && interruptions % 8 == 0) { /* keep this pin after the handler returns */
            kept[kept_count] = span;
            kept_count = kept_count + 1;
        } else {
            wrong |= mmg_unpin(&span) != MMG_OK;
        }
    }
}

/** Returns the microseconds between two alarms, so many that the interrupted code makes progress. */
static suseconds_t
period(void)
{
    return check_is_slow() ? 5000 : 100;
}

static void
pins_of_a_handler_and_of_the_code_it_interrupts_do_not_meet(void)
{
    const struct sigaction handler = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    const struct itimerval often = {{0, period()}, {0, period()}};
    const struct itimerval never = {{0, 0}, {0, 0}};
    mmg_options map = check_backing(MMG_BACKING_MAP);
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    const char *path = check_file("file", 100000);
    uint64_t rounds = 0;
    int wanted = check_is_slow() ? 200 : 3000;
    handles[0] = check_open(path, &map);
    handles[1] = check_open(path, &copy);
    wrong = 0;
    interruptions = 0;
    kept_count = 0;
    REQUIRE(sigaction(SIGALRM, &handler, NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
    while (interruptions < wanted) {
        mmg_span spans[12]; /* more spans than a slot has cells */
        for (size_t index = 0; index < 12; index++) {
            REQUIRE_STATUS(mmg_pin(handles[(index + rounds) % 2], index, 50, &spans[index]), MMG_OK);
            REQUIRE(spans[index].data[49] == check_byte(index + 49));
        }
        for (size_t index = 0; index < 12; index++) {
            REQUIRE_STATUS(mmg_unpin(&spans[index]), MMG_OK);
        }
        REQUIRE_STATUS(mmg_check(handles[rounds % 2]), MMG_OK);
        rounds++;
    }
    REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
    REQUIRE(signal(SIGALRM, SIG_IGN) != SIG_ERR); /* an alarm may still be pending */
    CHECK_I64(wrong, 0);
    CHECK(rounds > 0);
    CHECK_U64(check_info(handles[0]).pins + check_info(handles[1]).pins, (uint64_t)kept_count);
    for (size_t index = 0; index < (size_t)kept_count; index++) {
        CHECK_STATUS(mmg_unpin(&kept[index]), MMG_OK);
    }
    CHECK_STATUS(mmg_close(handles[0], MMG_CLOSE_STRICT), MMG_OK);
    CHECK_STATUS(mmg_close(handles[1], MMG_CLOSE_STRICT), MMG_OK);
}

/** Opening and closing are not signal-safe, but a handler that pins must not harm them. */
static void
a_handler_may_pin_while_handles_come_and_go(void)
{
    const struct sigaction handler = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    const struct itimerval often = {{0, period()}, {0, period()}};
    const struct itimerval never = {{0, 0}, {0, 0}};
    mmg_options map = check_backing(MMG_BACKING_MAP);
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    const char *path = check_file("file", 100000);
    int wanted = check_is_slow() ? 200 : 2000;
    handles[0] = check_open(path, &map);
    handles[1] = check_open(path, &copy);
    wrong = 0;
    interruptions = 0;
    kept_count = 64;
    REQUIRE(sigaction(SIGALRM, &handler, NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
    while (interruptions < wanted) {
        mmg_handle other = check_open(path, interruptions % 2 == 0 ? &map : &copy);
        mmg_span span = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(other, 0, 100, &span), MMG_OK);
        REQUIRE_STATUS(mmg_close(other, 0), MMG_OK);
        REQUIRE(span.data[99] == check_byte(99));
        REQUIRE_STATUS(mmg_unpin(&span), MMG_OK);
    }
    REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
    REQUIRE(signal(SIGALRM, SIG_IGN) != SIG_ERR); /* an alarm may still be pending */
    CHECK_I64(wrong, 0);
    CHECK_STATUS(mmg_close(handles[0], MMG_CLOSE_STRICT), MMG_OK);
    CHECK_STATUS(mmg_close(handles[1], MMG_CLOSE_STRICT), MMG_OK);
}

static const struct check_case cases[] = {
    {"pins of a handler and of the code it interrupts do not meet",
     pins_of_a_handler_and_of_the_code_it_interrupts_do_not_meet, 0},
    {"a handler may pin while handles come and go", a_handler_may_pin_while_handles_come_and_go, 0},
};

CHECK_MAIN(cases)
