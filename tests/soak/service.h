/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A service that holds very many regions of files which others change: the data that its parts share.
 */
#ifndef MMAPGUARD_TESTS_SOAK_SERVICE_H
#define MMAPGUARD_TESTS_SOAK_SERVICE_H

#include <mmapguard.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define THREADS 16u
#define HELD_BY_THREAD 12500u
#define FILES_OF_ALL 5000u

/** A region that the service holds: the number of its file, and of a STABLE region the sum of its bytes. */
struct held {
    mmg_handle region; /* 0: none */
    uint64_t sum;
    uint32_t file;
    bool is_stable;
};

/** One thread of the service. Only this thread uses the members, but for the forked children, which have copies. */
struct worker {
    struct service *service;
    struct held *held; /* HELD_BY_THREAD of them */
    uint64_t random;
};

struct service {
    struct worker workers[THREADS];
    char **folders;
    unsigned folder_count;
    double zipf[FILES_OF_ALL]; /* the share of the files up to this one in all choices */
    _Atomic bool has_ended;
    _Atomic uint64_t opened, refused, told, checked, signals, children;
};

/** Makes the table of the choice: the file of rank n is chosen as often as 1 / n. */
void service_begin(struct service *service, char **folders, unsigned count);

/** Closes a region of the worker, opens another in its place, and reads both. */
void service_step(struct worker *worker);

/** Looks again at a region that the worker holds. A STABLE region that still holds must have the bytes it had. */
void service_look(struct worker *worker, struct held *held);

/** Closes all regions of all workers. */
void service_end(struct service *service);

/** Prints what is wrong, and ends the process. */
_Noreturn void service_fail(const char *what, ...);

#endif
