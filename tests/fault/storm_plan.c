/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The storm's writer: draws plans, carries them out in a process of its own, and says which bytes a reader may see.
 */
#include "storm_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"

/* --------------------------------------------------------------------------------------------------------- drawing -- */

static uint64_t
draw(uint64_t *state, uint64_t from, uint64_t to)
{
    return from + check_random_below(state, to - from);
}

/** Sizes at which something may go wrong: nothing, whole pages, a byte beside them, anything. */
static uint64_t
draw_size(uint64_t *state, uint64_t below)
{
    uint64_t size = check_random_below(state, below);
    switch (check_random_below(state, 6)) {
    case 0:
        return 0;
    case 1:
        return size / STORM_PAGE * STORM_PAGE;
    case 2:
        return size / STORM_PAGE * STORM_PAGE + (size >= STORM_PAGE ? 0 : 1);
    default:
        return size;
    }
}

static bool
draw_step(struct storm_step *step, uint64_t *state, uint64_t size, bool can_punch)
{
    step->kind = (enum storm_kind)check_random_below(state, STORM_UNLINK + 1);
    step->version = (unsigned)draw(state, 1, STORM_REPLACED);
    switch (step->kind) {
    case STORM_TRUNCATE:
        if (size == 0) {
            return false;
        }
        step->from = draw_size(state, size);
        step->to = size;
        return true;
    case STORM_EXTEND:
    case STORM_APPEND:
        step->from = size;
        step->to = size < STORM_MOST ? draw(state, size, STORM_MOST) + 1 : size;
        return step->to > size;
    case STORM_PUNCH:
    case STORM_REWRITE:
        if (size < 2 || (step->kind == STORM_PUNCH && !can_punch)) {
            return false;
        }
        step->from = check_random_below(state, size - 1);
        step->to = draw(state, step->from + 1, size + 1);
        return true;
    case STORM_REPLACE:
    case STORM_UNLINK:
        return true;
    }
    return false;
}

static void
derive(struct storm_plan *plan)
{
    plan->size = plan->least = STORM_SIZE;
    plan->modified = plan->renamed = false;
    for (unsigned index = 0; index < plan->steps; index++) {
        const struct storm_step *step = &plan->step[index];
        if (step->kind == STORM_TRUNCATE) {
            plan->size = step->from;
            plan->least = plan->size < plan->least ? plan->size : plan->least;
        } else if (step->kind == STORM_EXTEND || step->kind == STORM_APPEND) {
            plan->size = step->to;
        }
        if (step->kind == STORM_REPLACE || step->kind == STORM_UNLINK) {
            plan->renamed = true;
        } else {
            plan->modified = true;
        }
    }
}

void
storm_draw(struct storm_plan *plan, uint64_t *random_state, bool can_punch)
{
    static const unsigned pauses[] = {0, 0, 1, 1, 5, 20, 60, 200};
    unsigned wanted = check_random_below(random_state, 8) == 0 ? 0 : (unsigned)draw(random_state, 1, STORM_STEPS + 1);
    memset(plan, 0, sizeof *plan);
    while (plan->steps < wanted) {
        struct storm_step *step = &plan->step[plan->steps];
        derive(plan);
        if (draw_step(step, random_state, plan->size, can_punch)) {
            step->pause = pauses[check_random_below(random_state, sizeof pauses / sizeof *pauses)];
            plan->steps++;
        }
    }
    derive(plan);
}

void
storm_print(const struct storm_plan *plan)
{
    static const char *const names[] = {"truncate", "extend", "append", "rewrite", "punch", "replace", "unlink"};
    for (unsigned index = 0; index < plan->steps; index++) {
        const struct storm_step *step = &plan->step[index];
        fprintf(stderr, "      %s [%" PRIu64 ", %" PRIu64 ") version %u after %u us\n", names[step->kind], step->from,
                step->to, step->version, step->pause);
    }
    fprintf(stderr, "      least size %" PRIu64 ", size in the end %" PRIu64 "\n", plan->least, plan->size);
}

/* --------------------------------------------------------------------------------------------------------- judging -- */

bool
storm_allows(const struct storm *storm, const struct storm_plan *plan, uint64_t offset, uint8_t value)
{
    if (value == storm->versions[0][offset] && offset < STORM_SIZE) {
        return true;
    }
    if (value == 0 && offset >= plan->least) {
        return true;
    }
    for (unsigned index = 0; index < plan->steps; index++) {
        const struct storm_step *step = &plan->step[index];
        bool inside = offset >= step->from && offset < step->to;
        if (step->kind == STORM_PUNCH && inside && value == 0) {
            return true;
        }
        if ((step->kind == STORM_REWRITE || step->kind == STORM_APPEND) && inside &&
            value == storm->versions[step->version][offset]) {
            return true;
        }
    }
    return false;
}

bool
storm_zero_means_loss(const struct storm_plan *plan, uint64_t from, uint64_t to)
{
    if (to > STORM_SIZE) {
        return false;
    }
    for (unsigned index = 0; index < plan->steps; index++) {
        const struct storm_step *step = &plan->step[index];
        /* A cut inside the range leaves a page whose end reads as zeros without a fault. */
        if (step->kind == STORM_TRUNCATE ? step->from > from && step->from < to
                                         : step->kind != STORM_REPLACE && step->kind != STORM_UNLINK &&
                                               step->kind != STORM_REWRITE && step->from < to && step->to > from) {
            return false;
        }
    }
    return true;
}

/* ----------------------------------------------------------------------------------------------------- carrying out -- */

static int
write_version(const struct storm *storm, int descriptor, unsigned version, uint64_t from, uint64_t to)
{
    while (from < to) {
        ssize_t written = pwrite(descriptor, storm->versions[version] + from, to - from, (off_t)from);
        if (written <= 0) {
            return written < 0 ? errno : EIO;
        }
        from += (uint64_t)written;
    }
    return 0;
}

static int
replace(const struct storm *storm)
{
    int descriptor = open(storm->spare, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor < 0) {
        return errno;
    }
    int error = write_version(storm, descriptor, STORM_REPLACED, 0, STORM_SIZE);
    close(descriptor);
    return error != 0 ? error : rename(storm->spare, storm->path) == 0 ? 0 : errno;
}

static int
carry_out(const struct storm *storm, int descriptor, const struct storm_step *step)
{
    switch (step->kind) {
    case STORM_TRUNCATE:
        return ftruncate(descriptor, (off_t)step->from) == 0 ? 0 : errno;
    case STORM_EXTEND:
        return ftruncate(descriptor, (off_t)step->to) == 0 ? 0 : errno;
    case STORM_APPEND:
    case STORM_REWRITE:
        return write_version(storm, descriptor, step->version, step->from, step->to);
    case STORM_PUNCH:
        return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)step->from,
                         (off_t)(step->to - step->from)) == 0
                   ? 0
                   : errno;
    case STORM_REPLACE:
        return replace(storm);
    case STORM_UNLINK:
        return unlink(storm->path) == 0 || errno == ENOENT ? 0 : errno;
    }
    return EINVAL;
}

static void
pause_for(unsigned microseconds)
{
    if (microseconds == 1) {
        sched_yield();
    } else if (microseconds > 1) {
        const struct timespec time = {0, (long)microseconds * 1000};
        nanosleep(&time, NULL);
    }
}

static void
work(const struct storm *storm)
{
    struct storm_shared *shared = storm->shared;
    shared->done = 0;
    shared->error = 0;
    int descriptor = open(storm->path, O_RDWR | O_CLOEXEC);
    if (descriptor < 0) {
        shared->error = errno;
        return;
    }
    for (; shared->done < shared->plan.steps && shared->error == 0; shared->done++) {
        const struct storm_step *step = &shared->plan.step[shared->done];
        pause_for(step->pause);
        shared->error = carry_out(storm, descriptor, step);
    }
    close(descriptor);
}

/** Returns true when holes can be punched on this file system. */
static bool
can_punch(const struct storm *storm)
{
    int descriptor = open(storm->spare, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool can = descriptor >= 0 && ftruncate(descriptor, (off_t)STORM_SIZE) == 0 &&
               fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)STORM_PAGE) == 0;
    if (descriptor >= 0) {
        close(descriptor);
        unlink(storm->spare);
    }
    return can;
}

/** Bytes that are never zero. A dozen of them in a row stand in one place of one version only. */
static void
fill_versions(struct storm *storm)
{
    for (unsigned version = 0; version < STORM_VERSIONS; version++) {
        storm->versions[version] = malloc(STORM_MOST);
        REQUIRE(storm->versions[version] != NULL);
        uint64_t state = version;
        for (uint64_t at = 0; at < STORM_MOST; at++) {
            storm->versions[version][at] = (uint8_t)(1 + check_random_below(&state, 255));
        }
    }
}

void
storm_start(struct storm *storm, const char *path, const char *spare)
{
    int commands[2] = {-1, -1};
    int answers[2] = {-1, -1};
    storm->path = path;
    storm->spare = spare;
    fill_versions(storm);
    storm->shared = mmap(NULL, sizeof *storm->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(storm->shared != MAP_FAILED);
    storm->shared->cannot_punch = !can_punch(storm);
    REQUIRE(pipe(commands) == 0 && pipe(answers) == 0);
    fflush(NULL);
    storm->writer = fork();
    REQUIRE(storm->writer >= 0);
    if (storm->writer == 0) {
        char byte = 0;
        close(commands[1]);
        close(answers[0]);
        while (read(commands[0], &byte, 1) == 1) {
            work(storm);
            if (write(answers[1], &byte, 1) != 1) {
                break; /* the reader died in the storm */
            }
        }
        _exit(0);
    }
    close(commands[0]);
    close(answers[1]);
    storm->commands = commands[1];
    storm->answers = answers[0];
}

int
storm_restore(const struct storm *storm)
{
    int descriptor = open(storm->path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    REQUIRE(descriptor >= 0);
    REQUIRE(write_version(storm, descriptor, 0, 0, STORM_SIZE) == 0);
    REQUIRE(ftruncate(descriptor, (off_t)STORM_SIZE) == 0);
    return descriptor;
}

void
storm_begin(const struct storm *storm, const struct storm_plan *plan)
{
    storm->shared->plan = *plan;
    REQUIRE(write(storm->commands, "x", 1) == 1);
}

void
storm_end(const struct storm *storm)
{
    char byte = 0;
    ssize_t got;
    while ((got = read(storm->answers, &byte, 1)) < 0 && errno == EINTR) {
    }
    REQUIRE(got == 1);
    CHECK_I64(storm->shared->error, 0);
    CHECK_U64(storm->shared->done, storm->shared->plan.steps);
}

void
storm_stop(struct storm *storm)
{
    int wait_status = 0;
    close(storm->commands);
    close(storm->answers);
    REQUIRE(waitpid(storm->writer, &wait_status, 0) == storm->writer);
    CHECK_EXITED(wait_status);
    munmap(storm->shared, sizeof *storm->shared);
    for (unsigned version = 0; version < STORM_VERSIONS; version++) {
        free(storm->versions[version]);
    }
}
