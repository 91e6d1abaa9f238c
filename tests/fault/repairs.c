/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the guard for mappings of other code beside handlers that repair a fault or raise the signal anew.
 */
#include <dlfcn.h>
#include <stdio.h>

#include "foreign.h"

/** A library whose handler was installed before the guard, and the expected bytes of two mappings. */
struct repair {
    const char *library; /* the environment variable with its path */
    uint32_t flags;      /* the flags of the guard */
    bool has_guard;
    uint8_t expected; /* the byte in the mapping that the handler repairs */
};

static void
two_mappings(void *argument)
{
    const struct repair *repair = argument;
    void *library = dlopen(getenv(repair->library), RTLD_NOW);
    REQUIRE(library != NULL);
    void (*install)(uint8_t *, size_t) = NULL;
    unsigned (*calls)(void) = NULL;
    *(void **)&install = dlsym(library, "repairer_install"); /* as dlsym(3) recommends */
    *(void **)&calls = dlsym(library, "repairer_calls");
    const char *path = check_path("foreign");
    uint8_t *theirs = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);
    uint8_t *nobodys = foreign_map(path, PROT_READ, MAP_SHARED, whole(), 0);

    REQUIRE(install != NULL && calls != NULL);
    install(theirs, whole());
    if (repair->has_guard) {
        foreign_guard(repair->flags);
    }
    const uint64_t mark = repair->has_guard ? ledger_mark() : 0;
    check_truncate(path, 3 * check_page());
    for (int i = 0; i < 2; i++) { /* the second time the handler must still come first */
        REQUIRE(touch(theirs, whole() - 1 - (uint64_t)i * 5 * check_page()) == repair->expected);
    }
    REQUIRE(calls() == (repair->expected == 7 ? 2 : 0));
    CHECK(touch(nobodys, whole() - 1) == 0);
    CHECK_U64(ledger_mark() - mark, repair->expected == 7 ? 1 : 2);
    check_child_end();
}

static void
a_handler_that_repairs_comes_first(void)
{
    struct repair twin = {"MMAPGUARD_EINA", 0, false, 7};
    struct repair known = {"MMAPGUARD_EINA", 0, true, 7};
    struct repair told = {"MMAPGUARD_STRANGER", MMG_PROCESS_CHAIN_FIRST, true, 7};
    struct repair stranger = {"MMAPGUARD_STRANGER", 0, true, 0};

    if (foreign_is_unsupported()) {
        return;
    }
    if (CHECK_UNDER_TSAN) {
        check_skip("under ThreadSanitizer the kernel calls the handler of the sanitizer, so the library of a handler "
                   "is not known");
        return;
    }
    if (getenv("MMAPGUARD_EINA") == NULL) {
        check_skip("only CTest sets the paths of the libraries");
        return;
    }
    check_file("foreign", whole());
    CHECK_KILLED(check_child(two_mappings, &twin), SIGBUS); /* by the fault in the mapping that no handler repairs */
    check_file("foreign", whole());
    CHECK_EXITED(check_child(two_mappings, &known));
    check_file("foreign", whole());
    CHECK_EXITED(check_child(two_mappings, &told));
    check_file("foreign", whole());
    CHECK_EXITED(check_child(two_mappings, &stranger));
}

/* The action below the handler. A signal handler uses it, so it is static. */
static struct sigaction found_action;

/** Restores the action that was found, and raises the signal again, as Python's faulthandler does. */
static void
restore_and_raise(int signo)
{
    sigaction(SIGBUS, &found_action, NULL);
    raise(signo);
}

static void
read_below_such_a_handler(void *argument)
{
    const struct sigaction action = {.sa_handler = restore_and_raise, .sa_flags = SA_NODEFER};
    const uint8_t *bytes = foreign_map(argument, PROT_READ, MAP_SHARED, whole(), 0);
    const uint8_t *second = foreign_map(check_path("second"), PROT_READ, MAP_SHARED, whole(), 0);
    foreign_guard(0);
    REQUIRE(sigaction(SIGBUS, &action, &found_action) == 0);
    const uint64_t mark = ledger_mark();
    check_truncate(argument, check_page() + 1);
    check_truncate(check_path("second"), 0);
    CHECK(touch(bytes, 20 * check_page()) == 0);
    CHECK(check_is_pattern(bytes, 0, check_page() + 1));
    CHECK(check_is_zero(bytes + check_page() + 1, whole() - check_page() - 1));
    CHECK(touch(second, 0) == 0);
    CHECK_U64(ledger_mark() - mark, 2); /* both, since nothing told which of them had the fault */
    check_child_end();
}

/** A handler that raises for its own purposes: no mapping has lost anything, so the signal is not the guard's. */
static void
raise_without_a_loss(void *argument)
{
    const uint8_t *bytes = foreign_map(argument, PROT_READ, MAP_SHARED, whole(), 0);
    signal(SIGBUS, SIG_DFL);
    foreign_guard(0);
    REQUIRE(mprotect((void *)(uintptr_t)bytes, whole(), PROT_NONE) == 0); /* it cannot be read, and is not lost */
    raise(SIGBUS);
}

/** The raised signal has no address, so the guard looks at all mappings for what was cut. */
static void
a_handler_that_raises_anew_hides_no_loss(void)
{
    char path[4096];

    if (foreign_is_unsupported() || foreign_has_no_question()) {
        return;
    }
    if (CHECK_UNDER_TSAN || CHECK_UNDER_ASAN) {
        check_skip("the sanitizer has a handler of its own for the signal that is raised");
        return;
    }
    check_file("second", whole());
    snprintf(path, sizeof path, "%s", check_file("foreign", whole()));
    CHECK_KILLED(check_child(raise_without_a_loss, path), SIGBUS);
    CHECK_EXITED(check_child(read_below_such_a_handler, path));
}

static const struct check_case cases[] = {
    {"a handler that repairs its own mappings comes first", a_handler_that_repairs_comes_first, 0},
    {"a handler that raises the signal anew hides no loss", a_handler_that_raises_anew_hides_no_loss, 0},
};

CHECK_MAIN(cases)
