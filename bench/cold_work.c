/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Sequential scans of a file that is not in the page cache, by the clock. slow_disk.py makes a disk with a limit for this work,
 * so that the ways differ in how far the kernel reads ahead of them.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    BYTES = 32 << 20,
    LARGE_BLOCK = 1 << 20,
    SMALL_BLOCK = 128 << 10, /* as cat(1) does */
    EVICTED_EVERY = 4 << 20,
};

struct cold_job {
    const char *path;
    bool (*scan)(const char *path, uint8_t *buffer);
    uint8_t *buffer; /* LARGE_BLOCK bytes */
};

static bool
read_in(const char *path, uint8_t *buffer, size_t block)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : 0;
    while (fd >= 0 && (got = read(fd, buffer, block)) > 0)
        keep(touch_bytes(buffer, (uint64_t)got));
    if (fd >= 0)
        close(fd);
    return got == 0;
}

static bool
read_large(const char *path, uint8_t *buffer)
{
    return read_in(path, buffer, LARGE_BLOCK);
}

static bool
read_small(const char *path, uint8_t *buffer)
{
    return read_in(path, buffer, SMALL_BLOCK);
}

static bool
scan_region(const char *path, uint32_t access, bool evicts)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle region = 0;
    bool scanned = true;
    options.access = access;
    if (mmg_open(path, &options, &region, NULL) != MMG_OK)
        return false;
    for (uint64_t at = 0; scanned && at < BYTES; at += EVICTED_EVERY) {
        mmg_span span = MMG_SPAN_INIT;
        scanned = mmg_pin(region, at, EVICTED_EVERY, &span) == MMG_OK;
        keep(touch_bytes(span.data, span.size));
        scanned = scanned && mmg_unpin(&span) == MMG_OK &&
                  (!evicts || mmg_advise(region, 0, at + EVICTED_EVERY, MMG_ADVICE_EVICT) == MMG_OK);
    }
    mmg_close(region, 0);
    return scanned;
}

static bool
scan_sequential(const char *path, uint8_t *buffer)
{
    (void)buffer;
    return scan_region(path, MMG_ADVICE_SEQUENTIAL, false);
}

static bool
scan_evicting(const char *path, uint8_t *buffer)
{
    (void)buffer;
    return scan_region(path, MMG_ADVICE_SEQUENTIAL, true);
}

static bool
scan_default(const char *path, uint8_t *buffer)
{
    (void)buffer;
    return scan_region(path, MMG_ADVICE_NORMAL, false);
}

static bool
scan_by_hand(const char *path, int advice)
{
    struct view view;
    if (!hand_mmap.open(path, &view))
        return false;
    madvise((void *)view.data, view.size, advice);
    keep(touch_bytes(view.data, view.size));
    hand_mmap.close(&view);
    return true;
}

static bool
map_plain(const char *path, uint8_t *buffer)
{
    (void)buffer;
    return scan_by_hand(path, MADV_NORMAL);
}

static bool
map_advised(const char *path, uint8_t *buffer)
{
    (void)buffer;
    return scan_by_hand(path, MADV_SEQUENTIAL);
}

static bool
run_cold(void *context, uint64_t times)
{
    const struct cold_job *job = context;
    return times == 1 && job->scan(job->path, job->buffer);
}

static void
make_cold(void *context, uint64_t times)
{
    const struct cold_job *job = context;
    const int fd = open(job->path, O_RDONLY | O_CLOEXEC);
    (void)times;
    if (fd < 0)
        return;
    fdatasync(fd); /* a dirty page cannot be dropped */
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

bool
work_cold(void)
{
    static const struct {
        const char *name;
        bool (*scan)(const char *path, uint8_t *buffer);
    } ways[] = {
        {"mmapguard", scan_sequential},
        {"mmapguard, evicted behind", scan_evicting},
        {"mmapguard, access=normal", scan_default},
        {"by hand, mmap", map_plain},
        {"by hand, mmap, MADV_SEQUENTIAL", map_advised},
        {"read, 1 MiB blocks", read_large},
        {"read, 128 KiB blocks", read_small},
    };
    enum {
        WAYS = sizeof ways / sizeof ways[0]
    };
    /* The threads make the clock count, and not the time of the processor, which waits for the disk. */
    const struct figure figure = {.work = "cold", .task = "scan", .bytes = BYTES, .threads = 1};
    struct cold_job jobs[WAYS];
    struct runner runners[WAYS];
    char path[4096];
    uint8_t *buffer = malloc(LARGE_BLOCK);
    if (buffer == NULL || !make_file("cold", BYTES, path, sizeof path)) {
        free(buffer);
        return false;
    }
    for (unsigned int i = 0; i < WAYS; i++) {
        jobs[i] = (struct cold_job){path, ways[i].scan, buffer};
        runners[i] = (struct runner){ways[i].name, run_cold, &jobs[i], make_cold};
    }
    make_cold(&jobs[0], 1);
    measure(&figure, runners, WAYS);
    unlink(path);
    free(buffer);
    return true;
}
