/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * W14: shows which change to a file kills which contender. Each contender reads a file in a process of its own, while
 * this process changes the file in the same way for all. Then the contender reads again, and its outcome is printed.
 */
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    BYTES = 1 << 20,
    STORM_ROUNDS = 200,
    /* The exit codes of a child. */
    RIGHT = 0,
    TOLD = 40,
    WRONG,
    FAILED
};

/* ---------------------------------------------------------------------------------------------------------- events -- */

static void
cut_to_nothing(int fd, const char *path)
{
    (void)path;
    keep((uint64_t)ftruncate(fd, 0));
}

static void
cut_in_half(int fd, const char *path)
{
    (void)path;
    keep((uint64_t)ftruncate(fd, BYTES / 2));
}

static void
cut_and_grow(int fd, const char *path)
{
    (void)path;
    keep((uint64_t)ftruncate(fd, 0) + (uint64_t)ftruncate(fd, BYTES));
}

static void
cut_inside_page(int fd, const char *path)
{
    (void)path;
    keep((uint64_t)ftruncate(fd, BYTES - 100));
}

static void
punch(int fd, const char *path)
{
    (void)path;
    keep((uint64_t)fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, BYTES / 4, BYTES / 4));
}

static void
rewrite_middle(int fd, const char *path)
{
    static const char words[] = "other bytes than before";
    (void)path;
    keep((uint64_t)pwrite(fd, words, sizeof words, BYTES / 2));
}

static void
replace_by_rename(int fd, const char *path)
{
    char other[4200];
    (void)fd;
    snprintf(other, sizeof other, "%s.new", path);
    const int made = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (made >= 0)
        close(made);
    keep((uint64_t)rename(other, path));
}

static void
remove_file(int fd, const char *path)
{
    (void)fd;
    keep((uint64_t)unlink(path));
}

/* All of these changes at random, in the same order for every contender. */
static void
storm(int fd, const char *path)
{
    static void (*const events[])(int, const char *) = {cut_to_nothing, cut_in_half,    cut_and_grow,
                                                        punch,          rewrite_middle, cut_inside_page};
    uint64_t state = 88172645463325252U;
    for (unsigned int i = 0; i < STORM_ROUNDS; i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        events[state % (sizeof events / sizeof events[0])](fd, path);
        usleep(100); /* the reader reads in between */
    }
    cut_in_half(fd, path);
}

/* ------------------------------------------------------------------------------------------------------- the child -- */

/*
 * Read a byte of each page until the other process closes the pipe. Then compare all bytes with those at the opening.
 */
static int
read_through(const struct contender *contender, const char *path, int ready, int over)
{
    struct view view;
    uint8_t *before = malloc(BYTES);
    char byte;
    if (before == NULL || !contender->open(path, &view) || view.size != BYTES)
        return FAILED;
    memcpy(before, view.data, BYTES);
    fcntl(over, F_SETFL, O_NONBLOCK);
    if (write(ready, "r", 1) != 1)
        return FAILED;
    while (read(over, &byte, 1) < 0 && errno == EAGAIN)
        keep(touch_pages(view.data, view.size));
    keep(touch_pages(view.data, view.size)); /* touch every page, since memcmp(3) may stop before a page that is lost */
    const bool same = memcmp(before, view.data, BYTES) == 0;
    const bool told = contender->intact != NULL && !contender->intact(&view);
    return same && !told ? RIGHT : told ? TOLD : WRONG;
}

static int
survive(const struct contender *contender, const char *path, void (*event)(int, const char *))
{
    int ready[2], over[2], status = -1;
    char byte;
    if (pipe(ready) != 0 || pipe(over) != 0)
        return -1;
    const pid_t id = fork();
    if (id == 0) {
        close(ready[0]);
        close(over[1]);
        _exit(read_through(contender, path, ready[1], over[0]));
    }
    close(ready[1]);
    close(over[0]);
    if (id > 0 && read(ready[0], &byte, 1) == 1) {
        const int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0) {
            event(fd, path);
            close(fd);
        }
    }
    close(over[1]);
    close(ready[0]);
    if (id > 0)
        waitpid(id, &status, 0);
    return status;
}

static void
print_outcome(const char *event, const char *name, int status)
{
    char outcome[64];
    if (WIFSIGNALED(status))
        snprintf(outcome, sizeof outcome, "dies of SIG%s", sigabbrev_np(WTERMSIG(status)));
    else
        snprintf(outcome, sizeof outcome, "%s",
                 WEXITSTATUS(status) == RIGHT   ? "reads on"
                 : WEXITSTATUS(status) == TOLD  ? "is told"
                 : WEXITSTATUS(status) == WRONG ? "reads wrong bytes"
                                                : "does not open");
    printf(
        "{\"work\": \"W14\", \"task\": \"%s\", \"bytes\": %d, \"threads\": 0, \"name\": \"%s\", \"outcome\": \"%s\"}\n",
        event, BYTES, name, outcome);
    fflush(stdout);
}

static const struct {
    const char *name;
    void (*happen)(int, const char *);
} events[] = {
    {"cut to nothing", cut_to_nothing},        {"cut in half", cut_in_half}, {"cut inside a page", cut_inside_page},
    {"cut and grown back", cut_and_grow},      {"a hole punched", punch},    {"rewritten in place", rewrite_middle},
    {"replaced by rename", replace_by_rename}, {"removed", remove_file},     {"200 events at random", storm},
};

bool
survival_event(const char *name, const char *path)
{
    const int fd = open(path, O_RDWR | O_CLOEXEC);
    bool happened = false;
    for (unsigned int i = 0; fd >= 0 && i < sizeof events / sizeof events[0]; i++) {
        if (strcmp(events[i].name, name) != 0)
            continue;
        events[i].happen(fd, path);
        happened = true;
    }
    if (fd >= 0)
        close(fd);
    return happened;
}

bool
work_survival(void)
{
    const struct contender *all[MOST_CONTENDERS];
    if (measure_counts)
        return true;
    unsigned int count = everybody(all, MOST_CONTENDERS - 1, true);
    all[count++] = &mmapguard_stable;
    for (unsigned int i = 0; i < sizeof events / sizeof events[0]; i++) {
        for (unsigned int k = 0; k < count; k++) {
            char path[4096];
            if (!make_file("survival", BYTES, path, sizeof path))
                return false;
            print_outcome(events[i].name, all[k]->name, survive(all[k], path, events[i].happen));
            unlink(path);
        }
    }
    return true;
}
