/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * W3: read a large file from end to end, every byte, from a warm page cache; once through a new mapping (with its page
 * faults), once through one that was touched before. A further work shows what containment costs: the same scan with
 * the fault guard armed and off, without any fault.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum {
    READ_BLOCK = 1 << 20,
    /* With a mapping that exists already, the contenders read the file side by side, one slice each in turn. A burst of
       other work then affects a few slices, and not the whole scan of one contender. */
    SLICE = 8 << 20,
};

struct scan_job {
    const struct contender *contender;
    const char *path;
    struct view view; /* the open file, when the mapping exists already */
    uint64_t at;      /* the place where the next slice begins */
    uint64_t bytes;   /* the size of the file, a multiple of the slice */
    uint8_t *buffer;  /* for the reader in blocks */
};

static bool
scan_fresh(void *context, uint64_t times)
{
    const struct scan_job *job = context;
    for (uint64_t i = 0; i < times; i++) {
        struct view view;
        if (!job->contender->open(job->path, &view))
            return false;
        keep(touch_bytes(view.data, view.size));
        job->contender->close(&view);
    }
    return true;
}

static bool
scan_slices(void *context, uint64_t times)
{
    struct scan_job *job = context;
    for (uint64_t i = 0; i < times; i++) {
        keep(touch_bytes(job->view.data + job->at, SLICE));
        job->at = (job->at + SLICE) % job->bytes;
    }
    return true;
}

/* Read `bytes` from the position of `fd` on, in blocks that fit into the cache. */
static bool
read_blocks(const struct scan_job *job, int fd, uint64_t bytes)
{
    while (bytes > 0) {
        const ssize_t got = read(fd, job->buffer, READ_BLOCK);
        if (got <= 0)
            return false;
        keep(touch_bytes(job->buffer, (uint64_t)got));
        bytes -= (uint64_t)got;
    }
    return true;
}

static bool
read_fresh(void *context, uint64_t times)
{
    const struct scan_job *job = context;
    for (uint64_t i = 0; i < times; i++) {
        const int fd = open(job->path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return false;
        const bool read_all = flock(fd, LOCK_SH | LOCK_NB) == 0 && read_blocks(job, fd, job->bytes);
        close(fd);
        if (!read_all)
            return false;
    }
    return true;
}

static bool
read_slices(void *context, uint64_t times)
{
    struct scan_job *job = context;
    for (uint64_t i = 0; i < times; i++) {
        if (lseek(job->view.fd, (off_t)job->at, SEEK_SET) < 0 || !read_blocks(job, job->view.fd, SLICE))
            return false;
        job->at = (job->at + SLICE) % job->bytes;
    }
    return true;
}

/* Measure both figures for these contenders. `with_read` adds the reader in blocks. */
static bool
compare(const char *work, uint64_t bytes, const struct contender *const *contenders, unsigned int count, bool with_read)
{
    char path[4096];
    struct scan_job jobs[MOST_CONTENDERS];
    struct runner runners[MOST_CONTENDERS];
    if (!make_file("scan", bytes, path, sizeof path))
        return false;

    struct figure figure = {.work = work, .task = "open, read every byte, close", .bytes = bytes};
    uint8_t *buffer = malloc(READ_BLOCK);
    for (unsigned int i = 0; i < count; i++) {
        jobs[i] = (struct scan_job){.contender = contenders[i], .path = path, .bytes = bytes};
        runners[i] = (struct runner){contenders[i]->name, scan_fresh, &jobs[i], NULL};
    }
    if (with_read) {
        jobs[count] = (struct scan_job){.path = path, .bytes = bytes, .buffer = buffer};
        runners[count] = (struct runner){"read, 1 MiB blocks", read_fresh, &jobs[count], NULL};
    }
    measure(&figure, runners, count + (with_read ? 1 : 0));

    bool opened = true;
    unsigned int standing = 0;
    figure.task = "read every byte, mapped already";
    figure.operations = (double)SLICE / (double)bytes; /* the times are then those of the whole file */
    while (opened && standing < count) {
        opened = contenders[standing]->open(path, &jobs[standing].view);
        runners[standing].run = scan_slices;
        standing += opened ? 1 : 0;
    }
    if (with_read && opened) {
        jobs[count].view.fd = open(path, O_RDONLY | O_CLOEXEC);
        runners[count].run = read_slices;
    }
    if (opened)
        measure(&figure, runners, count + (with_read ? 1 : 0));
    else
        print_failure(&figure, contenders[standing]->name, "cannot be opened");
    if (with_read && opened)
        close(jobs[count].view.fd);
    while (standing-- > 0)
        contenders[standing]->close(&jobs[standing].view);
    free(buffer);
    unlink(path);
    return true;
}

/* Return this size or the largest that is allowed, in whole slices and at least one. */
static uint64_t
at_most(uint64_t bytes)
{
    const uint64_t slices = (work_most_bytes < bytes ? work_most_bytes : bytes) / SLICE;
    return (slices > 0 ? slices : 1) * SLICE;
}

bool
work_scan(void)
{
    const struct contender *contenders[MOST_CONTENDERS];
    const unsigned int count = everybody(contenders, MOST_CONTENDERS - 1, false);
    const uint64_t bytes = at_most(1 << 30);
    return compare("W3", bytes, contenders, count, true);
}

bool
work_guard(void)
{
    static const struct contender *const contenders[] = {&mmapguard_map, &mmapguard_off};
    const uint64_t bytes = at_most(256 << 20);
    return compare("guard", bytes, contenders, 2, false);
}
