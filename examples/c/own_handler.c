/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A host that keeps its own SIGBUS handler on top: `own_handler FILE`.
 *
 * The handler asks the library first. A fault that is not the library's is for the host to handle; this host prints a
 * line and ends. The program reads the file, waits for a line of standard input, and reads it again. So there is time
 * to cut the file short.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "errors.h"

static void
on_sigbus(int signo, siginfo_t *info, void *context)
{
    static const char text[] = "own_handler: a SIGBUS of the host's own\n";

    if (mmg_handle_fault(signo, info, context))
        return; /* the library has replaced the page; the instruction runs again */
    if (write(STDERR_FILENO, text, sizeof text - 1) > 0)
        _exit(3);
    _exit(4);
}

static uint64_t
sum(const mmg_span *span)
{
    uint64_t total = 0;

    for (uint64_t i = 0; i < span->size; i++)
        total += span->data[i];
    return total;
}

int
main(int argc, char **argv)
{
    struct sigaction action;
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle file;
    mmg_span span;

    if (argc != 2) {
        fprintf(stderr, "usage: own_handler FILE\n");
        return 2;
    }
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    options.backing = MMG_BACKING_MAP; /* a small file would be copied, and never fault */

    must_open(mmg_open(argv[1], &options, &file, &error), &error);
    if (sigaction(SIGBUS, &action, NULL) != 0) { /* after the first mapping, so the handler is on top of the guard */
        perror("sigaction");
        return 1;
    }
    must(mmg_pin(file, 0, MMG_TO_END, &span), "pin");
    printf("%llu\n", (unsigned long long)sum(&span));
    fflush(stdout);
    getchar();
    printf("%llu\n", (unsigned long long)sum(&span));
    fflush(stdout);
    must(mmg_unpin(&span), "read");
    must(mmg_close(file, 0), "close");
    return 0;
}
