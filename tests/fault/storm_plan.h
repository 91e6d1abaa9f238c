/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The plan of what the storm's writer does to the file in one round. It is drawn before the round begins, so that
 * readers can check every byte during the round. Another process carries it out and reports the result.
 */
#ifndef MMAPGUARD_TESTS_STORM_PLAN_H
#define MMAPGUARD_TESTS_STORM_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORM_PAGE UINT64_C(4096) /* the unit of the plan; the page size of the system is a multiple of it */
#define STORM_SIZE (96 * STORM_PAGE + 777)
#define STORM_MOST (128 * STORM_PAGE) /* no file of the storm is longer */
#define STORM_STEPS 8
#define STORM_VERSIONS 4 /* 0: the file at the start of each round; the last: the file that replaces it */
#define STORM_REPLACED (STORM_VERSIONS - 1)

enum storm_kind {
    STORM_TRUNCATE, /* cuts the file to `from` */
    STORM_EXTEND,   /* extends the file to `to`, with a hole */
    STORM_APPEND,   /* appends [from, to), with bytes of `version` */
    STORM_REWRITE,  /* overwrites [from, to) with bytes of `version` */
    STORM_PUNCH,    /* makes a hole at [from, to) */
    STORM_REPLACE,  /* another file gets its name */
    STORM_UNLINK    /* removes its name */
};

/** The way in which a step is carried out. Each kind of step allows some of them. */
enum storm_hand {
    STORM_BY_CALL,              /* pwrite(2), ftruncate(2), a hole by fallocate(2) */
    STORM_BY_MAPPING,           /* stores into a mapping of the writer */
    STORM_BY_RING,              /* io_uring writes to the file */
    STORM_BY_PAGES,             /* io_uring reads another file into a mapping of the file */
    STORM_BY_PATH,              /* truncate(2) */
    STORM_BY_OPENING,           /* open(2) with O_TRUNC */
    STORM_BY_READ_ONLY_OPENING, /* open(2) with O_RDONLY | O_TRUNC */
    STORM_BY_ALLOCATION,        /* fallocate(2) makes the file longer, or zeroes a range */
    STORM_HANDS
};

struct storm_step {
    enum storm_kind kind;
    enum storm_hand hand;
    unsigned version;
    uint64_t from;
    uint64_t to;
    unsigned pause; /* the pause before the step, in microseconds; 0: no pause, 1: yield to other threads */
};

struct storm_plan {
    unsigned steps;
    struct storm_step step[STORM_STEPS];
    /* The effect of all steps on the file with which the round begins: */
    uint64_t least; /* its smallest size */
    uint64_t size;  /* its size at the end */
    bool modified;  /* its contents or size were changed at some time */
    bool stamped;   /* by a call that sets its times at once; a store into a mapping may set them later */
    bool renamed;   /* its name was removed, or another file got it */
};

/** The file of the storm: its path, and what the writer process shares with its readers. */
struct storm {
    const char *path;
    const char *spare; /* the path at which a replacement is written before it is renamed */
    uint8_t *versions[STORM_VERSIONS];
    struct storm_shared *shared;
    pid_t writer;
    int commands;
    int answers;
};

/** The memory that both processes read and write. */
struct storm_shared {
    char path[512]; /* `path` of the storm points to this */
    struct storm_plan plan;
    unsigned done;                 /* the number of steps that were carried out */
    int error;                     /* the errno of a step that has failed; else 0 */
    bool cannot_punch;             /* the file system has no holes, so such steps are skipped */
    uint64_t by_hand[STORM_HANDS]; /* the number of steps of all rounds in each way */
    bool is_lacking[STORM_HANDS];  /* the system or the file system refuses this way, so plain calls did its steps */
};

/** Draws a plan. Every eighth plan has no step. */
void storm_draw(struct storm_plan *plan, uint64_t *random_state, bool can_punch);

/** Draws the ways for the steps of a plan. Without this call all steps use the plain calls. */
void storm_draw_hands(struct storm_plan *plan, uint64_t *random_state);
/** Returns the name of a way, in one word. */
const char *storm_hand_name(enum storm_hand hand);

/** Returns true when a byte at `offset` may read as `value` at some time of the plan. */
bool storm_allows(const struct storm *storm, const struct storm_plan *plan, uint64_t offset, uint8_t value);

/** Returns true when a zero between these offsets can only mean that the bytes were behind the end of the file. */
bool storm_zero_means_loss(const struct storm_plan *plan, uint64_t from, uint64_t to);

/** Writes [from, to) of a version. Returns 0 or an errno. */
int storm_write_version(const struct storm *storm, int descriptor, unsigned version, uint64_t from, uint64_t to);

/** Makes the bytes of each version, which are equal in every process. */
void storm_fill_versions(struct storm *storm);

/**
 * Returns true when STORM_NAME_GOES_LAST is set in the environment. Then a plan ends when the name of the file goes,
 * and no process has the file open for writing at that time. On 9p a file without a name cannot be cut, and on SMB an
 * open file keeps its name.
 */
bool storm_name_goes_last(void);

/** Starts the process of the writer. */
void storm_start(struct storm *storm, const char *path, const char *spare);
/** Makes the file as it must be at the start of a round, and returns a descriptor of it. */
int storm_restore(const struct storm *storm);
/** Lets the writer begin to carry out the plan. */
void storm_begin(const struct storm *storm, const struct storm_plan *plan);
/** Waits until the writer has carried out the plan. */
void storm_end(const struct storm *storm);
/** Ends the process of the writer. */
void storm_stop(struct storm *storm);

/**
 * Returns true when two changes of the file in a row may leave the same modification time, since file times advance in
 * clock ticks. The function changes the file to find out.
 */
bool storm_times_are_coarse(const struct storm *storm);

/** Prints a plan, to help find the cause of a failure. */
void storm_print(const struct storm_plan *plan);

#endif
