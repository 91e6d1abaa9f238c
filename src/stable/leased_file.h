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

#include "os/lease.h"
#include "os/thread.h"
#include "region/region.h"

struct lease {
    struct region_keeper
        keeper; /* must be the first member: the region has a pointer to it, and a cast leads from it to the lease */
    struct lease *next, *previous; /* the other leases of the same file */
    struct leased_file *file;      /* NULL when the lease has ended */
    struct region *region;         /* NULL until mmgi_lease_attach() */
    uint64_t cap;                  /* the keeper copies at most so many bytes when the lease breaks */
    int64_t max_wait_ns;           /* a writer waits at most so long; INT64_MAX: as long as the kernel allows */
    int64_t taken_ns;              /* a moment just before the lease was taken */
    uint32_t born_in;              /* fork_mark() of the process that took it */
    int fd;
    bool is_untouched;      /* at a break: the snapshot may take the place of the region's mapping */
    atomic_bool is_closing; /* the region is being closed, so the keeper must stop its work for it */
};

struct leased_file {
    struct leased_file *next; /* the next file in the same bucket */
    struct leased_file *next_break;
    uint64_t device, inode;
    struct lease *leases;
    struct lease *reader; /* the lease from whose descriptor the keeper reads */
    uint64_t cost;        /* bytes of the largest window, which measure the work */
    int64_t broken_ns;    /* when the keeper noticed that a writer waits; 0 when no writer waits */
    bool is_queued;
    bool is_busy; /* the keeper is securing this file */
};

/** The mutex protects everything that is declared here, unless a comment says otherwise. */
extern os_mutex mmgi_lease_mutex __attribute__((visibility("hidden")));
/** Signalled when a file has lost its reader, and when the keeper thread has stored its number. */
extern os_condition mmgi_lease_changed __attribute__((visibility("hidden")));

/** Returns the lease of a descriptor, or NULL. The caller holds the mutex. */
struct lease *mmgi_lease_of(int fd);

/**
 * Asks whether the descriptor of a lease is still that of its file. Returns 0, EBADF when the host has closed the descriptor, or
 * another errno when the file cannot be asked. The caller holds the mutex.
 */
int mmgi_lease_ask_file(const struct lease *lease);

/** Takes a lease off its file. The file is freed with its last lease, unless the keeper is securing it. The caller holds the
 * mutex. */
void mmgi_lease_remove(struct lease *lease);

/** Frees a file that has no lease and that the keeper is not securing. The caller holds the mutex. */
void mmgi_leased_file_free_if_idle(struct leased_file *file);

/** Calls a function for each file. The caller holds the mutex. */
void mmgi_leased_files_each(void (*function)(struct leased_file *file));

/** Returns the number of leases in force. The caller holds the mutex. */
uint64_t mmgi_lease_number(void);

/* ------------------------------------------------------------------------------------- lease_vouch.c, for lease.c -- */

/** A whole lease vouches for the bytes for this long. The rest of the second allows for coarse clocks and rounded timers. */
#define LEASE_VOUCH_NS (LEASE_MIN_BREAK_NS - INT64_C(100000000))

/** Finds out whether the lease on a descriptor is still in force. If it is, vouches for the mapping for longer; if not, records
 * the loss. Async-signal-safe. */
void mmgi_lease_vouch(uint32_t number, int fd);

/* ------------------------------------------------------------------------------------------ keeper.c, for lease.c -- */

/** Starts the keeper thread if it does not run, and stores its number. Returns 0 or an errno. The caller holds the mutex. */
int mmgi_keeper_ensure(int *thread_id);

/** Wakes the keeper thread, if there is one, so that it looks for work. The caller holds the mutex. */
void mmgi_keeper_wake(void);

/** Tells the keeper thread that the last lease has ended. The caller holds the mutex. */
void mmgi_keeper_rest(void);

/** Forgets the thread and all breaks, in a child process, which has neither. */
void mmgi_keeper_reset(void);

/** Returns the number of files for which a writer waits. Async-signal-safe. */
uint64_t mmgi_keeper_breaking(void);

/** Returns for how many nanoseconds the kernel lets the writers wait that the keeper works for now, or 0 when it works for none.
 * Async-signal-safe. */
int64_t mmgi_keeper_patience_ns(void);

/* ---------------------------------------------------------------------------------------- lease_break.c, for both -- */

/**
 * Secures the bytes of all regions of a file, and gives their leases up. The function cannot fail: it records bytes that it
 * cannot secure as MMG_E_UNSTABLE before it gives a lease up. The caller holds the mutex, which the function releases while
 * it copies. It calls `may_continue` between two pieces of a copy, without the mutex.
 */
void mmgi_lease_break_secure(struct leased_file *file, bool (*may_continue)(void *context), void *context);

/** Fills the members of mmg_stats about breaks. */
void mmgi_lease_break_count(mmg_stats *stats);

#endif
