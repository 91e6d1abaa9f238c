/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What STABLE costs, measured in one folder; run.py runs this on several file systems and makes the tables.
 *
 *   mmapguard-bench-stable open DIRECTORY [BUDGET_MS]     opening and closing, beside a plain open
 *   mmapguard-bench-stable break DIRECTORY BYTES ROUNDS   what a writer waits for, beside cp of the same file
 *   mmapguard-bench-stable live DIRECTORY                 what a writer waits for, beside 10 to 10 000 other leases
 *   mmapguard-bench-stable fork DIRECTORY                 64 forks with 10 000 regions, ten to a file, leased and not
 *
 * Prints lines of JSON, as measure.h describes them.
 */
#include "../measure.h"

#include <errno.h>
#include <fcntl.h>
#include <mmapguard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OPEN_BYTES = 1 << 14,
    FILES = 512, /* open at once, a lease each: the kernel goes through all the leases of a file */
    MOST_ROUNDS = 200
};

struct job {
    const char *path;
    mmg_options options;
    uint32_t means; /* by which it must be upheld */
};

/* Opens files, each another one, and closes them later. */
struct opener {
    struct job job;
    mmg_handle open[FILES];
};

static char names[FILES][4096 + 16];

static void
fail(const char *what)
{
    fprintf(stderr, "mmapguard-bench-stable: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* A file of bytes that do not repeat, written back, so that its source is clean. */
static int
make(const char *path, uint64_t size)
{
    static uint64_t block[1 << 15];
    uint64_t state = 88172645463325252U;
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fail(path);
    for (uint64_t done = 0; done < size; done += sizeof block) {
        for (unsigned int i = 0; i < sizeof block / sizeof block[0]; i++) {
            state ^= state << 13, state ^= state >> 7, state ^= state << 17;
            block[i] = state;
        }
        const uint64_t part = size - done < sizeof block ? size - done : sizeof block;
        if (write(fd, block, part) != (ssize_t)part)
            fail(path);
    }
    if (fsync(fd) != 0)
        fail(path);
    return fd;
}

static mmg_handle
open_region(const struct job *job, const char *path)
{
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    if (mmg_open(path, &job->options, &handle, &error) != MMG_OK) {
        fprintf(stderr, "mmapguard-bench-stable: %s\n", error.message);
        exit(1);
    }
    return handle;
}

static uint32_t
means_of(mmg_handle handle)
{
    mmg_info info = MMG_INFO_INIT;
    return mmg_info_get(handle, &info) == MMG_OK ? info.means : MMG_MEANS_NONE;
}

/* ------------------------------------------------------------------------------------------------------- opening -- */

/* Opens, and leaves it to close_all() to close, so that each can be timed by itself. */
static bool
open_only(void *context, uint64_t times)
{
    struct opener *opener = context;
    if (times > FILES)
        return false;
    for (uint64_t i = 0; i < times; i++)
        opener->open[i] = open_region(&opener->job, names[i]);
    if (means_of(opener->open[0]) == opener->job.means)
        return true;
    for (uint64_t i = 0; i < times; i++)
        mmg_close(opener->open[i], 0);
    errno = ENOTSUP;
    return false;
}

static void
close_all(void *context, uint64_t times)
{
    const struct opener *opener = context;
    for (uint64_t i = 0; i < times; i++)
        mmg_close(opener->open[i], 0);
}

static bool
open_and_close(void *context, uint64_t times)
{
    for (uint64_t i = 0; i < times; i++) {
        if (!open_only(context, 1))
            return false;
        close_all(context, 1);
    }
    return true;
}

static struct job
job_for(const char *path, uint32_t guarantee, uint32_t means)
{
    struct job job = {.path = path, .options = MMG_OPTIONS_INIT, .means = means};
    job.options.backing = MMG_BACKING_MAP;
    job.options.guarantee = guarantee;
    return job;
}

static void
measure_means(const char *name, uint32_t means)
{
    static struct opener plain, stable; /* too large for the stack */
    char task[64];
    struct figure figure = {.work = "stable", .task = task, .bytes = OPEN_BYTES, .threads = 1};
    plain.job = job_for(NULL, MMG_GUARANTEE_CONTAINED, MMG_MEANS_FAULT_GUARD);
    stable.job = job_for(NULL, MMG_GUARANTEE_STABLE, means);
    const struct runner opening[] = {{"plain", open_only, &plain, close_all}, {name, open_only, &stable, close_all}};
    const struct runner both[] = {{"plain", open_and_close, &plain, NULL}, {name, open_and_close, &stable, NULL}};
    snprintf(task, sizeof task, "open by a %s", name);
    measure(&figure, opening, 2);
    snprintf(task, sizeof task, "open and close by a %s", name);
    measure(&figure, both, 2);
}

static void
measure_opening(const char *path)
{
    int writers[FILES];
    for (unsigned int i = 0; i < FILES; i++) {
        snprintf(names[i], sizeof names[i], "%s.%u", path, i);
        close(make(names[i], OPEN_BYTES));
    }
    measure_means("lease", MMG_MEANS_LEASE);
    for (unsigned int i = 0; i < FILES; i++) /* whoever writes already leaves no lease to be had */
        writers[i] = open(names[i], O_RDWR | O_CLOEXEC);
    measure_means("reflink", MMG_MEANS_REFLINK);
    for (unsigned int i = 0; i < FILES; i++) {
        close(writers[i]);
        unlink(names[i]);
    }
}

/* ------------------------------------------------------------------------------------------------------ breaking -- */

/* Milliseconds for which open(2) for writing waits until the region is secured. */
static double
time_break(const struct job *job, uint32_t *means)
{
    const mmg_handle handle = open_region(job, job->path);
    if (means_of(handle) != MMG_MEANS_LEASE) {
        errno = ENOTSUP;
        fail("no lease");
    }
    const uint64_t start = now_ns();
    const int fd = open(job->path, O_RDWR | O_CLOEXEC);
    const uint64_t end = now_ns();
    *means = means_of(handle);
    close(fd);
    mmg_close(handle, 0);
    return (double)(end - start) / 1e6;
}

static double
time_cp(const char *path, const char *copy, bool may_share)
{
    int status = 1;
    const uint64_t start = now_ns();
    const pid_t child = fork();
    if (child == 0) {
        execlp("cp", "cp", may_share ? "--reflink=auto" : "--reflink=never", path, copy, (char *)NULL);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail("cp");
    const uint64_t end = now_ns();
    unlink(copy);
    return (double)(end - start) / 1e6;
}

static void
measure_breaking(const char *path, const char *copy, uint64_t bytes, unsigned int rounds)
{
    static double waits[MOST_ROUNDS], copies[MOST_ROUNDS], shared[MOST_ROUNDS];
    const struct figure figure = {.work = "stable", .task = "writer's wait", .bytes = bytes};
    struct job job = job_for(path, MMG_GUARANTEE_STABLE, MMG_MEANS_LEASE);
    uint32_t means = MMG_MEANS_NONE;
    job.options.max_snapshot_bytes = MMG_NO_LIMIT;
    close(make(path, bytes));
    time_cp(path, copy, false); /* warms both up */
    time_break(&job, &means);
    for (unsigned int i = 0; i < rounds; i++) {
        waits[i] = time_break(&job, &means);
        copies[i] = time_cp(path, copy, false);
        shared[i] = time_cp(path, copy, true);
    }
    print_samples(&figure, mmg_term(MMG_TERM_MEANS, means), waits, rounds);
    print_samples(&figure, "cp", copies, rounds);
    print_samples(&figure, "cp, sharing blocks where it can", shared, rounds);
}

/* ------------------------------------------------------------------------------------------- beside many leases -- */

enum {
    MOST_LIVE = 10000,
    REGIONS_A_FILE = 10,
    CHILDREN = 64
};

static mmg_handle live[MOST_LIVE];

static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("setrlimit");
}

/* Opens regions, so many to each file; the files are made first and are gone by name afterwards. */
static void
open_live(const char *path, const struct job *job, unsigned int regions, unsigned int a_file)
{
    char name[4096 + 16];
    for (unsigned int i = 0; i < regions; i++) {
        snprintf(name, sizeof name, "%s.%u", path, i / a_file);
        if (i % a_file == 0)
            close(make(name, OPEN_BYTES));
        live[i] = open_region(job, name);
        if (i == 0 && means_of(live[0]) != job->means) {
            errno = ENOTSUP;
            fail(name);
        }
        if (i % a_file == a_file - 1)
            unlink(name);
    }
}

static void
close_live(unsigned int regions)
{
    for (unsigned int i = 0; i < regions; i++)
        mmg_close(live[i], 0);
}

static void
measure_live(const char *path)
{
    static double waits[MOST_ROUNDS];
    struct job job = job_for(path, MMG_GUARANTEE_STABLE, MMG_MEANS_LEASE);
    const struct figure figure = {.work = "stable", .task = "writer's wait beside other leases", .bytes = OPEN_BYTES};
    char name[32];
    job.options.max_leases = UINT32_MAX;
    close(make(path, OPEN_BYTES));
    for (unsigned int others = 10; others <= MOST_LIVE; others *= 10) {
        uint32_t means = MMG_MEANS_NONE;
        open_live(path, &job, others, 1);
        for (unsigned int i = 0; i < MOST_ROUNDS; i++)
            waits[i] = time_break(&job, &means);
        close_live(others);
        snprintf(name, sizeof name, "beside %u", others);
        print_samples(&figure, name, waits, MOST_ROUNDS);
    }
}

/* Milliseconds until so many children have been forked, one after another, and have ended. */
static double
time_children(void)
{
    const uint64_t start = now_ns();
    for (unsigned int i = 0; i < CHILDREN; i++) {
        int status = 1;
        const pid_t child = fork();
        if (child == 0)
            _exit(0);
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            fail("fork");
    }
    return (double)(now_ns() - start) / 1e6;
}

static void
measure_forking(const char *path)
{
    static double times[MOST_ROUNDS];
    const struct figure figure = {.work = "stable", .task = "64 forks with 10 000 regions", .bytes = OPEN_BYTES};
    struct job leased = job_for(path, MMG_GUARANTEE_STABLE, MMG_MEANS_LEASE);
    const struct job mapped = job_for(path, MMG_GUARANTEE_CONTAINED, MMG_MEANS_FAULT_GUARD);
    enum {
        ROUNDS = 5
    };
    leased.options.max_leases = UINT32_MAX;
    for (unsigned int turn = 0; turn < 2; turn++) {
        open_live(path, turn == 0 ? &mapped : &leased, MOST_LIVE, REGIONS_A_FILE);
        for (unsigned int i = 0; i < ROUNDS; i++)
            times[i] = time_children();
        close_live(MOST_LIVE);
        print_samples(&figure, turn == 0 ? "mapped" : "leased", times, ROUNDS);
    }
}

int
main(int argc, char **argv)
{
    char path[4096], copy[4096];
    if (argc < 3 || (strcmp(argv[1], "break") == 0 && argc < 5)) {
        fprintf(stderr, "usage: %s open DIRECTORY [BUDGET_MS] | break DIRECTORY BYTES ROUNDS | live|fork DIRECTORY\n",
                argv[0]);
        return 2;
    }
    snprintf(path, sizeof path, "%s/mmapguard-bench-%ld", argv[2], (long)getpid());
    snprintf(copy, sizeof copy, "%s/mmapguard-bench-%ld-copy", argv[2], (long)getpid());
    if (strcmp(argv[1], "open") == 0) {
        if (argc > 3)
            measure_budget_ms = strtoull(argv[3], NULL, 10);
        measure_opening(path);
    } else if (strcmp(argv[1], "live") == 0) {
        raise_descriptor_limit();
        measure_live(path);
    } else if (strcmp(argv[1], "fork") == 0) {
        raise_descriptor_limit();
        measure_forking(path);
    } else {
        const unsigned long rounds = strtoul(argv[4], NULL, 10);
        measure_breaking(path, copy, strtoull(argv[3], NULL, 10),
                         rounds < MOST_ROUNDS ? (unsigned int)rounds : MOST_ROUNDS);
    }
    unlink(path);
    return 0;
}
