/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Containment in a process with many mappings: one of them loses its file, and the next touch is timed. For comparison,
 * a process of its own has a handler by hand that finds the mapping by a binary search and replaces its tail.
 */
#include "child.h"
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CUT_BYTES = 1 << 20, /* the size of the file that is cut */
    STANDING_BYTES = 64 << 10,
    CUTS = 20, /* the cuts in one turn */
    TURNS = 15,
    SPARE = 64, /* descriptors that are left for other uses */
    MOST = 60000,
};

/* Both processes have the same mappings: many of one file that stays, and now and then one of a file that is cut. */
struct crowd {
    char standing[4096], cut[4096];
    int fd; /* the file that is cut, open for writing */
    unsigned int live;
    unsigned int held; /* the number of mappings of the standing file so far */
    mmg_handle *handles;
};

static bool
restore(const struct crowd *crowd)
{
    return ftruncate(crowd->fd, 0) == 0 && ftruncate(crowd->fd, CUT_BYTES) == 0;
}

static double
time_touch(const uint8_t *at)
{
    const uint64_t begun = now_ns();
    keep(touch_first(at, 1));
    return (double)(now_ns() - begun);
}

/* ------------------------------------------------------------------------------------------------------------ ours -- */

static bool
open_mapped(const char *path, mmg_handle *handle)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.backing = MMG_BACKING_MAP;
    return mmg_open(path, &options, handle, NULL) == MMG_OK;
}

static bool
hold_ours(struct crowd *crowd)
{
    while (crowd->held < crowd->live)
        if (!open_mapped(crowd->standing, &crowd->handles[crowd->held++]))
            return false;
    return true;
}

/* Map the file, cut it, and time a touch. */
static bool
cut_ours(const struct crowd *crowd, double *time)
{
    mmg_handle handle;
    mmg_span span;
    bool right = restore(crowd) && open_mapped(crowd->cut, &handle);
    if (!right)
        return false;
    right = mmg_pin(handle, 0, MMG_TO_END, &span) == MMG_OK;
    if (right) {
        keep(touch_first(span.data, 1));
        right = ftruncate(crowd->fd, 0) == 0;
        *time = time_touch(span.data);
        right = mmg_unpin(&span) == MMG_E_TRUNCATED && right;
    }
    return mmg_close(handle, 0) == MMG_OK && right;
}

/* --------------------------------------------------------------------------------------------------------- by hand -- */

struct range {
    const uint8_t *start, *end;
    int fd;
};

static struct range *ranges; /* sorted by address */
static unsigned int range_count;

static int
compare_ranges(const void *a, const void *b)
{
    const struct range *one = a, *other = b;
    return one->start < other->start ? -1 : one->start > other->start;
}

static bool
map_range(const char *path, uint64_t bytes)
{
    struct range *range = &ranges[range_count];
    range->fd = open(path, O_RDONLY | O_CLOEXEC);
    void *data = range->fd < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ, MAP_SHARED, range->fd, 0);
    if (data == MAP_FAILED)
        return false;
    range->start = data;
    range->end = range->start + bytes;
    range_count++;
    return true;
}

static void
replace(int number, siginfo_t *facts, void *context)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGE_SIZE);
    const uint8_t *at = (const uint8_t *)((uintptr_t)facts->si_addr & ~(page - 1));
    unsigned int low = 0, high = range_count;
    struct stat status;
    (void)number;
    (void)context;
    while (high - low > 1) {
        const unsigned int middle = (low + high) / 2;
        if (ranges[middle].start <= at)
            low = middle;
        else
            high = middle;
    }
    const struct range *range = &ranges[low];
    if (at < range->start || at >= range->end || fstat(range->fd, &status) != 0 ||
        mmap((void *)at, (size_t)(range->end - at), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
             -1, 0) == MAP_FAILED)
        _exit(1);
}

/* Remove the mapping of the cut file from the array. */
static void
forget(const struct range *mapped)
{
    unsigned int kept = 0;
    munmap((void *)mapped->start, CUT_BYTES);
    close(mapped->fd);
    for (unsigned int i = 0; i < range_count; i++)
        if (ranges[i].start != mapped->start)
            ranges[kept++] = ranges[i];
    range_count = kept;
}

static bool
cut_mapped(const struct crowd *crowd, double *time)
{
    if (!restore(crowd) || !map_range(crowd->cut, CUT_BYTES))
        return false;
    const struct range mapped = ranges[range_count - 1];
    keep(touch_first(mapped.start, 1));
    qsort(ranges, range_count, sizeof *ranges, compare_ranges);
    if (ftruncate(crowd->fd, 0) != 0)
        return false;
    *time = time_touch(mapped.start);
    forget(&mapped);
    return true;
}

/* The work of the child: `count` cuts, each of a new mapping. */
static bool
serve_by_hand(void *context, char order, double *times, unsigned int count)
{
    struct crowd *crowd = context;
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
    action.sa_sigaction = replace;
    (void)order;
    if (sigaction(SIGBUS, &action, NULL) != 0)
        return false;
    for (; crowd->held < crowd->live; crowd->held++)
        if (!map_range(crowd->standing, STANDING_BYTES))
            return false;
    for (unsigned int i = 0; i < count; i++)
        if (!cut_mapped(crowd, &times[i]))
            return false;
    return true;
}

/* -------------------------------------------------------------------------------------------------------- the work -- */

/* Let both sides work in turn. */
static bool
compare(const struct figure *figure, struct crowd *crowd)
{
    static double ours[TURNS * CUTS], theirs[TURNS * CUTS];
    struct child child;
    ranges = calloc((size_t)crowd->live + 1, sizeof *ranges);
    crowd->handles = calloc((size_t)crowd->live, sizeof *crowd->handles);
    crowd->held = 0;
    range_count = 0;
    errno = 0;
    if (ranges == NULL || crowd->handles == NULL || !child_start(&child, serve_by_hand, crowd))
        return false;
    bool right = hold_ours(crowd);
    for (unsigned int i = 0; right && i < TURNS * CUTS; i++) {
        right = i % CUTS != 0 || child_ask(&child, 'c', &theirs[i], CUTS);
        right = right && cut_ours(crowd, &ours[i]);
    }
    if (right) {
        print_samples(figure, "mmapguard", ours, TURNS * CUTS);
        print_samples(figure, "by hand, binary search", theirs, TURNS * CUTS);
    } else {
        print_failure(figure, "mmapguard", errno != 0 ? strerror(errno) : "a loss was not contained");
    }
    child_end(&child);
    while (crowd->held > 0)
        mmg_close(crowd->handles[--crowd->held], 0);
    free(crowd->handles);
    free(ranges);
    return right;
}

/* Raise the limit of descriptors as far as the system allows, and return it. */
static unsigned int
most_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    if (limit.rlim_max < MOST + 2 * SPARE) {
        struct rlimit more = {MOST + 2 * SPARE, MOST + 2 * SPARE};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            limit = more;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur > UINT32_MAX ? UINT32_MAX : (unsigned int)limit.rlim_cur;
}

bool
work_contain(void)
{
    static const unsigned int counts[] = {1, 100, 10000, MOST};
    static struct crowd crowd;
    struct figure figure = {.work = "contain", .threads = 1};
    if (measure_counts)
        return true; /* strace and callgrind would measure how they deliver signals */
    signal(SIGPIPE, SIG_IGN);
    const unsigned int descriptors = most_descriptors();
    if (!make_file("standing", STANDING_BYTES, crowd.standing, sizeof crowd.standing) ||
        !make_file("cut", CUT_BYTES, crowd.cut, sizeof crowd.cut))
        return false;
    crowd.fd = open(crowd.cut, O_RDWR | O_CLOEXEC);
    bool right = crowd.fd >= 0;
    for (unsigned int i = 0; right && i < sizeof counts / sizeof counts[0]; i++) {
        char task[64];
        crowd.live = counts[i];
        snprintf(task, sizeof task, "one cut among %u mappings", crowd.live);
        figure.task = task;
        if (work_most_bytes < 1U << 30 && crowd.live == MOST)
            continue; /* this figure is too large for a short run */
        if (crowd.live + SPARE > descriptors)
            print_failure(&figure, "mmapguard", "the limit of descriptors is too low");
        else
            right = compare(&figure, &crowd);
    }
    close(crowd.fd);
    unlink(crowd.cut);
    unlink(crowd.standing);
    return true;
}
