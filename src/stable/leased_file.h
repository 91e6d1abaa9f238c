/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What lease.c and the keeper share: the leases of this process, grouped by file. A writer breaks all leases of a file at
 * once, and one snapshot serves them all.
 */
#ifndef MMGI_STABLE_LEASED_FILE_H
#define MMGI_STABLE_LEASED_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "os/thread.h"
#include "region/region.h"

struct lease {
    struct region_keeper keeper;   /* first: the region leads to it, and it leads to the lease */
    struct lease *next, *previous; /* of the same file */
    struct leased_file *file;      /* NULL: the lease is over, given up or broken */
    struct region *region;         /* NULL until attached */
    uint64_t cap;                  /* copy at most so many bytes when it breaks */
    int64_t max_wait_ns;           /* keep a writer waiting at most so long; INT64_MAX: as long as the kernel allows */
    int64_t taken_ns;              /* a moment before it was taken */
    uint32_t born_in;              /* fork_mark() of the process that took it */
    int fd;
    atomic_bool is_closing; /* the region ends: leave off */
};

struct leased_file {
    struct leased_file *next; /* in its bucket */
    struct leased_file *next_break;
    uint64_t device, inode;
    struct lease *leases;
    struct lease *reader; /* whose descriptor the keeper reads from */
    uint64_t cost;        /* bytes of the largest window, as a measure of the work */
    int64_t broken_ns;    /* when the keeper noticed that a writer waits; 0: nobody does */
    bool is_queued;
    bool is_busy; /* the keeper is at work on it */
};

/** Guards everything declared here, except what a comment says. */
extern os_mutex mmgi_lease_mutex __attribute__((visibility("hidden")));
/** Tells that a file has lost its reader, or that the keeper thread knows its number. */
extern os_condition mmgi_lease_changed __attribute__((visibility("hidden")));

/** Under the mutex: the lease of a descriptor, or NULL. */
struct lease *mmgi_lease_of(int fd);

/** Under the mutex: takes a lease off its file, which is freed with its last lease unless the keeper is at work on it. */
void mmgi_lease_remove(struct lease *lease);

/** Under the mutex: frees a file that has no lease and no keeper at work. */
void mmgi_leased_file_free_if_idle(struct leased_file *file);

/** Under the mutex: calls a function for each file. */
void mmgi_leased_files_each(void (*function)(struct leased_file *file));

/** Under the mutex: the number of leases in force. */
uint64_t mmgi_lease_number(void);

/* ---------------------------------------------------------------------------------------------- keeper.c, to lease.c -- */

/** Under the mutex: has the keeper thread running and stores its number. 0 or an errno. */
int mmgi_keeper_ensure(int *thread_id);

/** Under the mutex: has the keeper thread look around, if there is one. */
void mmgi_keeper_wake(void);

/** Under the mutex: the last lease has gone. */
void mmgi_keeper_rest(void);

/** In a child process: there is no thread, and no break to deal with. */
void mmgi_keeper_reset(void);

/** Under the mutex: how many files have a writer waiting. */
uint64_t mmgi_keeper_breaking(void);

/* -------------------------------------------------------------------------------------------- lease_break.c, to both -- */

/**
 * Under the mutex, which is open while bytes are copied: secures the bytes of all regions of a file and gives their leases
 * up. It never fails: what cannot be secured is reported as MMG_E_UNSTABLE first. `may_continue` is asked between pieces,
 * without the mutex.
 */
void mmgi_lease_break_secure(struct leased_file *file, bool (*may_continue)(void *context), void *context);

/** Fills the members of mmg_stats that tell of breaks. */
void mmgi_lease_break_count(mmg_stats *stats);

#endif
