/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A service of 16 threads that holds up to 200 000 regions: `service SECONDS FOLDER...`. File N is in folder N modulo
 * the number of folders. Meanwhile signals arrive, and forked children read the regions that they inherited.
 * Every five seconds it prints one line of names and numbers; the last line begins with "end".
 */
#include "service.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOKS_OF_CHILD 200

static _Atomic uint64_t signals_seen;

void
service_fail(const char *what, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("service: ", stderr);
    va_start(arguments, what);
    vfprintf(stderr, what, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(1);
}

static void
on_signal(int number)
{
    (void)number;
    atomic_fetch_add_explicit(&signals_seen, 1, memory_order_relaxed);
}

static void *
work(void *argument)
{
    struct worker *worker = argument;

    while (!atomic_load_explicit(&worker->service->has_ended, memory_order_relaxed))
        service_step(worker);
    return NULL;
}

/* Forks a child that reads inherited regions. The threads go on in the parent, so the child takes any state it gets. */
static void
child_run(struct service *service, uint64_t round)
{
    int status = 0;
    pid_t child = fork();

    if (child < 0)
        service_fail("fork(2) has failed");
    if (child == 0) {
        struct worker *worker = &service->workers[round % THREADS];
        struct held copy;
        for (unsigned i = 0; i < LOOKS_OF_CHILD; i++) {
            copy = worker->held[(round * LOOKS_OF_CHILD + i) % HELD_BY_THREAD];
            /* A lease is the parent's, so STABLE ends here. The thread may have been amid opening or closing. */
            copy.is_stable = false;
            if (copy.region != 0 && mmg_check(copy.region) != MMG_E_HANDLE)
                service_look(worker, &copy);
        }
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0)
        service_fail("a child ended with status %#x", (unsigned)status);
    atomic_fetch_add(&service->children, 1);
}

static void
show(const struct service *service, const char *when)
{
    mmg_stats stats = MMG_STATS_INIT;

    if (mmg_stats_get(&stats) != MMG_OK)
        service_fail("there are no counters");
    printf("%s operations=%llu refused=%llu told=%llu held=%llu mapped=%llu losses=%llu leases=%llu breaks=%llu "
           "signals=%llu children=%llu\n",
           when, (unsigned long long)(atomic_load(&service->opened) + atomic_load(&service->checked)),
           (unsigned long long)atomic_load(&service->refused), (unsigned long long)atomic_load(&service->told),
           (unsigned long long)stats.handles, (unsigned long long)stats.mappings, (unsigned long long)stats.losses,
           (unsigned long long)stats.leases, (unsigned long long)stats.lease_breaks,
           (unsigned long long)atomic_load(&signals_seen), (unsigned long long)atomic_load(&service->children));
    fflush(stdout);
}

/* Sends signals and forks until the time is up, and prints. */
static void
run(struct service *service, const pthread_t *threads, double seconds)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    struct timespec begun, now;
    double shown = 0, forked = 0, passed = 0;

    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (uint64_t round = 0; passed < seconds; round++) {
        nanosleep(&pause, NULL);
        pthread_kill(threads[round % THREADS], SIGUSR1);
        clock_gettime(CLOCK_MONOTONIC, &now);
        passed = (double)(now.tv_sec - begun.tv_sec) + (double)(now.tv_nsec - begun.tv_nsec) / 1e9;
        if (passed - forked >= 0.5) {
            child_run(service, round);
            forked = passed;
        }
        if (passed - shown >= 5) {
            show(service, "now");
            shown = passed;
        }
    }
}

int
main(int argc, char **argv)
{
    static struct service service;
    struct sigaction action = {.sa_handler = on_signal};
    struct rlimit limit;
    pthread_t threads[THREADS];
    mmg_stats stats = MMG_STATS_INIT;

    if (argc < 3) {
        fputs("usage: service SECONDS FOLDER...\n", stderr);
        return 2;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    sigaction(SIGUSR1, &action, NULL); /* without SA_RESTART: system calls end with EINTR */
    service_begin(&service, argv + 2, (unsigned)argc - 2);
    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work, &service.workers[i]) != 0)
            service_fail("no thread can be started");
    run(&service, threads, strtod(argv[1], NULL));
    atomic_store(&service.has_ended, true);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    show(&service, "end");
    if (atomic_load(&service.told) == 0 || atomic_load(&service.checked) == 0)
        service_fail("the threads have done too little");
    service_end(&service);
    if (mmg_stats_get(&stats) != MMG_OK || stats.handles != 0 || stats.regions != 0 || stats.leases != 0)
        service_fail("%llu handles, %llu regions and %llu leases are left", (unsigned long long)stats.handles,
                     (unsigned long long)stats.regions, (unsigned long long)stats.leases);
    return EXIT_SUCCESS;
}
