/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Judges what the library returns while a call of libc fails: the status must be one that the header allows, and it must
 * fit the errno.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "inject.h"

bool strict;
bool has_leases;
int injected;

/** The statuses that the header allows for failures that are not the caller's fault. 0 ends the list. */
static const mmg_status allowed[][16] = {
    [OPEN] = {MMG_E_NOT_FOUND, MMG_E_PERMISSION, MMG_E_NOT_MAPPABLE, MMG_E_WOULD_BLOCK, MMG_E_LIMIT, MMG_E_NO_MEMORY,
              MMG_E_UNSTABLE, MMG_E_TRUNCATED, MMG_E_IO, MMG_E_UNSUPPORTED, MMG_E_GUARD, MMG_E_SYSTEM, MMG_E_RANGE,
              MMG_E_ARGUMENT, MMG_E_TOO_BIG},
    [ADOPT] = {MMG_E_NOT_FOUND, MMG_E_PERMISSION, MMG_E_NOT_MAPPABLE, MMG_E_LIMIT, MMG_E_NO_MEMORY, MMG_E_UNSTABLE,
               MMG_E_TRUNCATED, MMG_E_IO, MMG_E_UNSUPPORTED, MMG_E_GUARD, MMG_E_SYSTEM},
    [GUARD] = {MMG_E_GUARD, MMG_E_UNSUPPORTED},
    [READ_FD] = {MMG_E_TOO_BIG, MMG_E_ARGUMENT, MMG_E_PERMISSION, MMG_E_NOT_MAPPABLE, MMG_E_LIMIT, MMG_E_NO_MEMORY,
                 MMG_E_IO, MMG_E_SYSTEM, MMG_E_RANGE},
    [PIN] = {MMG_E_NO_MEMORY},
    [READ] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_SYSTEM},
    [FIND] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_NO_MEMORY, MMG_E_SYSTEM},
    [CHECK_STATE] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_SYSTEM},
    [CHANGED] = {MMG_E_IO, MMG_E_SYSTEM},
    [ADVISE] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_UNSUPPORTED, MMG_E_NO_MEMORY, MMG_E_SYSTEM},
    [RESIDENT] = {MMG_E_SYSTEM},
    [EXPORT] = {MMG_E_NO_MEMORY},
};

static bool
is_allowed(enum call call, mmg_status status)
{
    for (size_t index = 0; index < 16 && allowed[call][index] != 0; index++) {
        if (allowed[call][index] == status) {
            return true;
        }
    }
    return false;
}

bool
observe(enum call call, mmg_status status, const char *what)
{
    if (status != MMG_OK && (strict || !is_allowed(call, status))) {
        fprintf(stderr, "    %s returned %s\n", what, mmg_status_name(status));
        CHECK(strict ? status == MMG_OK : is_allowed(call, status));
    }
    return status == MMG_OK;
}

/** Returns true when the status of a failed opening fits the errno that caused it. */
static bool
fits(mmg_status status, int os_code)
{
    switch (os_code) {
    case EMFILE:
    case ENFILE:
        return status == MMG_E_LIMIT;
    case ENOMEM:
        return status == MMG_E_NO_MEMORY || status == MMG_E_LIMIT;
    case EIO:
        return status == MMG_E_IO;
    case ESTALE:
        return status == MMG_E_IO || status == MMG_E_SYSTEM;
    case ENOENT:
        return status == MMG_E_NOT_FOUND;
    case EACCES:
    case EPERM:
        return status == MMG_E_PERMISSION || status == MMG_E_WOULD_BLOCK || status == MMG_E_NOT_MAPPABLE ||
               status == MMG_E_UNSTABLE;
    case EWOULDBLOCK:
        return status == MMG_E_WOULD_BLOCK || status == MMG_E_LIMIT || status == MMG_E_SYSTEM;
    default:
        return status != MMG_E_IO && status != MMG_E_LIMIT && status != MMG_E_NO_MEMORY && status != MMG_E_PERMISSION;
    }
}

bool
observe_open(enum call call, mmg_status status, mmg_status expected, mmg_handle handle, const mmg_error *error)
{
    CHECK((status == MMG_OK) == (handle != 0));
    CHECK_STATUS(error->status, status);
    if (status == MMG_OK) {
        CHECK(error->os_code == 0 && error->operation[0] == '\0' && error->message[0] == '\0');
        CHECK_STATUS(status, expected == MMG_OK || !strict ? MMG_OK : expected);
        return true;
    }
    CHECK(error->operation[0] != '\0' && error->message[0] != '\0');
    if (status != expected) {
        if (!observe(call, status, error->message) && injected > 0 && error->os_code == injected) {
            /* Every error of a lock call but contention means that there is no lock, which is an error if a lock is
               required. */
            bool is_lock = strcmp(error->operation, "flock") == 0 || strcmp(error->operation, "fcntl") == 0;
            /* When the kernel does not tell what is mapped, no mapping can be adopted. */
            bool is_list = strcmp(error->operation, "maps") == 0;
            /* When all means of STABLE in place have failed, there is one status for all their errors. */
            bool is_means = call == ADOPT && status == MMG_E_UNSTABLE;
            CHECK(fits(status, injected) || is_means || ((is_lock || is_list) && status == MMG_E_UNSUPPORTED));
        }
    }
    return false;
}
