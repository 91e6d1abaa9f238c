/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The ways of C beside those of other languages. Each language has a program of its own, to which other_languages.py gives the
 * same requests in turn, a line each; this is the program of C. A request is a way, a task, a number and a path, with tabs in
 * between. The answer is "done", or why the program failed.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct contender *const ways[] = {&mmapguard, &mmapguard_no_lock, &hand_mmap, &hand_read,
                                               &hand_read_no_lock};

enum {
    WAYS = sizeof ways / sizeof ways[0]
};

static bool
run(const struct contender *way, const char *task, uint64_t times, const char *path)
{
    struct view standing;
    const bool is_scan = strcmp(task, "scan") == 0;
    if (!way->open(path, &standing))
        return false;
    bool opened = true;
    for (uint64_t i = 0; opened && i < times; i++) {
        struct view view;
        if (is_scan) {
            keep(touch_bytes(standing.data, standing.size));
            continue;
        }
        opened = way->open(path, &view);
        if (!opened)
            break;
        keep(touch_pages(view.data, view.size));
        way->close(&view);
    }
    way->close(&standing);
    return opened;
}

static const struct contender *
way_of(const char *name)
{
    for (unsigned int i = 0; i < WAYS; i++)
        if (name != NULL && strcmp(ways[i]->name, name) == 0)
            return ways[i];
    return NULL;
}

bool
work_serve(void)
{
    char line[8192];
    printf("{\"version\": \"%d\", \"ways\": [", (int)(__STDC_VERSION__ / 100 % 100));
    for (unsigned int i = 0; i < WAYS; i++)
        printf("%s\"%s\"", i > 0 ? ", " : "", ways[i]->name);
    printf("]}\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *rest = line;
        const struct contender *way = way_of(strsep(&rest, "\t"));
        const char *task = strsep(&rest, "\t");
        const char *times = strsep(&rest, "\t");
        const char *path = strsep(&rest, "\n");
        if (way != NULL && path != NULL && run(way, task, strtoull(times, NULL, 10), path))
            printf("done\n");
        else
            printf("failed: %s\n", way == NULL ? "no such way" : "cannot open");
        fflush(stdout);
    }
    return true;
}
