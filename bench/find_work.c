/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Searches in an open region, compared with memchr::memmem and glibc's memmem on the bytes of its span. Some needles do
 * not occur and are hard for one search or another; other searches walk from hit to hit.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TEXT = 4 << 20,
    MOST_NEEDLE = 64
};

/* The file that is searched, and the needle. */
struct find_job {
    mmg_handle region;
    mmg_span span;
    char needle[MOST_NEEDLE];
    uint64_t length;
    bool every_hit;
};

static const uint8_t *
start(const struct find_job *job)
{
    return job->span.data;
}

static bool
find_ours(void *context, uint64_t times)
{
    const struct find_job *job = context;
    for (uint64_t i = 0; i < times; i++) {
        uint64_t from = 0, at;
        do {
            if (mmg_find(job->region, from, MMG_TO_END, job->needle, job->length, &at) != MMG_OK)
                return false;
            from = at + job->length;
        } while (job->every_hit && at != MMG_NOT_FOUND);
        keep(at);
    }
    return true;
}

static bool
find_memmem(void *context, uint64_t times)
{
    const struct find_job *job = context;
    for (uint64_t i = 0; i < times; i++) {
        const uint8_t *from = start(job), *end = from + job->span.size, *at;
        do {
            at = memmem(from, (size_t)(end - from), job->needle, job->length);
            from = at == NULL ? from : at + job->length;
        } while (job->every_hit && at != NULL);
        keep((uint64_t)(uintptr_t)at);
    }
    return true;
}

static bool
find_memchr(void *context, uint64_t times)
{
    const struct find_job *job = context;
    for (uint64_t i = 0; i < times; i++) {
        const uint8_t *from = start(job), *end = from + job->span.size, *at;
        do {
            at = memchr(from, job->needle[0], (size_t)(end - from));
            from = at == NULL ? from : at + 1;
        } while (job->every_hit && at != NULL);
        keep((uint64_t)(uintptr_t)at);
    }
    return true;
}

#ifdef BENCH_HAS_RUST
static bool
find_rust(void *context, uint64_t times)
{
    const struct find_job *job = context;
    for (uint64_t i = 0; i < times; i++)
        keep(job->every_hit ? peers_memmem_count(start(job), job->span.size, (const uint8_t *)job->needle, job->length)
                            : peers_memmem(start(job), job->span.size, (const uint8_t *)job->needle, job->length));
    return true;
}
#endif

/* Fill the text with lines of words. "\nERROR", "zq" and the like do not occur, and each line has a near miss. */
static void
fill_text(char *text)
{
    static const char *const words[] = {"the", "request",    "of",  "needle",
                                        "an",  "index.html", "200", "0123456789abcdef0123456789abcdeX"};
    uint64_t state = 88172645463325252U, size = 0, column = 0;
    while (size < TEXT) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        const char *word = words[state % (sizeof words / sizeof words[0])];
        for (; *word != '\0' && size < TEXT; word++, column++)
            text[size++] = *word;
        if (size < TEXT)
            text[size++] = column > 60 ? '\n' : ' ';
        column = column > 60 ? 0 : column + 1;
    }
}

static bool
make_text(char *path, uint64_t path_size)
{
    char *text = malloc(TEXT);
    if (text == NULL || !make_file("find", 0, path, path_size)) {
        free(text);
        return false;
    }
    fill_text(text);
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const bool written = fd >= 0 && write(fd, text, TEXT) == TEXT;
    if (fd >= 0)
        close(fd);
    free(text);
    return written;
}

bool
work_find(void)
{
    static const struct {
        const char *task, *needle;
        bool every_hit;
    } searches[] = {
        {"absent, one byte", "\x01", false},
        {"absent, two bytes", "zq", false},
        {"absent, 8 bytes", "ABCDEFGH", false},
        {"absent, common first byte", "e Zebra", false},
        {"absent, newline first", "\nERROR", false},
        {"absent, common bytes only", "the the the the tha", false},
        {"absent, 32 bytes, near misses", "0123456789abcdef0123456789abcdef", false},
        {"every newline", "\n", true},
        {"every hit of 6 bytes", "needle", true},
        {"every hit of 3 bytes", "the", true},
    };
    char path[4096];
    static struct find_job job; /* zeroed, so that unused bytes of the needle are zero */
    if (!make_text(path, sizeof path))
        return false;
    if (mmg_open(path, NULL, &job.region, NULL) != MMG_OK || mmg_pin(job.region, 0, MMG_TO_END, &job.span) != MMG_OK)
        return false;
    keep(touch_pages(job.span.data, job.span.size));
    for (unsigned int i = 0; i < sizeof searches / sizeof searches[0]; i++) {
        const struct figure figure = {.work = "find", .task = searches[i].task, .bytes = TEXT};
        job.length = strlen(searches[i].needle);
        memcpy(job.needle, searches[i].needle, job.length);
        job.every_hit = searches[i].every_hit;
        struct runner runners[MOST_CONTENDERS] = {
            {"mmapguard", find_ours, &job, NULL},
            {"glibc memmem", find_memmem, &job, NULL},
        };
        unsigned int count = 2;
#ifdef BENCH_HAS_RUST
        runners[count++] = (struct runner){"memchr::memmem", find_rust, &job, NULL};
#endif
        if (job.length == 1)
            runners[count++] = (struct runner){"glibc memchr", find_memchr, &job, NULL};
        measure(&figure, runners, count);
    }
    const bool kept = mmg_unpin(&job.span) == MMG_OK;
    mmg_close(job.region, 0);
    unlink(path);
    return kept;
}
