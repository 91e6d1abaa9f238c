/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests readers that are interrupted while the guard handles their faults: by a jump out of another signal, by a
 * pending cancellation, and by a thread with real-time priority. No mapping may stay held, and mmg_close() must return.
 * Also, a loss that was recorded without a fault is contained when a handler on top of the guard raises the signal
 * again.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

#define PAGES 64

static mmg_handle
open_mapped(const char *path)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    return check_open(path, &options);
}

/* ---------------------------------------------------------------------------------------------------------- jumps -- */

static sigjmp_buf out;

static void
jump_out(int signo __attribute__((unused)))
{
    siglongjmp(out, 1);
}

/**
 * A program limits the time of reads by a jump, which POSIX allows here, since the interrupted code calls no function.
 */
CHECK_IN_A_CHILD(a_jump_out_of_a_read_leaves_nothing_held)
{
    const struct sigaction action = {.sa_handler = jump_out};
    const struct itimerval none = {{0, 0}, {0, 0}};
    const char *path = check_file("file", PAGES * check_page());
    volatile int jumps = 0;
    sigset_t alarms, before;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    REQUIRE(sigaction(SIGALRM, &action, NULL) == 0);
    for (volatile int round = 0; round < (int)check_scaled(1500); round++) {
        struct itimerval soon = {{0, 0}, {0, 3 + round % 60}};
        mmg_span span = MMG_SPAN_INIT;
        check_truncate(path, PAGES * check_page());
        mmg_handle handle = open_mapped(path);
        REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
        check_truncate(path, check_page());
        if (sigsetjmp(out, 1) == 0) {
            setitimer(ITIMER_REAL, &soon, NULL);
            for (uint64_t at = 0; at < 20 * span.size; at += check_page()) {
                (void)((const volatile uint8_t *)span.data)[at % span.size];
            }
        } else {
            jumps++;
        }
        pthread_sigmask(SIG_BLOCK, &alarms, &before);
        setitimer(ITIMER_REAL, &none, NULL);
        const struct timespec now = {0, 0};
        sigtimedwait(&alarms, NULL, &now);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        mmg_unpin(&span);
        alarm(20); /* a close that waits for ever ends here, and the check below fails */
        if (sigsetjmp(out, 1) != 0) {
            _exit(9);
        }
        REQUIRE_STATUS(mmg_close(handle, 0), MMG_OK);
        alarm(0);
    }
    CHECK(jumps > 0);
}

/* --------------------------------------------------------------------------------------------------- cancellation -- */

static struct {
    const uint8_t *data;
    bool asks; /* the reader calls mmg_handle_fault() and has no fault of its own */
    atomic_bool go;
} reader;

static void *
read_when_told(void *argument __attribute__((unused)))
{
    while (!atomic_load(&reader.go)) {
    }
    const uint8_t *byte = reader.data + 20 * check_page();
    if (reader.asks) {
        siginfo_t info = check_fault(byte);
        if (mmg_handle_fault(SIGBUS, &info, NULL) != 1) {
            return NULL;
        }
    }
    return (void *)(uintptr_t)(*(const volatile uint8_t *)byte + 1u);
}

/** A pending cancellation ends the thread at its next cancellation point. The guard must not have one. */
CHECK_IN_A_CHILD(a_pending_cancellation_does_not_strike_in_the_guard)
{
    const char *path = check_file("file", PAGES * check_page());
    for (int round = 0; round < 20; round++) {
        pthread_t thread;
        void *result = NULL;
        mmg_span span = MMG_SPAN_INIT;
        check_truncate(path, PAGES * check_page());
        mmg_handle handle = open_mapped(path);
        REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
        check_await_tick();
        check_truncate(path, check_page());
        /* When the page can be read again, the guard reads it. Elsewhere such a read is a cancellation point. */
        reader.asks = round % 2 != 0;
        if (reader.asks) {
            check_truncate(path, PAGES * check_page());
        }
        reader.data = span.data;
        atomic_store(&reader.go, false);
        REQUIRE(pthread_create(&thread, NULL, read_when_told, NULL) == 0);
        REQUIRE(pthread_cancel(thread) == 0);
        atomic_store(&reader.go, true);
        REQUIRE(pthread_join(thread, &result) == 0);
        CHECK(result == (void *)(uintptr_t)1);
        CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
        CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
    }
}

/* ------------------------------------------------------------------------------------------------- real-time threads -- */

static atomic_bool stop;
static atomic_uint ignored;

static void
ignore(int signo __attribute__((unused)))
{
    atomic_fetch_add(&ignored, 1);
}

static void
use_one_processor(void)
{
    cpu_set_t one;
    for (size_t number = 0; number < CPU_SETSIZE; number++) {
        CPU_ZERO(&one);
        CPU_SET(number, &one);
        if (sched_setaffinity(0, sizeof one, &one) == 0) {
            return;
        }
    }
}

static void *
raise_without_end(void *argument __attribute__((unused)))
{
    use_one_processor();
    while (!atomic_load(&stop)) {
        raise(SIGBUS);
    }
    return NULL;
}

/** Closes mappings as a thread with priority, as often as it takes for many signals. Returns NULL where it may not have it. */
static void *
close_with_priority(void *path)
{
    const struct sched_param priority = {.sched_priority = 10};
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    use_one_processor();
    if (pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority) != 0) {
        return NULL;
    }
    for (unsigned round = 0; round < 300 || atomic_load(&ignored) < 300; round++) {
        const struct timespec pause = {0, 20000 + round % 50 * 1000};
        mmg_handle handle = open_mapped(path);
        nanosleep(&pause, NULL);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    return path;
}

/**
 * A thread that waits for a held mapping must sleep, so that the thread that holds it can run. A spinning thread with
 * priority would wait for ever.
 */
CHECK_IN_A_CHILD(a_thread_with_priority_does_not_wait_for_ever)
{
    char path[4096];
    pthread_t low, high;
    void *result = NULL;
    signal(SIGBUS, ignore);
    mmg_handle handle = open_mapped(check_file("kept", PAGES * check_page()));
    snprintf(path, sizeof path, "%s", check_file("closed", PAGES * check_page()));
    REQUIRE(pthread_create(&low, NULL, raise_without_end, NULL) == 0);
    REQUIRE(pthread_create(&high, NULL, close_with_priority, path) == 0);
    alarm(100); /* ends the child, and the test fails */
    REQUIRE(pthread_join(high, &result) == 0);
    atomic_store(&stop, true);
    REQUIRE(pthread_join(low, NULL) == 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    if (result == NULL) {
        check_skip("this user may give no thread a priority");
    }
}

/* --------------------------------------------------------------------------------------- a recorded loss -- */

static struct sigaction found;

static bool queues; /* the signal is raised by sigqueue(3), and not by raise(3) */

/** Restores the action that was found, and raises the signal again, as Python's faulthandler does. */
static void
restore_and_raise(int signo)
{
    const union sigval value = {.sival_int = 0};
    sigaction(SIGBUS, &found, NULL);
    if (queues) {
        sigqueue(getpid(), signo, value);
    } else {
        raise(signo);
    }
}

enum recorder {
    BY_CHECK,
    BY_FIND,
    BY_POPULATE,
    RECORDERS
};

static void
record_and_lose(void *argument)
{
    enum recorder how = *(enum recorder *)argument;
    const struct sigaction action = {.sa_handler = restore_and_raise, .sa_flags = SA_NODEFER};
    const char *path = check_file("file", PAGES * check_page());
    mmg_handle handle = open_mapped(path);
    mmg_span span = MMG_SPAN_INIT;
    uint64_t position = 0;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(path, check_page());
    switch (how) {
    case BY_CHECK:
        CHECK_STATUS(mmg_check(handle), MMG_E_TRUNCATED);
        break;
    case BY_FIND:
        CHECK_STATUS(mmg_find(handle, 0, 100, "absent", 6, &position), MMG_OK);
        break;
    default:
        CHECK_STATUS(mmg_advise(handle, 0, check_page(), MMG_ADVICE_POPULATE),
                     check_kernel_populates() ? MMG_OK : MMG_E_UNSUPPORTED);
        break;
    }
    /* No page has failed by now, so the call has recorded the loss. */
    CHECK_U64(check_info(handle).fault_offset,
              how == BY_POPULATE && !check_kernel_populates() ? MMG_TO_END : check_page());
    REQUIRE(sigaction(SIGBUS, &action, &found) == 0);
    for (uint64_t at = 1; at < PAGES; at++) {
        REQUIRE(*(const volatile uint8_t *)(span.data + at * check_page()) == 0);
    }
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_loss_that_was_recorded_is_contained_when_it_faults(void)
{
    for (enum recorder how = BY_CHECK; how < RECORDERS; how++) {
        queues = false;
        CHECK_EXITED(check_child(record_and_lose, &how));
        queues = true;
        CHECK_EXITED(check_child(record_and_lose, &how));
    }
}

static const struct check_case cases[] = {
    {"a jump out of a read leaves nothing held", a_jump_out_of_a_read_leaves_nothing_held, 0},
    {"a pending cancellation does not strike in the guard", a_pending_cancellation_does_not_strike_in_the_guard, 0},
    {"a thread with priority does not wait for ever", a_thread_with_priority_does_not_wait_for_ever, 0},
    {"a loss that was recorded is contained when it faults", a_loss_that_was_recorded_is_contained_when_it_faults, 0},
};

CHECK_MAIN(cases)
