/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A walk from hit to hit through a mapped file, by mmg_find() and by the memmem(3) of the C library on a pinned span. The
 * hits lie so many bytes apart; the time is that of one hit.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char needle[] = "needle";
enum {
    NEEDLE_SIZE = sizeof needle - 1,
    SIZE = 1 << 20
};

struct walk {
    mmg_handle region;
    mmg_span span;
    uint64_t hits; /* of one walk */
};

static bool
walk_by_find(void *context, uint64_t times)
{
    const struct walk *walk = context;
    for (uint64_t i = 0; i < times; i++) {
        uint64_t hits = 0, at = 0, position;
        while (mmg_find(walk->region, at, MMG_TO_END, needle, NEEDLE_SIZE, &position) == MMG_OK &&
               position != MMG_NOT_FOUND) {
            at = position + NEEDLE_SIZE;
            hits++;
        }
        if (hits != walk->hits)
            return false;
    }
    return true;
}

static bool
walk_by_memmem(void *context, uint64_t times)
{
    const struct walk *walk = context;
    const uint8_t *end = walk->span.data + walk->span.size;
    for (uint64_t i = 0; i < times; i++) {
        uint64_t hits = 0;
        const uint8_t *at = walk->span.data;
        while ((at = memmem(at, (size_t)(end - at), needle, NEEDLE_SIZE)) != NULL) {
            at += NEEDLE_SIZE;
            hits++;
        }
        if (hits != walk->hits)
            return false;
    }
    return true;
}

/* Has the needle stand in a file every `distance` bytes, and nowhere else. */
static bool
write_hits(const char *path, uint64_t distance)
{
    static char bytes[SIZE];
    memset(bytes, 'x', sizeof bytes);
    for (uint64_t at = 0; at + NEEDLE_SIZE <= SIZE; at += distance)
        memcpy(bytes + at, needle, NEEDLE_SIZE);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const bool right = fd >= 0 && write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes;
    if (fd >= 0)
        close(fd);
    return right;
}

static bool
measure_distance(const char *path, uint64_t distance, const char *task)
{
    struct walk walk = {.hits = (SIZE - NEEDLE_SIZE) / distance + 1};
    if (!write_hits(path, distance) || mmg_open(path, NULL, &walk.region, NULL) != MMG_OK)
        return false;
    if (mmg_pin(walk.region, 0, MMG_TO_END, &walk.span) != MMG_OK)
        return mmg_close(walk.region, 0) != MMG_OK;
    const struct figure figure = {.work = "find", .task = task, .operations = (double)walk.hits};
    const struct runner runners[] = {
        {.name = "mmapguard", .run = walk_by_find, .context = &walk},
        {.name = "memmem", .run = walk_by_memmem, .context = &walk},
    };
    measure(&figure, runners, sizeof runners / sizeof runners[0]);
    return mmg_unpin(&walk.span) == MMG_OK && mmg_close(walk.region, 0) == MMG_OK;
}

bool
work_find(void)
{
    char path[4096];
    if (!make_file("hits", SIZE, path, sizeof path))
        return false;
    const bool right = measure_distance(path, 10, "a hit every 10 bytes") &&
                       measure_distance(path, 64, "a hit every 64 bytes") &&
                       measure_distance(path, 4096, "a hit every 4 KiB");
    unlink(path);
    return right;
}
