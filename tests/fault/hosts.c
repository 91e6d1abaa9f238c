/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The handlers of hosts, each of which passes signals on to the one below it.
 */
#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include "hosts.h"

struct host hosts[HOSTS];

volatile int first_seen;
sigjmp_buf *volatile leave;

static void
first_handler(int signo __attribute__((unused)))
{
    first_seen++;
    if (leave != NULL) {
        siglongjmp(*leave, 1);
    }
}

static void
host_handler(int number, int signo, siginfo_t *info, void *context)
{
    struct sigaction *found = &hosts[number].found;
    hosts[number].seen++;
    if (hosts[number].way == BY_RAISE) {
        sigaction(SIGBUS, found, NULL);
        raise(signo);
    } else if ((found->sa_flags & SA_SIGINFO) != 0) {
        found->sa_sigaction(signo, info, context);
    } else if (found->sa_handler != SIG_DFL) {
        found->sa_handler(signo);
    }
}

#define HOST(n)                                                                                                        \
    static void host_##n(int signo, siginfo_t *info, void *context)                                                    \
    {                                                                                                                  \
        host_handler(0##n, signo, info, context);                                                                      \
    }
#define EIGHT(what, n) what(n##0) what(n##1) what(n##2) what(n##3) what(n##4) what(n##5) what(n##6) what(n##7)
#define ALL(what)                                                                                                      \
    EIGHT(what, 0)                                                                                                     \
    EIGHT(what, 1) EIGHT(what, 2) EIGHT(what, 3) EIGHT(what, 4) EIGHT(what, 5) EIGHT(what, 6) EIGHT(what, 7)
ALL(HOST)
#define NAME(n) host_##n,
void (*const host_handlers[HOSTS])(int, siginfo_t *, void *) = {ALL(NAME)};

void
install_host(int number, enum way way)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = host_handlers[number];
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    hosts[number].way = way;
    REQUIRE(sigaction(SIGBUS, &action, &hosts[number].found) == 0);
}

void
install_first(void)
{
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = first_handler;
    action.sa_flags = SA_ONSTACK | SA_NODEFER;
    REQUIRE(sigaction(SIGBUS, &action, NULL) == 0);
}

/** Sets all counts of signals to 0. */
static void
forget(void)
{
    first_seen = 0;
    for (int number = 0; number < HOSTS; number++) {
        hosts[number].seen = 0;
    }
}

void
raise_to_the_first(void)
{
    forget();
    raise(SIGBUS);
    CHECK_I64(first_seen, 1);
}

void
lose(void)
{
    const char *path = check_file("ours", PAGES * check_page());
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = check_open(path, &options);
    mmg_span span = MMG_SPAN_INIT;
    CHECK_I64(mmg_guard_state(), MMG_GUARD_TOP);
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    check_truncate(path, check_page());
    CHECK_U64(*(const volatile uint8_t *)(span.data + 5 * check_page()), 0);
    CHECK_STATUS(mmg_unpin(&span), MMG_E_TRUNCATED);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}
