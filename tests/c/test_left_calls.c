/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what the head of mmapguard.h says of calls that never return, because their thread is cancelled or a signal
 * handler jumps out of them, and of the moments at which calls read the environment.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

/* ---------------------------------------------------------------------------------------- calls that never return -- */

static char fifo[4096];
static _Atomic pid_t waiter;
static sigjmp_buf out;

/** Opens a FIFO that has a silent writer. Returns when a handler jumps out of the call. */
static void *
wait_for_bytes(void *argument)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 0;
    (void)argument;
    options.stream_wait_ms = MMG_WAIT_FOREVER;
    if (sigsetjmp(out, 1) == 0) {
        atomic_store(&waiter, (pid_t)syscall(SYS_gettid));
        mmg_status status = mmg_open(fifo, &options, &handle, NULL);
        CHECK_STATUS(status, MMG_OK); /* not reached */
        CHECK(false);
    }
    return NULL;
}

static void
jump_out(int signo __attribute__((unused)))
{
    siglongjmp(out, 1);
}

/** Returns true when the kernel shows the thread asleep. */
static bool
sleeps(pid_t thread)
{
    char path[64];
    char state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)thread);
    FILE *file = fopen(path, "re");
    REQUIRE(file != NULL);
    REQUIRE(fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
    REQUIRE(fclose(file) == 0);
    return state == 'S';
}

/** Returns a thread that waits in a call for bytes of the FIFO. `before` is the number of descriptors without the call. */
static pthread_t
start_waiting(unsigned before)
{
    pthread_t thread;
    REQUIRE(pthread_create(&thread, NULL, wait_for_bytes, NULL) == 0);
    while (check_descriptors() == before) {
        sched_yield();
    }
    for (unsigned times = 0; times < 100; times = sleeps(atomic_load(&waiter)) ? times + 1 : 0) {
        sched_yield();
    }
    return thread;
}

/** Makes the FIFO and a writer of it. */
static void
make_fifo(void)
{
    snprintf(fifo, sizeof fifo, "%s", check_path("fifo"));
    REQUIRE(mkfifo(fifo, 0600) == 0);
    REQUIRE(open(fifo, O_RDWR | O_CLOEXEC) >= 0);
}

/** The call keeps its descriptor for ever, and every other call works. */
static void
check_what_is_left(unsigned before)
{
    CHECK_U64(check_descriptors(), before + 1);
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        const mmg_options options = check_backing(backing);
        mmg_handle handle = check_open(check_file("file", 100000), &options);
        mmg_span span = check_pin(handle, 0, 100000);
        CHECK(check_is_pattern(span.data, 0, 100000));
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
    }
    CHECK_U64(check_descriptors(), before + 1);
    CHECK_U64(check_stats().regions, 0);
}

static void
cancel_a_call(void *unused)
{
    (void)unused;
    make_fifo();
    const unsigned before = check_descriptors();
    void *result = NULL;
    pthread_t thread = start_waiting(before);
    REQUIRE(pthread_cancel(thread) == 0);
    REQUIRE(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED);
    check_what_is_left(before);
    check_child_end(); /* without the inventory, since the call keeps what it holds */
}

static void
jump_out_of_a_call(void *unused)
{
    (void)unused;
    const struct sigaction action = {.sa_handler = jump_out};
    make_fifo();
    REQUIRE(sigaction(SIGUSR1, &action, NULL) == 0);
    const unsigned before = check_descriptors();
    pthread_t thread = start_waiting(before);
    REQUIRE(pthread_kill(thread, SIGUSR1) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    check_what_is_left(before);
    check_child_end(); /* without the inventory, since the call keeps what it holds */
}

static void
check_in_a_child_that_leaks(void (*body)(void *unused))
{
    if (check_under_valgrind()) {
        check_skip("the call never gives its memory back, which Valgrind reports as a leak");
        return;
    }
    CHECK_EXITED(check_child(body, NULL));
}

static void
what_a_cancelled_call_holds_is_never_given_back(void)
{
    check_in_a_child_that_leaks(cancel_a_call);
}

static void
what_a_call_holds_that_a_handler_leaves_is_never_given_back(void)
{
    check_in_a_child_that_leaks(jump_out_of_a_call);
}

/* -------------------------------------------------------------------------------------------------- environment -- */

CHECK_IN_A_CHILD(each_call_that_opens_reads_whether_the_guard_is_wanted)
{
    const mmg_options map = check_backing(MMG_BACKING_MAP);
    const char *path = check_file("file", 100000);
    REQUIRE(setenv("MMAPGUARD_NO_SIGNAL", "1", 1) == 0);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISABLED);
    CHECK_STATUS(mmg_guard_install(), MMG_E_GUARD);
    mmg_handle unguarded = check_open(path, &map);
    CHECK_U64(check_info(unguarded).guarantee, MMG_GUARANTEE_NONE);
    REQUIRE(unsetenv("MMAPGUARD_NO_SIGNAL") == 0);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_NONE);
    mmg_handle guarded = check_open(path, &map);
    CHECK_U64(check_info(guarded).guarantee, MMG_GUARANTEE_CONTAINED);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_STATUS(mmg_close(guarded, 0), MMG_OK);
    CHECK_STATUS(mmg_close(unguarded, 0), MMG_OK);
}

CHECK_IN_A_CHILD(the_default_lock_is_read_once)
{
    const mmg_options map = check_backing(MMG_BACKING_MAP);
    const char *path = check_file("file", 100000);
    REQUIRE(setenv("MMAPGUARD_LOCK", "none", 1) == 0);
    mmg_handle first = check_open(path, &map);
    CHECK_U64(check_info(first).lock, MMG_LOCK_NONE);
    REQUIRE(setenv("MMAPGUARD_LOCK", "shared", 1) == 0);
    mmg_handle second = check_open(path, &map);
    CHECK_U64(check_info(second).lock, MMG_LOCK_NONE);
    CHECK_STATUS(mmg_close(first, 0), MMG_OK);
    CHECK_STATUS(mmg_close(second, 0), MMG_OK);
}

static const struct check_case cases[] = {
    {"what a cancelled call holds is never given back", what_a_cancelled_call_holds_is_never_given_back, CHECK_ONCE},
    {"what a call holds that a handler leaves is never given back",
     what_a_call_holds_that_a_handler_leaves_is_never_given_back, CHECK_ONCE},
    {"each call that opens reads whether the guard is wanted", each_call_that_opens_reads_whether_the_guard_is_wanted,
     CHECK_ONCE},
    {"the default lock is read once", the_default_lock_is_read_once, CHECK_ONCE},
};

CHECK_MAIN(cases)
