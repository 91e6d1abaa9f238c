/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the guard on top of as many handlers as it can be put on, one after another. At each level it contains a loss, names
 * its predecessor to another copy of the library, and passes a signal of the host on to the handler right below.
 */
#include <signal.h>
#include <sys/mman.h>
#include <string.h>

#include "guard/chain.h"
#include "lost_file.h"
#include "os/signal.h"
#include "standing_in.h"

STANDS_IN(bool, mmgi_chain_climb, (void), ())

/* A handler is told from the others by the signals that are blocked while it runs: the bits of its number. */
#define BITS 7

static volatile sig_atomic_t called, calls;

static void
host_handler(int signo, siginfo_t *info, void *context)
{
    sigset_t mask;
    (void)signo;
    (void)info;
    (void)context;
    called = 0;
    calls++;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int bit = 0; bit < BITS; bit++) {
        called |= sigismember(&mask, SIGRTMIN + bit) ? 1 << bit : 0;
    }
}

/** Puts a handler of the host on top. Returns its action as the kernel has it. */
static struct signal_action
put_on_top(int number)
{
    struct sigaction action = {.sa_sigaction = host_handler, .sa_flags = SA_SIGINFO};
    struct signal_action installed;
    sigemptyset(&action.sa_mask);
    for (int bit = 0; bit < BITS; bit++) {
        if (number & 1 << bit) {
            sigaddset(&action.sa_mask, SIGRTMIN + bit);
        }
    }
    REQUIRE(sigaction(SIGBUS, &action, NULL) == 0);
    REQUIRE(mmgi_signal_action_get(&installed) == 0);
    return installed;
}

/** Opens the file, which puts the guard on top, and loses a page of it. */
static void
lose_a_page(void)
{
    mmg_span span = MMG_SPAN_INIT;
    check_truncate(file, PAGES * page);
    const mmg_handle handle = open_mapped();
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(file, page);
    CHECK_U64(check_touch(span.data, 2 * page), 0);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Asks as another copy of the library does. The guard must be on top. */
static struct signal_action
predecessor(void)
{
    struct signal_action action;
    REQUIRE(mmgi_signal_action_get(&action) == 0 && mmgi_signal_action_is_marked(&action));
    mmgi_signal_action_handler (&action)(0, &action, NULL);
    return action;
}

/** Raises the signal, which the handler of this number must get, once. */
static void
raise_for(int number)
{
    const int before = calls;
    called = -1;
    REQUIRE(raise(SIGBUS) == 0);
    CHECK_I64(called, number);
    CHECK_I64(calls, before + 1);
}

static void
climb_to_the_top(void *unused)
{
    (void)unused;
    for (int number = 1; number <= CHAIN_LEVELS; number++) {
        const struct signal_action host = put_on_top(number);
        CHECK_I64(mmg_guard_state(), number == 1 ? MMG_GUARD_NONE : MMG_GUARD_DISPLACED);
        lose_a_page();
        const struct signal_action found = predecessor();
        CHECK(mmgi_signal_action_equals(&found, &host));
        CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
        raise_for(number);
    }
    /* An action that the guard was put on before takes no level more, and a new one finds none. */
    put_on_top(5);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    raise_for(5);
    put_on_top(CHAIN_LEVELS + 1);
    CHECK_STATUS(mmg_guard_install(), MMG_E_GUARD);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_REFUSED);
    raise_for(CHAIN_LEVELS + 1);
    put_on_top(CHAIN_LEVELS);
    lose_a_page();
    raise_for(CHAIN_LEVELS);
}

static void
the_guard_works_at_each_of_its_levels(void)
{
    if (CHECK_UNDER_TSAN) {
        check_skip("ThreadSanitizer hides the guard from the handlers of the host");
        return;
    }
    make_file();
    CHECK_EXITED(check_child(climb_to_the_top, NULL));
}

/** Every open of a mapping asks for the guard. Where it is on top already, a look at it is enough. */
CHECK_IN_A_CHILD(a_guard_on_top_does_not_climb)
{
    make_file();
    mmg_handle handles[2] = {open_mapped()};
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    PLAN(mmgi_chain_climb, GO_ON);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    handles[1] = open_mapped();
    CHECK_U64(CALLS(mmgi_chain_climb), 0);
    put_on_top(1);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_DISPLACED);
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    CHECK_U64(CALLS(mmgi_chain_climb), 1);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_STATUS(mmg_close(handles[0], 0), MMG_OK);
    CHECK_STATUS(mmg_close(handles[1], 0), MMG_OK);
}

static int copies, copies_below;
static struct signal_action own;

static void answer_as_a_copy(int signo, void *action, void *unused);

/** Answers for a copy of the library which was asked for its predecessor: a copy once more, or at last this one. */
static void
answer(int signo, struct signal_action *below)
{
    CHECK_I64(signo, 0); /* a question, and no signal */
    *below = own;
    if (--copies_below > 0) {
        below->handler = (uintptr_t)answer_as_a_copy;
    }
}

static void
answer_as_a_copy(int signo, void *action, void *unused)
{
    (void)unused;
    answer(signo, action);
}

static void
answer_as_the_copy_on_top(int signo, void *action, void *unused)
{
    (void)unused;
    copies_below = copies;
    answer(signo, action);
}

/** The guard believes 16 copies on top of it, and goes on top of more, which may lead round in a circle. */
CHECK_IN_A_CHILD(sixteen_copies_on_top_are_followed_to_the_guard)
{
    make_file();
    const mmg_handle handle = open_mapped();
    REQUIRE(mmgi_signal_action_get(&own) == 0 && mmgi_signal_action_is_marked(&own));
    struct signal_action top = own;
    top.handler = (uintptr_t)answer_as_the_copy_on_top;
    REQUIRE(mmgi_signal_action_swap(&top, NULL) == 0);
    for (copies = 1; copies <= 18; copies++) {
        CHECK_I64(mmg_guard_state(), copies <= 16 ? MMG_GUARD_TOP : MMG_GUARD_DISPLACED);
    }
    CHECK_STATUS(mmg_guard_install(), MMG_OK);
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** A word is read where there is one, and nothing is stored where there is none. */
static void
a_word_that_may_be_missing_is_read_or_refused(void)
{
    const size_t size = (size_t)check_page();
    uintptr_t word = 4711;
    uint8_t *pages = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(pages != MAP_FAILED && mprotect(pages + size, size, PROT_NONE) == 0);
    const uintptr_t start = (uintptr_t)pages, end = start + size;
    *(uintptr_t *)(void *)pages = 1;
    *(uintptr_t *)(void *)(pages + size - sizeof word) = 2;
    for (uintptr_t off = 1; off < sizeof word; off++) {
        CHECK(!mmgi_signal_peek(start + off, &word));
    }
    CHECK_U64(word, 4711);
    CHECK(mmgi_signal_peek(start, &word));
    CHECK_U64(word, 1);
    CHECK(mmgi_signal_peek(end - sizeof word, &word));
    CHECK_U64(word, 2);
    if (check_under_valgrind() || check_under_qemu()) {
        check_skip("the emulator looks at the set of a wrong rt_sigprocmask(2), or does not look at it, as Linux does");
    } else {
        CHECK(!mmgi_signal_peek(end, &word));
        CHECK(munmap(pages + size, size) == 0);
        CHECK(!mmgi_signal_peek(end, &word));
        CHECK(!mmgi_signal_peek(sizeof word, &word));
        CHECK_U64(word, 2);
    }
    munmap(pages, 2 * size);
}

static const struct check_case cases[] = {
    {"sixteen copies on top are followed to the guard", sixteen_copies_on_top_are_followed_to_the_guard, 0},
    {"a guard on top does not climb", a_guard_on_top_does_not_climb, 0},
    {"the guard works at each of its levels", the_guard_works_at_each_of_its_levels, CHECK_LOSES},
    {"a word that may be missing is read or refused", a_word_that_may_be_missing_is_read_or_refused, 0},
};

CHECK_MAIN(cases)
