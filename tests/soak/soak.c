/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Runs a service under a storm for a number of minutes: `soak MINUTES FOLDER`.
 *
 * Eight threads read 10 000 foreign mappings in a process that mmg_guard_process() guards. Four threads open, read and
 * close regions of the same files. Forked children read, too. Meanwhile one file after another is cut and written
 * again. In every round the ledger must name the file. At the end the process must have the same numbers of descriptors
 * and mappings, and about as much memory, as after the first moments.
 */
#include "soak.h"

#include <dirent.h>
#include <mmapguard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FOREIGN_READERS 8
#define REGION_READERS 4

/* Memory may grow by so much, since the C library keeps memory for threads. */
#define MOST_GROWTH_KIB 16384
/* The library keeps a few descriptors and mappings, so this many more (mappings: for each thread) are not a leak. */
#define MOST_MORE 8

struct state {
    long descriptors, mappings, resident_kib;
};

static long
lines_of(const char *path)
{
    FILE *file = fopen(path, "r");
    long lines = 0;

    for (int byte; file != NULL && (byte = getc(file)) != EOF;)
        lines += byte == '\n';
    if (file != NULL)
        fclose(file);
    return lines;
}

static struct state
state_now(void)
{
    struct state state = {.mappings = lines_of("/proc/self/maps")};
    DIR *folder = opendir("/proc/self/fd");
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];

    while (folder != NULL && readdir(folder) != NULL)
        state.descriptors++;
    if (folder != NULL)
        closedir(folder);
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "VmRSS:", 6) == 0)
            state.resident_kib = strtol(line + 6, NULL, 10);
    if (file != NULL)
        fclose(file);
    return state;
}

static double
seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
show(const struct soak *soak, double seconds, const struct state *state)
{
    printf("%6.0f s  %9llu cuts told  %12llu reads, %9llu of lost pages  %9llu regions, %8llu told  %5llu children  "
           "%ld descriptors  %ld mappings  %ld MiB\n",
           seconds, (unsigned long long)soak->rounds, (unsigned long long)atomic_load(&soak->reads),
           (unsigned long long)atomic_load(&soak->zeros), (unsigned long long)atomic_load(&soak->regions),
           (unsigned long long)atomic_load(&soak->told), (unsigned long long)atomic_load(&soak->children),
           state->descriptors, state->mappings, state->resident_kib / 1024);
    fflush(stdout);
}

/* Forks a child that cuts a file and reads its mapping. The child must live. */
static void
fork_reader(struct soak *soak, uint64_t *random)
{
    unsigned number = (unsigned)(soak_random(random) % FILES);
    struct soak_file *file = &soak->files[number];
    int status = 0;

    pthread_rwlock_wrlock(&file->lock);
    pid_t child = fork();
    if (child < 0)
        soak_fail("fork(2) has failed");
    if (child == 0) {
        if (ftruncate(file->fd, 0) != 0)
            _exit(2);
        _exit(((const volatile unsigned char *)file->mappings[0])[0] == 0 ? 0 : 3);
    }
    if (waitpid(child, &status, 0) != child || status != 0)
        soak_fail("a child ended with status %#x", (unsigned)status);
    soak_renew(soak, number);
    pthread_rwlock_unlock(&file->lock);
    atomic_fetch_add(&soak->children, 1);
}

/* Compares the state of the process at the end with the states before the threads began and soon after. */
static void
judge(const struct soak *soak, const struct state *begun, const struct state *settled, const struct state *now)
{
    mmg_stats stats = MMG_STATS_INIT;

    if (mmg_stats_get(&stats) != MMG_OK || stats.handles != 0 || stats.mappings != 0 || stats.leases != 0)
        soak_fail("%llu handles and %llu mappings are left", (unsigned long long)stats.handles,
                  (unsigned long long)stats.mappings);
    if (soak->rounds == 0 || atomic_load(&soak->zeros) == 0 || atomic_load(&soak->regions) == 0)
        soak_fail("the threads have done too little");
    if (settled->mappings != 0 && now->resident_kib - settled->resident_kib > MOST_GROWTH_KIB)
        soak_fail("memory grew by %ld KiB", now->resident_kib - settled->resident_kib);
    if (now->descriptors > begun->descriptors + MOST_MORE)
        soak_fail("%ld descriptors became %ld", begun->descriptors, now->descriptors);
    if (now->mappings > begun->mappings + MOST_MORE * (FOREIGN_READERS + REGION_READERS))
        soak_fail("%ld mappings became %ld", begun->mappings, now->mappings);
}

/* Cuts one file after another until the time is up. Returns the state of the process when all parts had started. */
static struct state
storm(struct soak *soak, double seconds)
{
    const double start = seconds_now(), settling = seconds / 4 < 60 ? seconds / 4 : 60;
    uint64_t random = 88172645463325252u;
    struct state settled = {0}, now;
    double shown = 0;

    for (double passed = 0; passed < seconds; passed = seconds_now() - start) {
        soak_round(soak, &random);
        if (soak->rounds % 64 == 0)
            fork_reader(soak, &random);
        if (settled.mappings == 0 && passed > settling)
            settled = state_now();
        if (passed - shown >= 10) {
            now = state_now();
            show(soak, passed, &now);
            shown = passed;
        }
    }
    return settled;
}

int
main(int argc, char **argv)
{
    static struct soak soak;
    pthread_t threads[FOREIGN_READERS + REGION_READERS];

    if (argc != 3) {
        fprintf(stderr, "usage: soak MINUTES FOLDER\n");
        return 2;
    }
    const double seconds = strtod(argv[1], NULL) * 60, start = seconds_now();
    soak_begin(&soak, argv[2]);
    if (mmg_guard_process(MMG_SCOPE_FILES, 0) != MMG_OK)
        soak_fail("the process cannot be guarded");
    const struct state begun = state_now();
    for (int i = 0; i < FOREIGN_READERS + REGION_READERS; i++)
        if (pthread_create(&threads[i], NULL, i < FOREIGN_READERS ? soak_read_foreign : soak_open_regions, &soak) != 0)
            soak_fail("no thread can be started");
    const struct state settled = storm(&soak, seconds);
    atomic_store(&soak.has_ended, true);
    for (int i = 0; i < FOREIGN_READERS + REGION_READERS; i++)
        pthread_join(threads[i], NULL);
    const struct state now = state_now();
    show(&soak, seconds_now() - start, &now);
    judge(&soak, &begun, &settled, &now);
    soak_end(&soak);
    if (mmg_guard_process(MMG_SCOPE_NONE, 0) != MMG_OK)
        soak_fail("the guard does not end");
    return EXIT_SUCCESS;
}
