/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The environment, the number and the limits of the process, and random numbers.
 */
#include "os/process.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *
mmgi_process_environment(const char *name)
{
    return secure_getenv(name);
}

bool
mmgi_process_environment_says(const char *name)
{
    const char *value = mmgi_process_environment(name);

    return value != NULL && value[0] != '\0' && strcmp(value, "0") != 0;
}

int
mmgi_process_id(void)
{
    return (int)getpid(); /* a pid_t is an int on Linux */
}

/*
 * Calls prlimit64(2) itself, whose struct has 64 bits for each limit, also where rlim_t has 32. Returns false when the
 * call fails.
 */
static bool
space_limit(const struct process_space *fresh, struct process_space *old)
{
    return syscall(SYS_prlimit64, 0, RLIMIT_AS, fresh, old) == 0;
}

enum process_space_state
mmgi_process_space_lift(struct process_space *before)
{
    const struct process_space none = {UINT64_MAX, UINT64_MAX};

    if (!space_limit(NULL, before) || before->soft == UINT64_MAX)
        return PROCESS_SPACE_FREE;
    const struct process_space most = {before->hard, before->hard};
    if (space_limit(&none, NULL) || (before->soft < before->hard && space_limit(&most, NULL)))
        return PROCESS_SPACE_LIFTED;
    return PROCESS_SPACE_STUCK;
}

void
mmgi_process_space_restore(const struct process_space *before)
{
    space_limit(before, NULL);
}

uint64_t
mmgi_process_random(void)
{
    uint64_t number = 0;

    /* If the kernel has no such call, use the address of the stack, which differs from process to process. */
    if (getentropy(&number, sizeof number) != 0)
        number = (uintptr_t)&number;
    return number; /* NOLINT(clang-analyzer-core.StackAddressEscape): a number, used as no address */
}
