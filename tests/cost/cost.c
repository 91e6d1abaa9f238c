/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Repeats one operation TIMES times, and does nothing else. The difference between two runs under `valgrind
 * --tool=callgrind` or `strace -c` is the exact cost of the operation, in instructions or system calls.
 */
#define _GNU_SOURCE /* memmem(3) */
#include <fcntl.h>
#include <mmapguard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const mmg_options contained = MMG_OPTIONS_INIT;

static mmg_handle
region_open(const char *path, const mmg_options *options)
{
    static mmg_error error = MMG_ERROR_INIT;
    mmg_handle region = 0;

    if (mmg_open(path, options, &region, &error) != MMG_OK) {
        fprintf(stderr, "cost: %s\n", error.message);
        exit(3);
    }
    return region;
}

static void
open_and_close(const char *path, unsigned long times, const mmg_options *options)
{
    for (unsigned long i = 0; i < times; i++)
        if (mmg_close(region_open(path, options), 0) != MMG_OK)
            exit(4);
}

static void
pin_and_unpin(const char *path, unsigned long times)
{
    mmg_handle region = region_open(path, &contained);

    for (unsigned long i = 0; i < times; i++) {
        mmg_span span;
        if (mmg_pin(region, 0, 1, &span) != MMG_OK || mmg_unpin(&span) != MMG_OK)
            exit(4);
    }
    mmg_close(region, 0);
}

/* Makes a region of a file beside FILE lose all its bytes. */
static mmg_handle
lose_beside(const char *path)
{
    char beside[4096];
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_span span;

    snprintf(beside, sizeof beside, "%s.lost", path);
    FILE *file = fopen(beside, "w");
    options.backing = MMG_BACKING_MAP;
    if (file == NULL || ftruncate(fileno(file), 1 << 20) != 0)
        exit(5);
    mmg_handle region = region_open(beside, &options);
    if (mmg_pin(region, 0, MMG_TO_END, &span) != MMG_OK || ftruncate(fileno(file), 0) != 0 ||
        *(const volatile uint8_t *)span.data != 0 || mmg_unpin(&span) != MMG_E_TRUNCATED)
        exit(4);
    fclose(file);
    unlink(beside);
    return region;
}

/* Finds the same byte at the start of the file again and again. This measures the call with hardly any search. */
static void
find(const char *path, unsigned long times)
{
    mmg_handle region = region_open(path, &contained);
    unsigned char first;
    uint64_t position;

    if (mmg_read(region, 0, &first, 1, &position) != MMG_OK || position != 1)
        exit(5);
    for (unsigned long i = 0; i < times; i++)
        if (mmg_find(region, 0, MMG_TO_END, &first, 1, &position) != MMG_OK || position != 0)
            exit(4);
    mmg_close(region, 0);
}

/* The needle of a walk over hits. The file has it every few bytes. */
static const char needle[] = "needle";
#define NEEDLE_SIZE (sizeof needle - 1)

/* Walks from hit to hit, `times` hits in all. At the end of the file it starts again. */
static void
walk(const char *path, unsigned long times, const char *sought, uint64_t size)
{
    mmg_handle region = region_open(path, &contained);
    uint64_t from = 0, position;

    for (unsigned long hits = 0; hits < times; hits++) {
        if (mmg_find(region, from, MMG_TO_END, sought, size, &position) != MMG_OK)
            exit(4);
        if (position == MMG_NOT_FOUND && from == 0)
            exit(5);
        from = position == MMG_NOT_FOUND ? 0 : position + size;
    }
    mmg_close(region, 0);
}

/* Does the same with memmem(3). */
static void
walk_by_memmem(const char *path, unsigned long times)
{
    mmg_handle region = region_open(path, &contained);
    mmg_span span;

    if (mmg_pin(region, 0, MMG_TO_END, &span) != MMG_OK)
        exit(4);
    const unsigned char *from = span.data, *end = span.data + span.size;
    for (unsigned long hits = 0; hits < times; hits++) {
        const unsigned char *hit = memmem(from, (size_t)(end - from), needle, NEEDLE_SIZE);
        if (hit == NULL && from == span.data)
            exit(5);
        from = hit == NULL ? span.data : hit + NEEDLE_SIZE;
    }
    if (mmg_unpin(&span) != MMG_OK)
        exit(4);
    mmg_close(region, 0);
}

/*
 * Breaks a lease again and again while `others` other leases are held, each on a file of its own beside FILE. Every run
 * takes the other leases, so they do not count in the difference between two runs.
 */
static void
break_beside(const char *path, unsigned long times, const mmg_options *options, unsigned long others)
{
    struct rlimit descriptors;
    mmg_handle *held = calloc(others, sizeof *held);

    if (held == NULL || getrlimit(RLIMIT_NOFILE, &descriptors) != 0)
        exit(6);
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
    for (unsigned long i = 0; i < others; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s.%lu", path, i);
        held[i] = region_open(name, options);
    }
    for (unsigned long i = 0; i < times; i++) {
        mmg_handle region = region_open(path, options);
        mmg_info info = MMG_INFO_INIT;
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || mmg_info_get(region, &info) != MMG_OK || info.means == MMG_MEANS_LEASE)
            exit(7);
        close(fd);
        mmg_close(region, 0);
    }
    /* The counters of the process, since questions about a region may ask the kernel. The last writer goes on a moment before
       the thread of the library is done. */
    mmg_stats stats = MMG_STATS_INIT;
    do {
        if (mmg_stats_get(&stats) != MMG_OK)
            exit(8);
    } while (stats.leases_breaking > 0);
    if (stats.leases != others)
        exit(8);
    for (unsigned long i = 0; i < others; i++)
        mmg_close(held[i], 0);
    free(held);
}

/*
 * Maps `regions` pages of a file one by one, cuts the file, and touches `times` of them. This measures a loss among
 * many mappings.
 */
static void
lose(const char *path, unsigned long times, unsigned long regions)
{
    const uint8_t **data = calloc(regions, sizeof *data);
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    mmg_options options = MMG_OPTIONS_INIT;
    struct rlimit room;

    if (data == NULL || times > regions || getrlimit(RLIMIT_NOFILE, &room) != 0)
        exit(5);
    room.rlim_cur = room.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &room) != 0 || truncate(path, (off_t)(regions * page)) != 0)
        exit(5);
    options.backing = MMG_BACKING_MAP;
    options.lock = MMG_LOCK_NONE;
    options.length = page;
    for (unsigned long i = 0; i < regions; i++) {
        mmg_span span; /* not unpinned, since the program ends */
        options.offset = i * page;
        if (mmg_pin(region_open(path, &options), 0, MMG_TO_END, &span) != MMG_OK)
            exit(4);
        data[i] = span.data;
    }
    if (truncate(path, 0) != 0)
        exit(5);
    for (unsigned long i = 0; i < times; i++)
        if (*(const volatile uint8_t *)data[i * (regions / times)] != 0)
            exit(4);
    free(data);
}

int
main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr,
                "usage: cost "
                "open|locked|stable|pin|pin-beside-loss|pin-after-loss|find|lines|walk|memmem|break-OTHERS|lose-"
                "REGIONS FILE TIMES\n");
        return 2;
    }
    mmg_options locked = MMG_OPTIONS_INIT;
    locked.backing = MMG_BACKING_MAP;
    locked.lock = MMG_LOCK_SHARED;
    locked.flags = MMG_FLAG_REGULAR_ONLY;
    mmg_options stable = MMG_OPTIONS_INIT;
    stable.guarantee = MMG_GUARANTEE_STABLE;
    mmg_options mapped = stable;
    mapped.backing = MMG_BACKING_MAP;
    mapped.max_leases = UINT32_MAX;
    const unsigned long times = strtoul(argv[3], NULL, 10);
    if (strcmp(argv[1], "open") == 0)
        open_and_close(argv[2], times, &contained);
    else if (strcmp(argv[1], "locked") == 0)
        open_and_close(argv[2], times, &locked);
    else if (strcmp(argv[1], "stable") == 0)
        open_and_close(argv[2], times, &stable);
    else if (strcmp(argv[1], "pin") == 0)
        pin_and_unpin(argv[2], times);
    else if (strcmp(argv[1], "pin-beside-loss") == 0) {
        lose_beside(argv[2]);
        pin_and_unpin(argv[2], times);
    } else if (strcmp(argv[1], "pin-after-loss") == 0) {
        mmg_close(lose_beside(argv[2]), 0);
        pin_and_unpin(argv[2], times);
    } else if (strcmp(argv[1], "find") == 0)
        find(argv[2], times);
    else if (strcmp(argv[1], "walk") == 0)
        walk(argv[2], times, needle, NEEDLE_SIZE);
    else if (strcmp(argv[1], "lines") == 0)
        walk(argv[2], times, "\n", 1);
    else if (strcmp(argv[1], "memmem") == 0)
        walk_by_memmem(argv[2], times);
    else if (strncmp(argv[1], "break-", 6) == 0)
        break_beside(argv[2], times, &mapped, strtoul(argv[1] + 6, NULL, 10));
    else if (strncmp(argv[1], "lose-", 5) == 0)
        lose(argv[2], times, strtoul(argv[1] + 5, NULL, 10));
    else
        return 2;
    return EXIT_SUCCESS;
}
