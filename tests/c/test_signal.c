/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests signal safety: a handler calls the functions that the header calls safe, and interrupts the same functions at
 * random points.
 */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

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

/** Returns true when the handler takes longer than it takes elsewhere from one alarm to the next. */
static bool
is_slow(void)
{
    return check_is_slow() || check_under_qemu();
}

/** Returns the microseconds between two alarms, so many that the interrupted code makes progress. */
static suseconds_t
period(void)
{
    return is_slow() ? 5000 : 100;
}

/** Calls a handler every few microseconds from now on, and counts anew. */
static void
begin_alarms(void (*call)(int))
{
    const struct sigaction handler = {.sa_handler = call, .sa_flags = SA_RESTART};
    const struct itimerval often = {{0, period()}, {0, period()}};
    wrong = 0;
    interruptions = 0;
    REQUIRE(sigaction(SIGALRM, &handler, NULL) == 0);
    REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
}

/** Ends the alarms. No handler must have found anything wrong. */
static void
end_alarms(void)
{
    const struct itimerval never = {{0, 0}, {0, 0}};
    REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
    REQUIRE(signal(SIGALRM, SIG_IGN) != SIG_ERR); /* an alarm may still be pending */
    CHECK_I64(wrong, 0);
}

static void
pins_of_a_handler_and_of_the_code_it_interrupts_do_not_meet(void)
{
    mmg_options map = check_backing(MMG_BACKING_MAP);
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    const char *path = check_file("file", 100000);
    uint64_t rounds = 0;
    int wanted = is_slow() ? 200 : 3000;
    handles[0] = check_open(path, &map);
    handles[1] = check_open(path, &copy);
    kept_count = 0;
    begin_alarms(on_alarm);
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
    end_alarms();
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
    mmg_options map = check_backing(MMG_BACKING_MAP);
    mmg_options copy = check_backing(MMG_BACKING_COPY);
    const char *path = check_file("file", 100000);
    int wanted = is_slow() ? 200 : 2000;
    handles[0] = check_open(path, &map);
    handles[1] = check_open(path, &copy);
    kept_count = 64;
    begin_alarms(on_alarm);
    while (interruptions < wanted) {
        mmg_handle other = check_open(path, interruptions % 2 == 0 ? &map : &copy);
        mmg_span span = MMG_SPAN_INIT;
        REQUIRE_STATUS(mmg_pin(other, 0, 100, &span), MMG_OK);
        REQUIRE_STATUS(mmg_close(other, 0), MMG_OK);
        REQUIRE(span.data[99] == check_byte(99));
        REQUIRE_STATUS(mmg_unpin(&span), MMG_OK);
    }
    end_alarms();
    CHECK_STATUS(mmg_close(handles[0], MMG_CLOSE_STRICT), MMG_OK);
    CHECK_STATUS(mmg_close(handles[1], MMG_CLOSE_STRICT), MMG_OK);
}

/* ------------------------------------------------------------------------------------------------ with lost bytes -- */

#define LOSSY 65536 /* the size of the file; all but the first page is cut off */

static uint64_t page;

/** Calls everything that may be called from a handler, on a region that has lost all pages but the first. */
static void
on_alarm_with_losses(int signal_number)
{
    (void)signal_number;
    mmg_span span = MMG_SPAN_INIT;
    mmg_info info = MMG_INFO_INIT;
    mmg_stats stats = MMG_STATS_INIT;
    mmg_options options;
    mmg_loss loss = MMG_LOSS_INIT;
    const uint32_t *counter = NULL;
    uint8_t buffer[32];
    uint64_t got = 0, count = 0, next = 0;
    interruptions++;
    wrong |= mmg_pin(handles[0], 0, page, &span) != MMG_OK || span.data[page - 1] != check_byte(page - 1);
    wrong |= mmg_unpin(&span) != MMG_OK;
    wrong |= mmg_pin(handles[0], page, 1, &span) != MMG_E_TRUNCATED;
    wrong |= mmg_read(handles[0], page - 8, buffer, sizeof buffer, &got) != MMG_E_TRUNCATED || got != 8;
    wrong |= mmg_check(handles[0]) != MMG_E_TRUNCATED;
    wrong |= mmg_loss_counter(handles[0], &counter) != MMG_OK || *(const volatile uint32_t *)counter == 0;
    wrong |= mmg_info_get(handles[0], &info) != MMG_OK || info.fault_offset != page;
    wrong |= mmg_stats_get(&stats) != MMG_OK || stats.losses_truncated == 0;
    wrong |= mmg_losses_get(0, &loss, 1, &count, &next) != MMG_OK || count != 1 || loss.cause != MMG_E_TRUNCATED;
    wrong |= mmg_options_init(&options, sizeof options) != MMG_OK;
    wrong |= mmg_status_message(MMG_E_IO)[0] == '\0' || mmg_term(MMG_TERM_MEANS, MMG_MEANS_LEASE)[0] != 'l';
    wrong |= mmg_abi_version() != MMG_ABI || mmg_version()[0] != '1';
}

/** The code below the handler makes the same calls, and finds one new loss after another. */
CHECK_IN_A_CHILD(what_is_safe_is_safe_while_bytes_are_lost)
{
    mmg_options map = check_backing(MMG_BACKING_MAP);
    const char *lossy = check_file("lossy", LOSSY);
    int wanted = check_is_slow() ? 200 : 3000;
    page = check_page();
    handles[0] = check_open(lossy, &map);
    mmg_span all = check_pin(handles[0], 0, MMG_TO_END);
    check_truncate(lossy, page);
    REQUIRE(check_touch(all.data, page) == 0);
    begin_alarms(on_alarm_with_losses);
    while (interruptions < wanted) {
        const char *path = check_file("file", 3 * page);
        mmg_handle handle = check_open(path, &map);
        mmg_span span = check_pin(handle, 0, MMG_TO_END);
        check_truncate(path, 0);
        REQUIRE(check_touch(span.data, 2 * page) == 0);
        REQUIRE_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        REQUIRE_STATUS(mmg_pin(handles[0], page, 1, &span), MMG_E_TRUNCATED);
        REQUIRE_STATUS(mmg_pin(handles[0], 0, page, &span), MMG_OK);
        REQUIRE_STATUS(mmg_unpin(&span), MMG_OK);
        REQUIRE_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    end_alarms();
    CHECK_STATUS(mmg_unpin(&all), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handles[0], MMG_CLOSE_STRICT), MMG_OK);
}

/* ---------------------------------------------------------------------------------------------- with other threads -- */

static void
on_alarm_with_leases(int signal_number)
{
    (void)signal_number;
    mmg_stats stats = MMG_STATS_INIT;
    interruptions++;
    wrong |= mmg_stats_get(&stats) != MMG_OK || stats.leases > 1;
}

/** Opening and closing hold a mutex that the counters must do without. */
static void
the_counters_may_be_read_while_leases_come_and_go(void)
{
    mmg_options stable = check_backing(MMG_BACKING_MAP);
    const char *path = check_file("file", 300000);
    int wanted = check_is_slow() ? 200 : 3000;
    stable.guarantee = MMG_GUARANTEE_STABLE;
    begin_alarms(on_alarm_with_leases);
    while (interruptions < wanted) {
        mmg_handle handle = check_open(path, &stable);
        if (check_info(handle).means != MMG_MEANS_LEASE) {
            CHECK(!check_kernel_has_leases());
            check_skip("the file system under TMPDIR gives no lease, or the file is not ours");
            interruptions = wanted;
        }
        REQUIRE_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    end_alarms();
}

static atomic_bool is_stopped, may_go_on, is_over;

/** Stops the thread wherever it is, until it may go on. */
static void
on_stop(int signal_number)
{
    (void)signal_number;
    atomic_store(&is_stopped, true);
    while (!atomic_load(&may_go_on)) {
        usleep(50);
    }
    atomic_store(&is_stopped, false);
}

/** Pins and unpins, by cells of the slot and by the pins of the second table. */
static void
pin_often(void)
{
    mmg_span spans[12];
    for (size_t index = 0; index < 12; index++) {
        REQUIRE_STATUS(mmg_pin(handles[0], index, 50, &spans[index]), MMG_OK);
    }
    for (size_t index = 0; index < 12; index++) {
        REQUIRE_STATUS(mmg_unpin(&spans[index]), MMG_OK);
    }
}

static void *
pin_until_it_is_over(void *unused)
{
    while (!atomic_load(&is_over)) {
        pin_often();
    }
    return unused;
}

/** What pins and unpins is lock-free: wherever one thread is stopped, the others get on. */
CHECK_IN_A_CHILD(a_thread_that_is_stopped_in_a_pin_holds_nobody_up)
{
    const struct sigaction handler = {.sa_handler = on_stop, .sa_flags = SA_RESTART};
    mmg_options map = check_backing(MMG_BACKING_MAP);
    uint64_t random = check_seed(), stops = check_scaled(1000);
    pthread_t thread;
    handles[0] = check_open(check_file("file", 100000), &map);
    REQUIRE(sigaction(SIGUSR1, &handler, NULL) == 0);
    REQUIRE(pthread_create(&thread, NULL, pin_until_it_is_over, NULL) == 0);
    for (uint64_t stop = 0; stop < stops; stop++) {
        atomic_store(&may_go_on, false);
        usleep((useconds_t)check_random_below(&random, 100));
        REQUIRE(pthread_kill(thread, SIGUSR1) == 0);
        while (!atomic_load(&is_stopped)) {
            usleep(10);
        }
        for (int round = 0; round < 100; round++) {
            pin_often();
        }
        atomic_store(&may_go_on, true);
        while (atomic_load(&is_stopped)) {
            usleep(10);
        }
    }
    atomic_store(&is_over, true);
    REQUIRE(pthread_join(thread, NULL) == 0);
    CHECK_STATUS(mmg_close(handles[0], MMG_CLOSE_STRICT), MMG_OK);
}

static const struct check_case cases[] = {
    {"pins of a handler and of the code it interrupts do not meet",
     pins_of_a_handler_and_of_the_code_it_interrupts_do_not_meet, 0},
    {"a handler may pin while handles come and go", a_handler_may_pin_while_handles_come_and_go, 0},
    {"what is safe is safe while bytes are lost", what_is_safe_is_safe_while_bytes_are_lost, CHECK_ONCE | CHECK_LOSES},
    {"the counters may be read while leases come and go", the_counters_may_be_read_while_leases_come_and_go,
     CHECK_ONCE},
    {"a thread that is stopped in a pin holds nobody up", a_thread_that_is_stopped_in_a_pin_holds_nobody_up,
     CHECK_ONCE | CHECK_THREADS},
};

CHECK_MAIN(cases)
