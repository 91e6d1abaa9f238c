/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A preloaded sigaction(2) that installs no handler for SIGBUS, like that of sanitizers, libjsig and sandboxes. With
 * SWALLOW_SIGACTION=silently it returns success and does nothing; with any other value it fails with EPERM. All other
 * calls, including reads of the action of SIGBUS, go to the C library.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef int sigaction_function(int, const struct sigaction *, struct sigaction *);

__attribute__((visibility("default"))) int
sigaction(int signo, const struct sigaction *action, struct sigaction *old)
{
    static sigaction_function *next;
    if (signo == SIGBUS && action != NULL) {
        const char *how = getenv("SWALLOW_SIGACTION");
        if (how != NULL && strcmp(how, "silently") == 0) {
            return 0;
        }
        errno = EPERM;
        return -1;
    }
    if (next == NULL) {
        *(void **)&next = dlsym(RTLD_NEXT, "sigaction");
    }
    return next(signo, action, old);
}
