/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The process by way of secure_getenv(3) and getentropy(3).
 */
#include "os/process.h"

#include <stdlib.h>
#include <string.h>
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

uint64_t
mmgi_process_random(void)
{
    uint64_t number = 0;

    /* Where the kernel has no such call, the address of the stack differs from process to process. */
    if (getentropy(&number, sizeof number) != 0)
        number = (uintptr_t)&number;
    return number;
}
