/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A process with 60 000 mappings loses some of them. The time of a touch of a lost mapping is taken, from the load to
 * its (zero) result: once after the cut of a file that many mappings show, once for a thousand files in turn. For
 * comparison, a process of its own has a handler by hand that finds its mapping by a binary search in a sorted array,
 * which must not change meanwhile.
 *
 * Where one table of descriptors has no room for so many, threads with tables of their own make the other mappings:
 * the address space is the same. The touched mappings are those of the thread that touches.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    MAPPINGS = 60000,
    FILES = 1000,
    WINDOWS = MAPPINGS - FILES, /* the windows show one file, each other mapping a file of its own */
    SPARE = 500,                /* descriptors for other uses */
    TOUCHED = 1000,             /* the number of windows that are touched */
    SAMPLES = TOUCHED + FILES
};

static unsigned int table_room; /* so many mappings fit into one table of descriptors */

static const uint64_t window = 16384;
static char folder[4096];

static bool
name_file(unsigned int number, char *path, uint64_t size)
{
    const int length = snprintf(path, size, "%s/%u", folder, number);
    return length > 0 && (uint64_t)length < size;
}

/*
 * Each side has such a function. It maps the window of a file at that offset, and returns the descriptor for cutting
 * the file.
 */
typedef bool map_one(unsigned int number, const char *path, uint64_t offset, const uint8_t **data);

static double
time_touch(const uint8_t *at)
{
    const uint64_t start = now_ns();
    keep(*(const volatile uint8_t *)at);
    return (double)(now_ns() - start);
}

/* The mappings from `first` up to `end`, and the side that makes them. */
struct range {
    map_one *map;
    unsigned int first, end;
    bool right;
};

static const uint8_t *data[MAPPINGS];
static sem_t mapped; /* posted by each thread that has made its mappings */

static void
map_range(struct range *range)
{
    char path[4200];
    for (unsigned int i = range->first; i < range->end; i++) {
        const unsigned int file = i < WINDOWS ? 0 : i - WINDOWS + 1;
        if (!name_file(file, path, sizeof path))
            return;
        const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        const uint64_t size = file == 0 ? WINDOWS * window : window;
        const bool right = fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
                           range->map(i, path, file == 0 ? i * window : 0, &data[i]);
        if (fd >= 0)
            close(fd);
        if (!right)
            return;
        keep(data[i][0]);
    }
    range->right = true;
}

/*
 * The thread has a table of descriptors of its own. The table lives as long as the thread, so the thread waits for the
 * end of the process.
 */
static void *
map_in_own_table(void *argument)
{
    struct range *range = argument;
    static sem_t never;
    if (unshare(CLONE_FILES) == 0)
        map_range(range);
    sem_post(&mapped);
    sem_wait(&never);
    return NULL;
}

/* Make all mappings. Those below `*own` and the last FILES are made by this thread, the others with other tables. */
static bool
map_all(map_one *map, unsigned int *own)
{
    *own = table_room < MAPPINGS ? table_room - FILES : WINDOWS;
    if (sem_init(&mapped, 0, 0) != 0)
        return false;
    for (unsigned int first = *own; first < WINDOWS; first += table_room) {
        const unsigned int end = WINDOWS - first < table_room ? WINDOWS : first + table_room;
        static struct range other;
        other = (struct range){map, first, end, false};
        pthread_t thread;
        if (pthread_create(&thread, NULL, map_in_own_table, &other) != 0)
            return false;
        while (sem_wait(&mapped) != 0) {
        }
        if (!other.right)
            return false;
    }
    struct range windows = {map, 0, *own, false}, files = {map, WINDOWS, MAPPINGS, false};
    map_range(&windows);
    if (windows.right)
        map_range(&files);
    return files.right;
}

/* Make all mappings, cut the files, and take the time of each touch. */
static bool
lose_in_turn(map_one *map, double *samples)
{
    char path[4200];
    unsigned int own;
    if (!map_all(map, &own))
        return false;
    for (unsigned int i = 0; i < SAMPLES; i++) {
        const unsigned int mapping = i < TOUCHED ? i * (own / TOUCHED) : WINDOWS + i - TOUCHED;
        if (!name_file(i < TOUCHED ? 0 : i - TOUCHED + 1, path, sizeof path))
            return false;
        if ((i == 0 || i >= TOUCHED) && truncate(path, 0) != 0)
            return false;
        samples[i] = time_touch(data[mapping]);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------------------ ours -- */

static bool
map_by_us(unsigned int number, const char *path, uint64_t offset, const uint8_t **start)
{
    (void)number;
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle region;
    mmg_span span; /* the pin is not ended, since this process ends */
    options.backing = MMG_BACKING_MAP;
    options.lock = MMG_LOCK_NONE;
    options.offset = offset;
    options.length = window;
    if (mmg_open(path, &options, &region, NULL) != MMG_OK || mmg_pin(region, 0, MMG_TO_END, &span) != MMG_OK)
        return false;
    *start = span.data;
    return true;
}

/* --------------------------------------------------------------------------------------------------------- by hand -- */

static struct by_hand {
    uint8_t *start;
    int fd;
} sorted[MAPPINGS];

static int
by_address(const void *one, const void *other)
{
    const struct by_hand *a = one, *b = other;
    return (a->start > b->start) - (a->start < b->start);
}

static void
replace(int signo, siginfo_t *facts, void *context)
{
    (void)signo;
    (void)context;
    const uint8_t *at = facts->si_addr;
    unsigned int low = 0, high = MAPPINGS;
    struct stat status;
    while (high - low > 1) {
        const unsigned int middle = low + (high - low) / 2;
        if (sorted[middle].start <= at)
            low = middle;
        else
            high = middle;
    }
    /* MAP_FIXED: these are pages of our own mapping, which is what this handler is for. */
    if (at < sorted[low].start || at >= sorted[low].start + window || fstat(sorted[low].fd, &status) != 0 ||
        mmap(sorted[low].start, window, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) ==
            MAP_FAILED)
        _exit(1);
}

static bool
map_by_hand(unsigned int number, const char *path, uint64_t offset, const uint8_t **address)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    uint8_t *start = mmap(NULL, window, PROT_READ, MAP_SHARED, fd, (off_t)offset);
    sorted[number] = (struct by_hand){start, fd};
    *address = start;
    if (number == MAPPINGS - 1) {
        struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
        action.sa_sigaction = replace;
        qsort(sorted, MAPPINGS, sizeof sorted[0], by_address);
        if (sigaction(SIGBUS, &action, NULL) != 0)
            return false;
    }
    return fd >= 0 && start != MAP_FAILED;
}

/* -------------------------------------------------------------------------------------------------------- the work -- */

/* Measure one side in a process of its own. */
static bool
measure_side(const char *name, map_one *map)
{
    char task[64];
    struct figure figure = {.work = "losses", .task = task};
    double *samples = mmap(NULL, SAMPLES * sizeof *samples, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 1;
    snprintf(task, sizeof task, "one file that %d mappings show", WINDOWS);
    if (samples == MAP_FAILED)
        return false;
    const pid_t child = fork();
    if (child == 0)
        _exit(lose_in_turn(map, samples) ? 0 : 1);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
        print_failure(&figure, name, "it could not make the mappings, or did not survive");
    } else {
        print_samples(&figure, name, samples, TOUCHED);
        figure.task = "1000 files in turn";
        print_samples(&figure, name, samples + TOUCHED, FILES);
    }
    munmap(samples, SAMPLES * sizeof *samples);
    return true;
}

bool
work_losses(void)
{
    if (measure_counts)
        return true; /* strace and callgrind would measure how they deliver signals */
    struct rlimit room;
    char path[4200];
    const int length = snprintf(folder, sizeof folder, "%s/mmapguard-bench-%ld", work_directory, (long)getpid());
    if (length < 0 || (uint64_t)length >= sizeof folder || mkdir(folder, 0700) != 0)
        return false;
    if (getrlimit(RLIMIT_NOFILE, &room) != 0 || room.rlim_max < FILES + TOUCHED + SPARE)
        return false;
    room.rlim_cur = room.rlim_max;
    table_room = room.rlim_max < MAPPINGS + SPARE ? (unsigned int)room.rlim_max - SPARE : MAPPINGS;
    if (setrlimit(RLIMIT_NOFILE, &room) != 0)
        return false;
    const bool right = measure_side("mmapguard", map_by_us) && measure_side("by hand, binary search", map_by_hand);
    for (unsigned int i = 0; i <= FILES; i++)
        if (name_file(i, path, sizeof path))
            unlink(path);
    return rmdir(folder) == 0 && right;
}
