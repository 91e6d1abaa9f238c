/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The writer of the storm. It draws plans, carries them out in a process of its own, and tells which bytes a reader may
 * see.
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
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "storm_hands.h"

/* ------------------------------------------------------------------------------------------------------- drawing -- */

static uint64_t
draw(uint64_t *state, uint64_t from, uint64_t to)
{
    return from + check_random_below(state, to - from);
}

/** Draws a size that may cause trouble: 0, whole pages, one byte more or less, or any other. */
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
    plan->modified = plan->stamped = plan->renamed = false;
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
            plan->stamped |= step->hand != STORM_BY_MAPPING && step->hand != STORM_BY_PAGES;
        }
    }
}

bool
storm_name_goes_last(void)
{
    return getenv("STORM_NAME_GOES_LAST") != NULL;
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
            if (step->kind >= STORM_REPLACE && storm_name_goes_last()) {
                break;
            }
        }
    }
    derive(plan);
}

/** Draws a way to carry out a step. `has_name` says that the file still has its name. */
static enum storm_hand
draw_hand(const struct storm_step *step, uint64_t *state, bool has_name)
{
    static const enum storm_hand writing[] = {STORM_BY_CALL, STORM_BY_MAPPING, STORM_BY_RING, STORM_BY_PAGES};
    static const enum storm_hand emptying[] = {STORM_BY_CALL, STORM_BY_PATH, STORM_BY_OPENING,
                                               STORM_BY_READ_ONLY_OPENING};
    uint64_t drawn = check_random_below(state, 4);
    switch (step->kind) {
    case STORM_REWRITE:
    case STORM_APPEND:
        return writing[drawn];
    case STORM_TRUNCATE:
        return !has_name ? STORM_BY_CALL : step->from == 0 ? emptying[drawn] : emptying[drawn % 2];
    case STORM_EXTEND:
    case STORM_PUNCH:
        return drawn % 2 == 0 ? STORM_BY_CALL : STORM_BY_ALLOCATION;
    default:
        return STORM_BY_CALL;
    }
}

void
storm_draw_hands(struct storm_plan *plan, uint64_t *random_state)
{
    bool has_name = true;
    for (unsigned index = 0; index < plan->steps; index++) {
        struct storm_step *step = &plan->step[index];
        step->hand = draw_hand(step, random_state, has_name);
        has_name = has_name && step->kind != STORM_REPLACE && step->kind != STORM_UNLINK;
    }
    derive(plan);
}

const char *
storm_hand_name(enum storm_hand hand)
{
    static const char *const names[STORM_HANDS] = {"call",    "mapping",           "ring",      "pages", "path",
                                                   "opening", "read-only opening", "allocation"};
    return names[hand];
}

void
storm_print(const struct storm_plan *plan)
{
    static const char *const names[] = {"truncate", "extend", "append", "rewrite", "punch", "replace", "unlink"};
    for (unsigned index = 0; index < plan->steps; index++) {
        const struct storm_step *step = &plan->step[index];
        fprintf(stderr, "      %s [%" PRIu64 ", %" PRIu64 ") version %u after %u us by %s\n", names[step->kind],
                step->from, step->to, step->version, step->pause, storm_hand_name(step->hand));
    }
    fprintf(stderr, "      least size %" PRIu64 ", size in the end %" PRIu64 "\n", plan->least, plan->size);
}

/* ------------------------------------------------------------------------------------------------------- judging -- */

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
        /* After a cut inside the range, the rest of the page reads as zeros without a fault. */
        if (step->kind == STORM_TRUNCATE ? step->from > from && step->from < to
                                         : step->kind != STORM_REPLACE && step->kind != STORM_UNLINK &&
                                               step->kind != STORM_REWRITE && step->from < to && step->to > from) {
            return false;
        }
    }
    return true;
}

/* -------------------------------------------------------------------------------------------------- carrying out -- */

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

/**
 * Carries out the steps of a round. The file is opened before its name goes, since later steps would change another
 * file. It is also opened before a read-only open cuts it, which no lease holds back. And it is opened at the end, so
 * that every round has a writer.
 */
static void
work(struct storm_writer *writer)
{
    struct storm_shared *shared = writer->storm->shared;
    shared->done = 0;
    shared->error = 0;
    for (; shared->done < shared->plan.steps && shared->error == 0; shared->done++) {
        const struct storm_step *step = &shared->plan.step[shared->done];
        pause_for(step->pause);
        if (step->kind >= STORM_REPLACE && storm_name_goes_last()) {
            storm_writer_close(writer);
        } else if (!storm_goes_by_path(step)) {
            shared->error = storm_writer_open(writer);
        }
        if (shared->error == 0) {
            shared->error = storm_carry_out(writer, step);
        }
    }
    if (shared->error == 0 && !shared->plan.renamed) {
        shared->error = storm_writer_open(writer);
    }
    storm_writer_close(writer);
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

/** The bytes are never zero. Any twelve bytes in a row occur only at one offset of one version. */
void
storm_fill_versions(struct storm *storm)
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
    storm->spare = spare;
    storm_fill_versions(storm);
    storm->shared = mmap(NULL, sizeof *storm->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(storm->shared != MAP_FAILED);
    REQUIRE((size_t)snprintf(storm->shared->path, sizeof storm->shared->path, "%s", path) < sizeof storm->shared->path);
    storm->path = storm->shared->path;
    storm->shared->cannot_punch = !can_punch(storm);
    REQUIRE(pipe(commands) == 0 && pipe(answers) == 0);
    fflush(NULL);
    storm->writer = fork();
    REQUIRE(storm->writer >= 0);
    if (storm->writer == 0) {
        char byte = 0;
        close(commands[1]);
        close(answers[0]);
        struct storm_writer writer;
        storm_writer_start(&writer, storm);
        while (read(commands[0], &byte, 1) == 1) {
            work(&writer);
            if (write(answers[1], &byte, 1) != 1) {
                break; /* the reader has died */
            }
        }
        storm_writer_end(&writer);
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
    REQUIRE(storm_write_version(storm, descriptor, 0, 0, STORM_SIZE) == 0);
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

bool
storm_times_are_coarse(const struct storm *storm)
{
    struct stat before = {0};
    struct stat after = {0};
    bool coarse = false;
    int file = storm_restore(storm);
    for (int round = 0; round < 50 && !coarse; round++) {
        REQUIRE(fstat(file, &before) == 0 && pwrite(file, "x", 1, 0) == 1 && fstat(file, &after) == 0);
        coarse = before.st_mtim.tv_nsec == after.st_mtim.tv_nsec && before.st_mtim.tv_sec == after.st_mtim.tv_sec;
    }
    close(file);
    return coarse;
}
