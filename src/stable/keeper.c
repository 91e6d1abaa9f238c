/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The keeper is one thread for all leases of the process. It waits until the kernel signals that a lease breaks, and then
 * secures the bytes of the files that writers wait for, the smallest file first. Between two pieces of a large copy it
 * secures files that are much smaller, so that no writer of a small file waits for the copy of a large one.
 */
#include <stddef.h>

#include "os/clock.h"
#include "base/probes.h"
#include "os/file.h"
#include "os/lease.h"
#include "stable/leased_file.h"

/*
 * The thread ends this long after the last lease, so that a program that opens and closes in turn does not start a thread
 * each time. With leases, the thread reserves a descriptor after this time, so that short leases do not pay for it.
 */
#define LINGER_NS INT64_C(100000000)
/* A job interrupts another one that is at least so many times larger. So only a few jobs can be nested. */
#define MUCH_SMALLER 4
/* The thread takes at most so many signals between two pieces, so that a flood of signals does not stop its work. */
#define MAX_NEWS 64
#define STACK_SIZE ((size_t)512 << 10)

/* The mutex of leased_file.h protects these variables. */
static bool is_running;
static bool is_lingering;              /* the thread waits for LINGER_NS, and then looks for leases by itself */
static int thread_id;                  /* 0 until the thread has stored its number */
static struct leased_file *broken;     /* files that writers wait for */
static _Atomic uint64_t number_broken; /* mmg_stats_get() reads it without the mutex */
/* How long the kernel lets the writers wait that the thread works for; 0 while it works for none. Read without the mutex. */
static _Atomic int64_t patience_ns;
/* A descriptor that is kept open while there are lasting leases. When a lease breaks, the thread reads from the descriptor how
   long the kernel waits, and closes it for a snapshot, since the process may have no descriptor left. */
static struct lease_reserve reserve = {.fd = -1};

/* --------------------------------------------------------------------------------------------- breaking leases -- */

/* Returns true when a lease is in force. The host may have closed its descriptor; then a younger lease may have the number. */
static bool
is_whole(const struct lease *lease)
{
    return mmgi_lease_of(lease->fd) == lease && mmgi_lease_state(lease->fd) == LEASE_WHOLE;
}

/* Puts a file on the list `broken` if one of its leases is breaking. */
static void
note_if_broken(struct leased_file *file)
{
    if (file->is_queued || file->is_busy || file->leases == NULL || is_whole(file->leases))
        return;
    if (file->broken_ns == 0) {
        file->broken_ns = mmgi_clock_monotonic_ns();
        PROBE_LEASE_BREAK(file->device, file->inode);
    }
    file->next_break = broken;
    file->is_queued = true;
    broken = file;
    number_broken++;
}

/*
 * Handles one signal of the kernel. When the signal names no descriptor, any lease may be breaking, so the function
 * checks every file.
 */
static void
note(int fd)
{
    if (fd < 0) {
        mmgi_leased_files_each(note_if_broken);
        return;
    }
    struct lease *lease = mmgi_lease_of(fd);
    if (lease == NULL)
        return;
    note_if_broken(lease->file);
    /* The kernel names the descriptor on which the lease was taken. If the host has closed it, and a younger lease has got its
       number, the signal is about a lease that no number leads to. */
    if (is_whole(lease))
        mmgi_leased_files_each(note_if_broken);
}

/* Takes the smallest file off the list `broken`. Returns NULL when it is larger than `largest`. */
static struct leased_file *
next_job(uint64_t largest)
{
    struct leased_file **smallest = NULL;

    for (struct leased_file **at = &broken; *at != NULL; at = &(*at)->next_break)
        if (smallest == NULL || (*at)->cost < (*smallest)->cost)
            smallest = at;
    if (smallest == NULL || (*smallest)->cost > largest)
        return NULL;
    struct leased_file *file = *smallest;
    *smallest = file->next_break;
    file->is_queued = false;
    return file;
}

/* ------------------------------------------------------------------------------------------------- jobs -- */

static bool may_continue(void *context);

/* The jobs under way, one inside the other. */
struct job {
    struct leased_file *file;
    int64_t deadline;
};

/* Stores how long the kernel lets the writers wait. When the setting cannot be read, because another thread has just taken the
   last descriptor, the function keeps the time that the keeper read at the start of its work. */
static void
learn_patience(void)
{
    const int64_t found = mmgi_lease_break_ns(&reserve);

    if (found > 0)
        atomic_store(&patience_ns, found);
    else if (patience_ns == 0)
        atomic_store(&patience_ns, LEASE_MIN_BREAK_NS);
}

/* Returns the moment at which the keeper must stop to secure a file: the kernel's time runs out, or the time that a region
   allows. */
static int64_t
deadline_of(const struct leased_file *file)
{
    /* The keeper stops this long before the kernel lets the writer in by force, so that readers hear of it before. */
    const int64_t margin = LEASE_MIN_BREAK_NS / 2;

    learn_patience();
    int64_t allowed = patience_ns;
    if (allowed != INT64_MAX)
        allowed -= margin;
    for (const struct lease *lease = file->leases; lease != NULL; lease = lease->next)
        if (lease->max_wait_ns < allowed)
            allowed = lease->max_wait_ns;
    return allowed == INT64_MAX ? INT64_MAX : file->broken_ns + allowed;
}

static void
do_jobs(uint64_t largest)
{
    struct leased_file *file;

    while ((file = next_job(largest)) != NULL) {
        struct job job = {.file = file, .deadline = deadline_of(file)};
        file->is_busy = true;
        mmgi_lease_break_secure(file, may_continue, &job);
        file->is_busy = false;
        mmgi_leased_file_free_if_idle(file);
        number_broken--; /* comes last, so that 0 means that the keeper has nothing left to do */
    }
}

/* Called between two pieces of a copy. Returns false when the time is up or no region needs the copy any more. Secures
   smaller files that wait. */
static bool
may_continue(void *context)
{
    const struct job *job = context;
    int fd;

    mmgi_mutex_lock(&mmgi_lease_mutex);
    for (int news = 0; news < MAX_NEWS && mmgi_lease_wait(0, &fd); news++)
        note(fd);
    do_jobs(job->file->cost / MUCH_SMALLER);
    const struct lease *reader = job->file->reader;
    bool goes_on = !atomic_load(&reader->is_closing) && mmgi_clock_monotonic_ns() < job->deadline;
    mmgi_mutex_unlock(&mmgi_lease_mutex);
    return goes_on;
}

static void *
thread_main(void *unused)
{
    mmgi_mutex_lock(&mmgi_lease_mutex);
    thread_id = mmgi_thread_id();
    mmgi_condition_broadcast(&mmgi_lease_changed);
    for (;;) {
        if (broken != NULL) {
            learn_patience();
            mmgi_lease_unreserve(&reserve); /* a snapshot may need this descriptor */
            do_jobs(UINT64_MAX);
            atomic_store(&patience_ns, 0);
        }
        bool is_idle = is_lingering = mmgi_lease_number() == 0;
        bool is_settled = !is_idle && reserve.fd >= 0;
        mmgi_mutex_unlock(&mmgi_lease_mutex);
        int fd;
        bool has_news = mmgi_lease_wait(is_settled ? -1 : LINGER_NS, &fd);
        mmgi_mutex_lock(&mmgi_lease_mutex);
        if (has_news)
            note(fd);
        else if (mmgi_lease_number() > 0)
            mmgi_lease_reserve(&reserve);
        else if (is_idle)
            break;
    }
    is_running = false;
    mmgi_mutex_unlock(&mmgi_lease_mutex);
    return unused;
}

/* ------------------------------------------------------------------------------------------------------- the thread -- */

/*
 * The caller must know the number of the thread before it takes a lease: otherwise the kernel would send the signal to the
 * whole process, and kill it. The wait for the number releases the mutex. So other threads may run this function at the
 * same time, and the thread may even have ended again.
 */
int
mmgi_keeper_ensure(int *number)
{
    do {
        if (!is_running) {
            thread_id = 0;
            is_lingering = false;
            int os_code = mmgi_thread_start(thread_main, NULL, STACK_SIZE);
            if (os_code != 0)
                return os_code;
            is_running = true;
        }
        while (is_running && thread_id == 0)
            mmgi_condition_wait(&mmgi_lease_changed, &mmgi_lease_mutex);
    } while (!is_running);
    *number = thread_id;
    return 0;
}

void
mmgi_keeper_wake(void)
{
    if (is_running && thread_id != 0)
        mmgi_lease_wake(thread_id);
}

void
mmgi_keeper_rest(void)
{
    mmgi_lease_unreserve(&reserve);
    if (!is_lingering) /* waking the thread would cost more than the lease did */
        mmgi_keeper_wake();
}

void
mmgi_keeper_reset(void)
{
    is_running = false;
    is_lingering = false;
    thread_id = 0;
    broken = NULL;
    number_broken = 0;
    atomic_store(&patience_ns, 0);
    mmgi_lease_unreserve(&reserve); /* the descriptor of the parent, which this process has inherited */
}

uint64_t
mmgi_keeper_breaking(void)
{
    return atomic_load_explicit(&number_broken, memory_order_relaxed); /* a statistic, ordered with nothing */
}

int64_t
mmgi_keeper_patience_ns(void)
{
    return atomic_load(&patience_ns);
}
