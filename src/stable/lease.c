/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Each region has a lease on its own descriptor. When the kernel names a descriptor whose lease breaks, one look into a
 * table finds the lease. The leases are also grouped by file, since one snapshot serves all regions of a file.
 *
 * The library asks the kernel about the lease of a region at most every 0.9 s (lease_vouch.c). After a break begins, the
 * kernel waits for at least a second before it lets a writer in by force. So a lease that was whole at one moment vouches for
 * the bytes for that long, even if this process was stopped meanwhile.
 */
#include "stable/lease.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fork_hooks.h"
#include "guard/registry.h"
#include "guard/vouch.h"
#include "os/clock.h"
#include "os/file.h"
#include "os/fork_mark.h"
#include "os/lease.h"
#include "os/process.h"
#include "stable/leased_file.h"
#include "stable/snapshot.h"

#define BUCKETS 4096u

os_mutex mmgi_lease_mutex = OS_MUTEX_INIT;
os_condition mmgi_lease_changed = OS_CONDITION_INIT;

/* The mutex protects these variables. */
static struct leased_file *buckets[BUCKETS];
static struct lease **by_fd; /* indexed by descriptor */
static size_t by_fd_room;
static _Atomic uint64_t leases; /* mmg_stats_get() reads it without the mutex, also in a signal handler */
static _Atomic uint64_t refusals;

/* The process whose threads may hold the mutex; 0 before the first lease. The mutex of the fork mark protects it. */
static int home;

/* ------------------------------------------------------------------------------------------------------ the tables -- */

static struct leased_file **
bucket_of(uint64_t device, uint64_t inode)
{
    /* Multiplication by an odd number with well mixed bits spreads consecutive inodes over the buckets. */
    return &buckets[((device * 31 + inode) * UINT64_C(0x9E3779B97F4A7C15) >> 40) % BUCKETS];
}

static struct leased_file *
file_of(const struct file_status *status)
{
    struct leased_file **bucket = bucket_of(status->device, status->inode), *file = *bucket;

    while (file != NULL && (file->device != status->device || file->inode != status->inode))
        file = file->next;
    if (file != NULL)
        return file;
    file = malloc(sizeof *file);
    if (file == NULL)
        return NULL;
    *file = (struct leased_file){.next = *bucket, .device = status->device, .inode = status->inode};
    *bucket = file;
    return file;
}

void
mmgi_leased_file_free_if_idle(struct leased_file *file)
{
    if (file->leases != NULL || file->is_busy || file->is_queued)
        return;
    struct leased_file **at = bucket_of(file->device, file->inode);
    while (*at != file)
        at = &(*at)->next;
    *at = file->next;
    free(file);
}

void
mmgi_leased_files_each(void (*function)(struct leased_file *file))
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct leased_file *file = buckets[i]; file != NULL; file = file->next)
            function(file);
}

struct lease *
mmgi_lease_of(int fd)
{
    return fd >= 0 && (size_t)fd < by_fd_room ? by_fd[fd] : NULL;
}

int
mmgi_lease_ask_file(const struct lease *lease)
{
    struct file_status status;

    if (mmgi_lease_of(lease->fd) != lease)
        return EBADF; /* a younger lease has got the number */
    return mmgi_file_status_if(lease->fd, lease->file->device, lease->file->inode, &status);
}

uint64_t
mmgi_lease_number(void)
{
    return leases;
}

/* Makes the table large enough for a descriptor. Returns false when there is no memory. */
static bool
by_fd_reserve(int fd)
{
    size_t room = by_fd_room > 0 ? by_fd_room : 64;

    while (room <= (size_t)fd)
        room *= 2;
    if (room == by_fd_room)
        return true;
    struct lease **larger = (struct lease **)realloc((void *)by_fd, room * sizeof *by_fd);
    if (larger == NULL)
        return false;
    memset((void *)(larger + by_fd_room), 0, (room - by_fd_room) * sizeof *larger);
    by_fd = larger;
    by_fd_room = room;
    return true;
}

static void
lease_add(struct lease *lease, struct leased_file *file)
{
    lease->file = file;
    lease->next = file->leases;
    if (file->leases != NULL)
        file->leases->previous = lease;
    file->leases = lease;
    by_fd[lease->fd] = lease;
    leases++;
}

void
mmgi_lease_remove(struct lease *lease)
{
    struct leased_file *file = lease->file;

    if (lease->previous != NULL)
        lease->previous->next = lease->next;
    else
        file->leases = lease->next;
    if (lease->next != NULL)
        lease->next->previous = lease->previous;
    if (mmgi_lease_of(lease->fd) == lease)
        by_fd[lease->fd] = NULL;
    lease->file = NULL;
    leases--;
    mmgi_leased_file_free_if_idle(file);
}

/* ----------------------------------------------------------------------------------------------------------- forks -- */

static void
before_fork(void)
{
    mmgi_mutex_lock(&mmgi_lease_mutex);
}

static void
after_fork_parent(void)
{
    mmgi_mutex_unlock(&mmgi_lease_mutex);
}

/* The leases themselves stay as they are: a child finds out about each one when it first uses the region. */
static void
after_fork_child(void)
{
    mmgi_fork_mark_clear();
    home = mmgi_process_id();
    mmgi_mutex_unlock(&mmgi_lease_mutex);
}

static struct fork_hooks hooks = {.before = before_fork, .parent = after_fork_parent, .child = after_fork_child};

/*
 * Locks the mutex in a process that has no lease of its own yet. Returns false in a child of _Fork(3) or clone(2), which run
 * no fork hooks: there a thread of the parent may have held the mutex, and may have been changing the tables. In any other
 * process, a thread that is in fork(2) may hold the mutex.
 */
static bool
lock_first(void)
{
    const int self = mmgi_process_id();
    const bool had_hooks = home == 0 || home == self;

    if (!had_hooks)
        mmgi_mutex_reset(&mmgi_lease_mutex);
    mmgi_mutex_lock(&mmgi_lease_mutex);
    home = self;
    return had_hooks;
}

static void
free_files(struct leased_file *file)
{
    while (file != NULL) {
        struct leased_file *next = file->next;
        free(file);
        file = next;
    }
}

/* Empties the tables in a process that has no lease of its own yet: all their entries belong to a parent. */
static void
state_reset(void)
{
    const bool are_whole = lock_first(); /* tables that may not be whole are not freed */

    mmgi_condition_reset(&mmgi_lease_changed);
    for (size_t i = 0; are_whole && i < BUCKETS; i++)
        free_files(buckets[i]);
    if (are_whole)
        free((void *)by_fd);
    memset((void *)buckets, 0, sizeof buckets);
    by_fd = NULL;
    by_fd_room = 0;
    leases = 0;
    mmgi_keeper_reset();
    mmgi_mutex_unlock(&mmgi_lease_mutex);
}

static bool
is_inherited(const struct region_keeper *keeper)
{
    return ((const struct lease *)(const void *)keeper)->born_in !=
           fork_mark(); /* safe: the keeper is the first member of a lease */
}

/* -------------------------------------------------------------------------------------------------- begin and end -- */

static void
keeper_end(struct region_keeper *keeper)
{
    mmgi_lease_end((struct lease *)(void *)keeper);
}

static struct lease *
lease_new(const struct source *source)
{
    const mmg_options *options = source->options;
    struct lease *lease = malloc(sizeof *lease);

    if (lease != NULL)
        *lease = (struct lease){
            .keeper = {.end = keeper_end, .is_inherited = is_inherited},
            .cap = options->max_snapshot_bytes,
            .max_wait_ns = options->max_lease_wait_ms > 0 ? options->max_lease_wait_ms * INT64_C(1000000) : INT64_MAX,
            .taken_ns = mmgi_clock_tick_ns(),
            .born_in = fork_mark(),
            .fd = source->fd,
        };
    return lease;
}

/* Takes a lease and puts it into the tables. The caller holds the mutex. */
static int
lease_take(const struct source *source, struct lease *lease)
{
    int thread_id = 0;

    if (leases >= source->options->max_leases)
        return EDQUOT;
    int os_code = mmgi_keeper_ensure(&thread_id);
    /* pthread_create(3) fails with EAGAIN, with which fcntl(2) tells that the file is open for writing. */
    if (os_code != 0)
        return ENOMEM;
    struct leased_file *file = by_fd_reserve(lease->fd) ? file_of(&source->status) : NULL;
    if (file == NULL)
        return ENOMEM;
    os_code = mmgi_lease_take(lease->fd, thread_id);
    if (os_code == 0)
        lease_add(
            lease,
            file); /* a break that has begun meanwhile is not lost: the keeper waits for the mutex, and then finds the lease */
    else
        mmgi_leased_file_free_if_idle(file);
    return os_code;
}

int
mmgi_lease_begin(const struct source *source, struct lease **out)
{
    if (!mmgi_fork_hooks_add(&hooks))
        return ENOMEM;
    if (fork_mark() == 0) {
        mmgi_vouch_set_voucher(mmgi_lease_vouch);
        mmgi_fork_mark_set(state_reset);
    }
    struct lease *lease = lease_new(source);
    if (lease == NULL)
        return ENOMEM;
    mmgi_mutex_lock(&mmgi_lease_mutex);
    int os_code = lease_take(source, lease);
    mmgi_mutex_unlock(&mmgi_lease_mutex);
    if (os_code != 0) {
        free(lease);
        return os_code;
    }
    *out = lease;
    return 0;
}

void
mmgi_lease_attach(struct lease *lease, struct region *region)
{
    mmgi_mutex_lock(&mmgi_lease_mutex);
    lease->region = region;
    region->keeper = &lease->keeper;
    mmgi_vouch(region->number, lease->taken_ns + LEASE_VOUCH_NS);
    if (lease->file->cost < region->size)
        lease->file->cost = region->size;
    if (lease->file->broken_ns != 0)
        mmgi_keeper_wake();
    mmgi_mutex_unlock(&mmgi_lease_mutex);
}

void
mmgi_lease_end(struct lease *lease)
{
    if (is_inherited(&lease->keeper)) {
        free(lease);
        return;
    }
    atomic_store(&lease->is_closing, true);
    mmgi_mutex_lock(&mmgi_lease_mutex);
    while (lease->file != NULL && lease->file->reader == lease)
        mmgi_condition_wait(&mmgi_lease_changed, &mmgi_lease_mutex);
    if (lease->file != NULL) {
        /* Where the host has closed the descriptor, its number may be that of another file by now. */
        bool is_own = mmgi_lease_ask_file(lease) != EBADF;
        mmgi_lease_remove(lease);
        /* Closing the descriptor would not end the lease while a forked child has the same file open, so give it up. */
        if (is_own)
            mmgi_lease_give_up(lease->fd);
        if (leases == 0)
            mmgi_keeper_rest();
    }
    mmgi_mutex_unlock(&mmgi_lease_mutex);
    free(lease);
}

/* ------------------------------------------------------------------------------------------------------- statistics -- */

void
mmgi_lease_count_refusal(void)
{
    atomic_fetch_add_explicit(&refusals, 1, memory_order_relaxed); /* a statistic, and no other access depends on it */
}

void
mmgi_lease_count(mmg_stats *stats)
{
    /* Without the mutex: a signal handler may have interrupted the thread that holds it. In a child that has taken no lease
       the numbers are the parent's. */
    if (fork_mark() != 0) {
        stats->leases = atomic_load_explicit(&leases, memory_order_relaxed); /* statistics, ordered with nothing */
        stats->leases_breaking = mmgi_keeper_breaking();
    }
    stats->lease_refusals = atomic_load_explicit(&refusals, memory_order_relaxed);
    stats->snapshot_bytes = mmgi_snapshot_bytes();
    stats->snapshots = mmgi_snapshot_number();
    mmgi_lease_break_count(stats);
}
