/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One thread for all leases. The kernel aims its signal at this thread alone (F_OWNER_TID), where it is blocked and
 * waited for, so no handler and no mask of the application is touched. Any such signal is only a hint: F_GETLEASE
 * says whether a break is really on, so strangers may send what they like; and when the queue of real-time signals is
 * full, the kernel sends a plain SIGIO without a descriptor, upon which all leases are asked.
 *
 * On a break the bytes are secured, the copy is mapped over the mapping in place, and the lease is given up, in this
 * order. Giving up fails if the kernel has taken the lease by force meanwhile (/proc/sys/fs/lease-break-time,
 * proc(5)): then a writer may have been there, and nothing that was copied is trusted.
 */
#include "stable/lease.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "stable/lease_break.h"
#include "base/fork_hooks.h"

/* Any real-time signal will do: it is blocked in the only thread that it is ever sent to. Valgrind has the last one for
   itself. */
#define BREAK_SIGNAL (SIGRTMAX - 1)
/* Without leases the thread waits this long before it ends, so that opening and closing in turn does not start one
   each time. */
#define LINGER_NS 100000000L
/* Left of the break time when copying stops, to have the readers warned before the writer is let in by force. */
#define MARGIN_NS INT64_C(500000000)

struct lease {
    struct region_keeper keeper; /* first: the region leads to it, and it leads to the lease */
    struct lease *next;          /* all leases that are in force */
    struct lease *previous;
    struct region *region; /* NULL until attached */
    uint64_t cap;
    int64_t seen_ns; /* when the break was noticed; 0: none */
    int fd;
    bool busy;            /* the thread is at it */
    bool over;            /* off the list: broken, or inherited by a forked child */
    _Atomic bool closing; /* leave off */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t done = PTHREAD_COND_INITIALIZER; /* a lease is no longer busy; the thread has said its number */
/* Under the mutex: */
static struct lease *first;
static bool running;
static bool lingering; /* it will find out by itself that there are no leases */
static pthread_t thread;
static pid_t thread_id;

static int64_t
now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* -------------------------------------------------------------------------------------------- the list of leases -- */

static void
list_add(struct lease *lease)
{
    lease->next = first;
    lease->previous = NULL;
    if (first != NULL)
        first->previous = lease;
    first = lease;
}

static void
list_remove(struct lease *lease)
{
    if (lease->over)
        return;
    if (lease->previous != NULL)
        lease->previous->next = lease->next;
    else
        first = lease->next;
    if (lease->next != NULL)
        lease->next->previous = lease->previous;
    lease->over = true;
}

/* Note the time for every lease that is being broken. Asked of all, or of the one that a signal names. */
static void
notice(int fd)
{
    for (struct lease *lease = first; lease != NULL; lease = lease->next)
        if (lease->seen_ns == 0 && (fd < 0 || lease->fd == fd) && fcntl(lease->fd, F_GETLEASE) == F_UNLCK)
            lease->seen_ns = now_ns();
}

/* Wait for a signal, at most `timeout`, and note what it is about. NULL: wait for ever. False: time is up. */
static bool
listen_for(const struct timespec *timeout)
{
    siginfo_t info = {.si_signo = 0}; /* Valgrind does not see that the kernel fills it */
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, BREAK_SIGNAL);
    sigaddset(&signals, SIGIO);
    int signo = timeout != NULL ? sigtimedwait(&signals, &info, timeout) : sigwaitinfo(&signals, &info);
    if (signo < 0)
        return errno == EINTR;
    pthread_mutex_lock(&mutex);
    notice(signo == BREAK_SIGNAL && info.si_code > 0 ? info.si_fd : -1);
    pthread_mutex_unlock(&mutex);
    return true;
}

/* ------------------------------------------------------------------------------------------ dealing with a break -- */

struct effort {
    struct lease *lease;
    int64_t deadline;
};

/* Between two pieces of a copy: is there time, is anybody still interested, and who else is waiting? */
static bool
may_continue(void *context)
{
    const struct effort *effort = context;
    const struct timespec at_once = {0, 0};

    while (listen_for(&at_once))
        continue;
    return !atomic_load(&effort->lease->closing) && now_ns() < effort->deadline;
}

static void
secure(struct lease *lease)
{
    int64_t given = mmgi_lease_break_time();
    struct effort effort = {.lease = lease,
                            .deadline = given == INT64_MAX ? given : lease->seen_ns + given - MARGIN_NS};

    mmgi_lease_break_secure(lease->region, lease->cap, may_continue, &effort);
}

/* The lease whose writer has waited longest. */
static struct lease *
next_break(void)
{
    struct lease *next = NULL;

    for (struct lease *lease = first; lease != NULL; lease = lease->next)
        if (lease->seen_ns != 0 && lease->region != NULL && !atomic_load(&lease->closing) &&
            (next == NULL || lease->seen_ns < next->seen_ns))
            next = lease;
    return next;
}

static void
deal_with_breaks(void)
{
    struct lease *lease;

    while ((lease = next_break()) != NULL) {
        lease->busy = true;
        pthread_mutex_unlock(&mutex);
        secure(lease);
        pthread_mutex_lock(&mutex);
        lease->busy = false;
        list_remove(lease);
        pthread_cond_broadcast(&done);
    }
}

static void *
thread_main(void *unused)
{
    const struct timespec linger = {.tv_nsec = LINGER_NS};

    pthread_mutex_lock(&mutex);
    thread_id = (pid_t)syscall(SYS_gettid);
    pthread_cond_broadcast(&done);
    for (;;) {
        deal_with_breaks();
        bool idle = lingering = first == NULL;
        pthread_mutex_unlock(&mutex);
        bool heard = listen_for(idle ? &linger : NULL);
        pthread_mutex_lock(&mutex);
        if (idle && !heard && first == NULL)
            break;
    }
    running = false;
    pthread_mutex_unlock(&mutex);
    return unused;
}

/* ----------------------------------------------------------------------------------------------------- lifecycle -- */

static void
before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

static void
after_fork_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

/* The child has the mappings, but no thread: its leases are the parent's, and so is the answer to a break. */
static void
after_fork_child(void)
{
    pthread_mutex_init(&mutex, NULL);
    pthread_cond_init(&done, NULL);
    running = false;
    while (first != NULL) {
        struct lease *lease = first;
        if (lease->region != NULL)
            mmgi_lease_break_disown(lease->region);
        lease->busy = false;
        list_remove(lease);
    }
}

static struct fork_hooks fork_hooks = {.before = before_fork, .parent = after_fork_parent, .child = after_fork_child};

/* Under the mutex: start the thread, with every signal blocked. */
static int
thread_start(void)
{
    pthread_attr_t attributes;
    sigset_t all, before;

    if (!mmgi_fork_hooks_add(&fork_hooks) || pthread_attr_init(&attributes) != 0)
        return ENOMEM;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited by the new thread */
    thread_id = 0;
    int os_code = pthread_create(&thread, &attributes, thread_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    running = os_code == 0;
    lingering = false;
    return os_code;
}

/*
 * Under the mutex: have the thread running, and its number known; without it the kernel would aim at the whole
 * process, and kill it. The wait leaves the mutex open, so others may be here too, and the thread may already have
 * ended again.
 */
static int
thread_ensure(void)
{
    do {
        int os_code = running ? 0 : thread_start();
        if (os_code != 0)
            return os_code;
        while (running && thread_id == 0)
            pthread_cond_wait(&done, &mutex);
    } while (!running);
    return 0;
}

/* Have the thread look around. A plain signal always fits: it is pending once, queue or not. */
static void
thread_wake(void)
{
    if (running)
        pthread_kill(thread, SIGIO);
}

static int
lease_take(int fd)
{
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = thread_id};

    /* Owner and signal first: the kernel keeps an owner that is set, and no break comes without them. */
    if (fcntl(fd, F_SETOWN_EX, &owner) != 0 || fcntl(fd, F_SETSIG, BREAK_SIGNAL) != 0 ||
        fcntl(fd, F_SETLEASE, F_RDLCK) != 0)
        return errno;
    return 0;
}

static void
keeper_end(struct region_keeper *keeper)
{
    mmgi_lease_end((struct lease *)(void *)keeper); /* the keeper is the lease's first member */
}

static bool
keeper_holds(const struct region_keeper *keeper, int fd)
{
    (void)keeper;
    return fcntl(fd, F_GETLEASE) == F_RDLCK;
}

int
mmgi_lease_begin(int fd, uint64_t cap, struct lease **out)
{
    struct lease *lease = malloc(sizeof *lease);

    if (lease == NULL)
        return ENOMEM;
    *lease = (struct lease){.keeper = {.end = keeper_end, .holds = keeper_holds}, .fd = fd, .cap = cap};
    pthread_mutex_lock(&mutex);
    int os_code = thread_ensure();
    if (os_code == 0)
        os_code = lease_take(fd);
    if (os_code == 0)
        list_add(lease); /* a break since is not lost: its signal waits for the mutex, and finds the lease */
    pthread_mutex_unlock(&mutex);
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
    pthread_mutex_lock(&mutex);
    lease->region = region;
    region->keeper = &lease->keeper;
    if (lease->seen_ns != 0)
        thread_wake();
    pthread_mutex_unlock(&mutex);
}

void
mmgi_lease_end(struct lease *lease)
{
    atomic_store(&lease->closing, true);
    pthread_mutex_lock(&mutex);
    while (lease->busy)
        pthread_cond_wait(&done, &mutex);
    if (!lease->over) {
        list_remove(lease);
        /* Explicitly, not by closing: a forked child may have the same description open. */
        fcntl(lease->fd, F_SETLEASE, F_UNLCK);
        if (first == NULL && !lingering) /* waking it costs more than the lease did */
            thread_wake();
    }
    pthread_mutex_unlock(&mutex);
    free(lease);
}
