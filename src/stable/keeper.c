/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The keeper is one thread for all leases. It waits until the kernel tells of a break, and secures the bytes of the files
 * that writers wait for, the smallest file first. Between two pieces of a large copy it looks after files that are much
 * smaller, so no writer of a small file waits for the copy of a large one.
 */
#include <stddef.h>

#include "os/clock.h"
#include "os/file.h"
#include "os/lease.h"
#include "stable/leased_file.h"

/*
 * Without leases the thread stays so long, so that opening and closing in turn does not start one each time; with them it
 * waits so long before it reserves a descriptor, so that leases that do not last do not pay for it.
 */
#define LINGER_NS INT64_C(100000000)
/* A job is done in between when the one at hand is so many times larger, hence at most a few deep. */
#define MUCH_SMALLER 4
/* At most so much news is heard between two pieces, so that whoever floods the thread with signals does not stop it. */
#define MAX_NEWS 64
#define STACK_SIZE ((size_t)512 << 10)

/* Under the mutex of leased_file.h: */
static bool is_running;
static bool is_lingering;          /* it will find out by itself that there are no leases */
static int thread_id;              /* 0: not known yet */
static struct leased_file *broken; /* files that writers wait for */
static uint64_t number_broken;
/* Kept while there are leases that last, for a break in a process that has no descriptor left. */
static struct reserved_fd reserved = {.fd = -1};

/* ------------------------------------------------------------------------------------------------- what has broken -- */

/* Puts a file on the list of those that writers wait for, if one of its leases is no longer whole. */
static void
note_if_broken(struct leased_file *file)
{
    if (file->is_queued || file->is_busy || file->leases == NULL || mmgi_lease_state(file->leases->fd) == LEASE_WHOLE)
        return;
    if (file->broken_ns == 0)
        file->broken_ns = mmgi_clock_monotonic_ns();
    file->next_break = broken;
    file->is_queued = true;
    broken = file;
    number_broken++;
}

/* Notes news of the kernel. Without a descriptor, any lease may have broken, and each file is asked. */
static void
note(int fd)
{
    if (fd < 0) {
        mmgi_leased_files_each(note_if_broken);
        return;
    }
    struct lease *lease = mmgi_lease_of(fd);
    if (lease != NULL)
        note_if_broken(lease->file);
}

/* Takes the smallest file off the list, if it is at most `largest`. */
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
    number_broken--;
    return file;
}

/* ------------------------------------------------------------------------------------------------- what is to be done -- */

static bool may_continue(void *context);

/* The files that are being secured, innermost first. */
struct job {
    struct leased_file *file;
    int64_t deadline;
};

/* Returns when the keeper must leave off: by the kernel's time, or by what the regions allow. */
static int64_t
deadline_of(const struct leased_file *file)
{
    /* Left of the kernel's time, so that the readers are warned before the writer is let in by force. */
    const int64_t margin = LEASE_MIN_BREAK_NS / 2;
    int64_t allowed = mmgi_lease_break_ns();

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
        number_broken++;
        mmgi_lease_break_secure(file, may_continue, &job);
        number_broken--;
        file->is_busy = false;
        mmgi_leased_file_free_if_idle(file);
    }
}

/* Between two pieces of a copy: is there time, is anybody still interested, and does a smaller file wait? */
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
            mmgi_file_unreserve(&reserved); /* a snapshot may need it */
            do_jobs(UINT64_MAX);
        }
        bool is_idle = is_lingering = mmgi_lease_number() == 0;
        bool is_settled = !is_idle && reserved.fd >= 0;
        mmgi_mutex_unlock(&mmgi_lease_mutex);
        int fd;
        bool has_news = mmgi_lease_wait(is_settled ? -1 : LINGER_NS, &fd);
        mmgi_mutex_lock(&mmgi_lease_mutex);
        if (has_news)
            note(fd);
        else if (mmgi_lease_number() > 0)
            mmgi_file_reserve(&reserved);
        else if (is_idle)
            break;
    }
    is_running = false;
    mmgi_mutex_unlock(&mmgi_lease_mutex);
    return unused;
}

/* ------------------------------------------------------------------------------------------------------- the thread -- */

/*
 * Without the number of the thread the kernel would send its signal to the whole process, and kill it. The wait for the
 * number leaves the mutex open, so others may be here too, and the thread may already have ended again.
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
    mmgi_file_unreserve(&reserved);
    if (!is_lingering) /* waking it costs more than the lease did */
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
    mmgi_file_unreserve(&reserved); /* a parent's, whose number this process has inherited */
}

uint64_t
mmgi_keeper_breaking(void)
{
    return number_broken;
}
