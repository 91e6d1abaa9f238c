/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the chain of SIGBUS handlers: many handlers of hosts on top of each other, which pass signals on in different
 * ways; handlers that leave by a jump; two copies of the library in one process. No signal may go in a circle, and no
 * handler may be skipped. The action of SIGBUS belongs to the process, so every case runs in a child.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "copy.h"
#include "hosts.h"

/* Defines a case that is skipped, for this reason, when the condition holds. */
#define IN_A_CHILD_UNLESS(condition, reason, name)                                                                     \
    static void name##_child(void *argument);                                                                          \
    static void name(void)                                                                                             \
    {                                                                                                                  \
        if (condition)                                                                                                 \
            check_skip(reason);                                                                                        \
        else                                                                                                           \
            CHECK_EXITED(check_child(name##_child, NULL));                                                             \
    }                                                                                                                  \
    static void name##_child(void *argument __attribute__((unused)))

/*
 * ThreadSanitizer answers sigaction(2) from its own table, which has only handlers of the host. A handler that passes a
 * signal on to the handler that it found never reaches the guard.
 */
#define HIDES_THE_GUARD "ThreadSanitizer hides the guard from the handlers of the host"
#define IN_A_CHILD_THAT_FINDS_THE_GUARD(name) IN_A_CHILD_UNLESS(CHECK_UNDER_TSAN, HIDES_THE_GUARD, name)

/* The reason to skip cases in which a signal comes while another one is handled on the main stack. */
#define HAS_A_STIFF_STACK "Valgrind cannot extend the stack while it delivers a signal"
#define IN_A_CHILD_WITH_A_DEEP_STACK(name) IN_A_CHILD_UNLESS(check_under_valgrind(), HAS_A_STIFF_STACK, name)

/* ---------------------------------------------------------------------------------------------------------- hosts -- */

/** Returns a page of the host that cannot be delivered. */
static volatile uint8_t *
broken_page(void)
{
    int descriptor = open(check_file("host", 1), O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    uint8_t *base = mmap(NULL, 2 * check_page(), PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(base != MAP_FAILED);
    close(descriptor);
    return base + check_page();
}

/* ----------------------------------------------------------------------------------------------- many handlers -- */

/** Installs hosts on top of each other, with the guard between them. A signal must visit each of them once. */
static void
visit_all(int count, enum way way)
{
    install_first();
    for (int number = 0; number < count; number++) {
        CHECK_STATUS(mmg_guard_install(), MMG_OK);
        install_host(number, way);
        if (way == BY_RAISE && number + 1 < count) {
            continue; /* a handler that restores the action that it found has only one signal */
        }
        raise_to_the_first();
        for (int below = 0; below <= number; below++) {
            CHECK_I64(hosts[below].seen, 1);
        }
    }
    lose();
}

IN_A_CHILD_THAT_FINDS_THE_GUARD(fifty_handlers_that_call_are_all_visited)
{
    visit_all(50, BY_CALL);
}

IN_A_CHILD_UNLESS(CHECK_UNDER_TSAN || check_under_valgrind(), CHECK_UNDER_TSAN ? HIDES_THE_GUARD : HAS_A_STIFF_STACK,
                  ten_handlers_that_raise_are_all_visited)
{
    visit_all(10, BY_RAISE);
}

/** The guard can go on top of 64 different handlers, and reports when there are more. */
IN_A_CHILD_THAT_FINDS_THE_GUARD(one_handler_too_many_is_refused_and_copied)
{
    install_first();
    for (int number = 0; number < HOSTS - 1; number++) {
        CHECK_STATUS(mmg_guard_install(), MMG_OK);
        install_host(number, BY_CALL);
    }
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    install_host(HOSTS - 1, BY_CALL);
    CHECK_STATUS(mmg_guard_install(), MMG_E_GUARD);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_REFUSED);
    mmg_handle handle = check_open(check_file("big", UINT64_C(1) << 20), NULL);
    CHECK_U64(check_info(handle).backing_reason, MMG_REASON_NO_GUARD);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** When a handler comes back on top of another one, the handler between them is not skipped. */
IN_A_CHILD_THAT_FINDS_THE_GUARD(no_handler_is_skipped_when_one_is_put_on_top_again)
{
    install_first();
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    install_host(0, BY_CALL);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    install_host(1, BY_CALL);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    install_host(0, BY_CALL);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    for (int round = 1; round <= 3; round++) {
        raise(SIGBUS);
        CHECK_I64(first_seen, round);
        CHECK_I64(hosts[0].seen, round);
        CHECK_I64(hosts[1].seen, round);
    }
    lose();
}

/**
 * The host has installed its handler on top and passes signals on. The guard must not go on top while it handles a
 * signal.
 */
IN_A_CHILD_THAT_FINDS_THE_GUARD(a_handler_on_top_stays_there_until_the_next_mapping)
{
    struct sigaction action;
    install_first();
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    install_host(0, BY_CALL);
    raise(SIGBUS);
    CHECK_I64(first_seen, 1);
    CHECK_I64(hosts[0].seen, 1);
    REQUIRE(sigaction(SIGBUS, NULL, &action) == 0);
    CHECK(action.sa_sigaction == host_handlers[0]);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISPLACED);
    lose(); /* this opens a mapping, after which the guard must be on top */
}

/* ---------------------------------------------------------------------------------------------------------- jumps -- */

/** Sends a signal, leaves the handler by a jump, and calls itself from there. The call must not be a tail call. */
__attribute__((noinline)) static int
jump_deeper(int count, volatile uint8_t *page) // NOLINT(misc-no-recursion): that is what it is for
{
    sigjmp_buf here;
    volatile char room[5000];
    room[0] = (char)count;
    leave = &here;
    if (sigsetjmp(here, 1) == 0) {
        if (page != NULL) {
            (void)*page;
        } else {
            raise(SIGBUS);
        }
        CHECK(false); /* not reached: the handler jumps */
    }
    if (count > 1) {
        jump_deeper(count - 1, page);
    }
    return room[0];
}

static void
use_alternate_stack(void)
{
    static char area[1 << 16];
    const stack_t stack = {.ss_sp = area, .ss_size = sizeof area};
    REQUIRE(sigaltstack(&stack, NULL) == 0);
}

static void
leave_by_jumps(bool on_alternate_stack, bool below_a_host)
{
    volatile uint8_t *page = broken_page();
    install_first();
    if (on_alternate_stack) {
        use_alternate_stack();
    }
    lose();
    if (below_a_host) {
        install_host(0, BY_CALL);
    }
    for (int round = 0; round < 2; round++) {
        jump_deeper(40, round == 0 ? page : NULL);
        CHECK_I64(first_seen, 40 * (round + 1));
    }
    leave = NULL;
    lose();
}

IN_A_CHILD_WITH_A_DEEP_STACK(jumps_from_the_normal_stack)
{
    leave_by_jumps(false, false);
}

IN_A_CHILD_UNLESS(CHECK_UNDER_TSAN || check_under_valgrind(), CHECK_UNDER_TSAN ? HIDES_THE_GUARD : HAS_A_STIFF_STACK,
                  jumps_from_the_normal_stack_below_a_host)
{
    leave_by_jumps(false, true);
}

CHECK_IN_A_CHILD(jumps_from_an_alternate_stack)
{
    leave_by_jumps(true, false);
}

IN_A_CHILD_THAT_FINDS_THE_GUARD(jumps_from_an_alternate_stack_below_a_host)
{
    leave_by_jumps(true, true);
}

/* --------------------------------------------------------------------------------------- stacks of the host -- */

static volatile bool ran_on_alternate_stack;

static void
look_at_stack(int signo __attribute__((unused)))
{
    stack_t stack;
    REQUIRE(sigaltstack(NULL, &stack) == 0);
    ran_on_alternate_stack = (stack.ss_flags & SS_ONSTACK) != 0;
}

CHECK_IN_A_CHILD(a_handler_that_wants_no_alternate_stack_runs_on_the_main_stack)
{
    struct sigaction action;
    use_alternate_stack();
    for (int wanted = 0; wanted < 2; wanted++) {
        memset(&action, 0, sizeof action);
        action.sa_handler = look_at_stack;
        action.sa_flags = wanted != 0 ? SA_ONSTACK : 0;
        REQUIRE(sigaction(SIGBUS, &action, NULL) == 0);
        lose();
        raise(SIGBUS);
        CHECK_I64(ran_on_alternate_stack, wanted != 0);
    }
}

/* --------------------------------------------------------------------------------------------- two copies at once -- */

static struct {
    __typeof__(&copy_map) map;
    __typeof__(&copy_unmap) unmap;
    __typeof__(&copy_guard_state) guard_state;
} copy;

static void
load_copy(void)
{
    void *library = dlopen(getenv("MMAPGUARD_COPY"), RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != NULL);
    /* POSIX lets an object pointer that dlsym() returned be read as a function pointer. */
    *(void **)&copy.map = dlsym(library, "copy_map");
    *(void **)&copy.unmap = dlsym(library, "copy_unmap");
    *(void **)&copy.guard_state = dlsym(library, "copy_guard_state");
    REQUIRE(copy.map != NULL && copy.unmap != NULL && copy.guard_state != NULL);
}

/** Loses a page of a region of the copy. */
static void
lose_of_copy(void)
{
    const char *path = check_file("copied", PAGES * check_page());
    const uint8_t *data = copy.map(path);
    REQUIRE(data != NULL);
    check_truncate(path, check_page());
    CHECK_U64(*(const volatile uint8_t *)(data + 5 * check_page()), 0);
    CHECK_STATUS(copy.unmap(), MMG_E_TRUNCATED);
}

/** Checks that neither copy knows of a handler of the host on top of it. */
static void
both_are_on_top(void)
{
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_I64(copy.guard_state(), MMG_GUARD_TOP);
}

/**
 * Both copies must contain their own faults, pass other signals on, and not go on top of each other again and again.
 */
static void
live_together(bool copy_first)
{
    install_first();
    load_copy();
    for (int round = 0; round < 100; round++) {
        if (copy_first) {
            lose_of_copy();
            lose();
        } else {
            lose();
            lose_of_copy();
        }
        both_are_on_top();
        raise_to_the_first();
    }
}

CHECK_IN_A_CHILD(two_copies_with_the_shared_one_first)
{
    live_together(false);
}

CHECK_IN_A_CHILD(two_copies_with_the_static_one_first)
{
    live_together(true);
}

/** A handler between the two copies passes no signals on. So the lower copy must go on top again. */
CHECK_IN_A_CHILD(two_copies_with_a_handler_between_that_keeps_everything)
{
    load_copy();
    lose();
    install_first();
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISPLACED);
    lose_of_copy();
    CHECK_I64(copy.guard_state(), MMG_GUARD_TOP);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISPLACED);
    for (int round = 0; round < 100; round++) {
        lose();
        lose_of_copy();
        both_are_on_top();
    }
    raise_to_the_first();
}

static const struct check_case cases[] = {
    {"fifty handlers that call what they found are all visited", fifty_handlers_that_call_are_all_visited, 0},
    {"ten handlers that raise the signal anew are all visited", ten_handlers_that_raise_are_all_visited, 0},
    {"one handler too many is refused, and files are copied", one_handler_too_many_is_refused_and_copied, 0},
    {"no handler is skipped when one is put on top again", no_handler_is_skipped_when_one_is_put_on_top_again, 0},
    {"a handler on top stays there until the next mapping", a_handler_on_top_stays_there_until_the_next_mapping, 0},
    {"a handler may jump from the normal stack", jumps_from_the_normal_stack, 0},
    {"a handler below a host may jump from the normal stack", jumps_from_the_normal_stack_below_a_host, 0},
    {"a handler may jump from an alternate stack", jumps_from_an_alternate_stack, 0},
    {"a handler below a host may jump from an alternate stack", jumps_from_an_alternate_stack_below_a_host, 0},
    {"a handler that wants no alternate stack runs on the main stack",
     a_handler_that_wants_no_alternate_stack_runs_on_the_main_stack, 0},
    {"two copies live together, the shared one first", two_copies_with_the_shared_one_first, 0},
    {"two copies live together, the static one first", two_copies_with_the_static_one_first, 0},
    {"two copies live together with a handler between them", two_copies_with_a_handler_between_that_keeps_everything,
     0},
};

CHECK_MAIN(cases)
