/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A file of 100 GB, all of it a hole, is cut to nothing under a mapping. The time of the touch of a lost page is taken, from
 * the load to its (zero) result, in one process and in turn: for a mapping that this program has made by itself, in a guarded
 * process, and for a region. Among 10 and among 10 000 other mappings. Each loss must cost one signal.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    ROUNDS = 500,
    FEW = 10,
    MANY = 10000
};

static const uint64_t size = (uint64_t)100 << 30;
static char path[4096];

struct samples {
    double foreign[ROUNDS], own[ROUNDS];
};

static double
time_touch(const uint8_t *at)
{
    const uint64_t start = now_ns();
    keep(*(const volatile uint8_t *)at);
    return (double)(now_ns() - start);
}

/* Let the file have its size, touch the mapping, cut the file to nothing, and touch the mapping again. */
static double
cut_under(int fd, const uint8_t *data)
{
    keep(*(const volatile uint8_t *)data);
    return ftruncate(fd, 0) == 0 ? time_touch(data + size / 2) : -1;
}

static double
lose_foreign(int fd)
{
    if (ftruncate(fd, (off_t)size) != 0)
        return -1;
    uint8_t *data = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        return -1;
    const double taken = cut_under(fd, data);
    munmap(data, size);
    return taken;
}

static double
lose_own(int fd)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle region;
    mmg_span span;
    options.backing = MMG_BACKING_MAP;
    options.lock = MMG_LOCK_NONE;
    if (ftruncate(fd, (off_t)size) != 0 || mmg_open(path, &options, &region, NULL) != MMG_OK)
        return -1;
    if (mmg_pin(region, 0, MMG_TO_END, &span) != MMG_OK)
        return -1;
    const double taken = cut_under(fd, span.data);
    const bool is_told = mmg_unpin(&span) == MMG_E_TRUNCATED;
    return mmg_close(region, 0) == MMG_OK && is_told ? taken : -1;
}

/* Make other mappings of one page. The kernel joins neighbours of one kind, so they are of two kinds in turn. */
static bool
make_crowd(int fd, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        if (mmap(NULL, 1, PROT_READ, i % 2 == 0 ? MAP_SHARED : MAP_PRIVATE, fd, 0) == MAP_FAILED)
            return false;
    return true;
}

static uint64_t
signals(void)
{
    mmg_stats stats = MMG_STATS_INIT;
    return mmg_stats_get(&stats) == MMG_OK ? stats.faults : 0;
}

static bool
lose_in_turn(unsigned int crowd, struct samples *samples)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    const int other = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || !make_crowd(other, crowd) || mmg_guard_process(MMG_SCOPE_FILES, 0) != MMG_OK)
        return false;
    const uint64_t before = signals();
    for (unsigned int i = 0; i < ROUNDS; i++) {
        samples->foreign[i] = lose_foreign(fd);
        samples->own[i] = lose_own(fd);
        if (samples->foreign[i] < 0 || samples->own[i] < 0)
            return false;
    }
    return signals() - before == (uint64_t)2 * ROUNDS;
}

/* Measure in a process of its own, whose other mappings go with it. */
static bool
measure_among(unsigned int crowd)
{
    char task[64];
    struct figure figure = {.work = "foreign", .task = task};
    int status = 1;
    struct samples *samples = mmap(NULL, sizeof *samples, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (samples == MAP_FAILED)
        return false;
    snprintf(task, sizeof task, "100 GB cut, among %u mappings", crowd);
    const pid_t child = fork();
    if (child == 0)
        _exit(lose_in_turn(crowd, samples) ? 0 : 1);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        print_failure(&figure, "mmapguard", "it did not survive, or a loss took more than one signal");
    } else {
        print_samples(&figure, "mmapguard", samples->foreign, ROUNDS);
        print_samples(&figure, "its own mapping", samples->own, ROUNDS);
    }
    munmap(samples, sizeof *samples);
    return true;
}

bool
work_foreign(void)
{
    if (measure_counts)
        return true; /* strace and callgrind would measure how they deliver signals */
    const int length = snprintf(path, sizeof path, "%s/mmapguard-bench-%ld", work_directory, (long)getpid());
    if (length < 0 || (uint64_t)length >= sizeof path)
        return false;
    const bool right = measure_among(FEW) && measure_among(MANY);
    unlink(path);
    return right;
}
