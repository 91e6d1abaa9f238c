/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * W1: open a file, touch all of it, close it. Up to 1 MiB every byte is read; of larger files, one byte of each page.
 * Further works do the same with 200 files open at once, and touch one page only. The last compares a copy and a
 * mapping at sizes around the copy threshold, and justifies it.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <stdio.h>
#include <unistd.h>

enum {
    EVERY_BYTE_UP_TO = 1 << 20,
    COPIED_UP_TO = 16 << 20, /* only contenders that map take larger files */
    HELD = 200,              /* the number of files that are open at once */
};

struct open_job {
    const struct contender *contender;
    const char *path;
    uint64_t (*touch)(const uint8_t *data, uint64_t size);
};

static bool
open_touch_close(void *context, uint64_t times)
{
    const struct open_job *job = context;
    for (uint64_t i = 0; i < times; i++) {
        struct view view;
        if (!job->contender->open(job->path, &view))
            return false;
        keep(job->touch(view.data, view.size));
        job->contender->close(&view);
    }
    return true;
}

/*
 * Do the same with HELD files open before the first is closed, so that the memory of one cannot be used again for the
 * next.
 */
static bool
open_touch_hold(void *context, uint64_t times)
{
    const struct open_job *job = context;
    bool opened = true;
    for (uint64_t i = 0; opened && i < times; i++) {
        struct view views[HELD];
        unsigned int held = 0;
        while (opened && held < HELD) {
            opened = job->contender->open(job->path, &views[held]);
            if (opened) {
                keep(job->touch(views[held].data, views[held].size));
                held++;
            }
        }
        while (held > 0)
            job->contender->close(&views[--held]);
    }
    return opened;
}

/* Measure one figure: these contenders on a file of `bytes`. */
static bool
compare(const struct figure *figure, const struct contender *const *contenders, unsigned int count,
        uint64_t (*touch)(const uint8_t *, uint64_t), bool (*run)(void *, uint64_t))
{
    char path[4096];
    if (!make_file("open", figure->bytes, path, sizeof path))
        return false;
    struct open_job jobs[MOST_CONTENDERS];
    struct runner runners[MOST_CONTENDERS];
    for (unsigned int i = 0; i < count; i++) {
        /* Counts are for the way to the bytes, so a byte of every page is enough for them. */
        jobs[i] = (struct open_job){contenders[i], path, measure_counts && touch == touch_bytes ? touch_pages : touch};
        runners[i] = (struct runner){contenders[i]->name, run, &jobs[i], NULL};
    }
    measure(figure, runners, count);
    unlink(path);
    return true;
}

bool
work_open(void)
{
    static const uint64_t sizes[] = {1 << 10, 4 << 10,  16 << 10,  64 << 10, 256 << 10,
                                     1 << 20, 16 << 20, 256 << 20, 1 << 30};
    for (unsigned int i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct contender *contenders[MOST_CONTENDERS];
        const struct figure figure = {.work = "W1", .task = "open, touch all, close", .bytes = sizes[i]};
        if (sizes[i] > work_most_bytes)
            continue;
        const unsigned int count = everybody(contenders, MOST_CONTENDERS, sizes[i] <= COPIED_UP_TO);
        if (!compare(&figure, contenders, count, sizes[i] <= EVERY_BYTE_UP_TO ? touch_bytes : touch_pages,
                     open_touch_close))
            return false;
    }
    return true;
}

bool
work_held(void)
{
    static const uint64_t kib[] = {1, 4, 16, 32, 64, 256, 1024};
    for (unsigned int i = 0; i < sizeof kib / sizeof kib[0]; i++) {
        const struct contender *contenders[MOST_CONTENDERS];
        const struct figure figure = {
            .work = "held", .task = "200 held open, every byte touched", .bytes = kib[i] << 10, .operations = HELD};
        const unsigned int count = everybody(contenders, MOST_CONTENDERS, true);
        if (!compare(&figure, contenders, count, touch_bytes, open_touch_hold))
            return false;
    }
    return true;
}

bool
work_page(void)
{
    static const uint64_t kib[] = {4, 16, 64, 256, 1024, 16384};
    for (unsigned int i = 0; i < sizeof kib / sizeof kib[0]; i++) {
        const struct contender *contenders[MOST_CONTENDERS];
        const struct figure figure = {.work = "page", .task = "open, touch one page, close", .bytes = kib[i] << 10};
        const unsigned int count = everybody(contenders, MOST_CONTENDERS, true);
        if (!compare(&figure, contenders, count, touch_first, open_touch_close))
            return false;
    }
    return true;
}

bool
work_threshold(void)
{
    static const struct contender *const contenders[] = {&mmapguard_copy, &mmapguard_map};
    static const uint64_t kib[] = {4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024};
    for (unsigned int i = 0; i < sizeof kib / sizeof kib[0]; i++) {
        struct figure figure = {.work = "threshold", .task = "touch every byte", .bytes = kib[i] << 10};
        if (!compare(&figure, contenders, 2, touch_bytes, open_touch_close))
            return false;
        figure.task = "touch one byte";
        if (!compare(&figure, contenders, 2, touch_first, open_touch_close))
            return false;
        figure.task = "touch every byte, 200 held open";
        figure.operations = HELD;
        if (!compare(&figure, contenders, 2, touch_bytes, open_touch_hold))
            return false;
    }
    return true;
}
