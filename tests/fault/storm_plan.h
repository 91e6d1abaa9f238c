/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the storm's writer does to the file in one round. The plan is drawn before the round begins, so that readers can
 * judge every byte while it is being carried out; carrying it out is the work of another process, which tells what
 * became of it.
 */
#ifndef MMAPGUARD_TESTS_STORM_PLAN_H
#define MMAPGUARD_TESTS_STORM_PLAN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORM_PAGE UINT64_C(4096) /* the grain of the plan; the system's page is a multiple of it */
#define STORM_SIZE (96 * STORM_PAGE + 777)
#define STORM_MOST (128 * STORM_PAGE) /* no file of the storm is longer */
#define STORM_STEPS 8
#define STORM_VERSIONS 4 /* 0: the file as each round finds it; the last: whatever replaces it under its name */
#define STORM_REPLACED (STORM_VERSIONS - 1)

enum storm_kind {
    STORM_TRUNCATE, /* to `from` */
    STORM_EXTEND,   /* to `to`, with a hole */
    STORM_APPEND,   /* [from, to) at its end, bytes of `version` */
    STORM_REWRITE,  /* [from, to) in place, bytes of `version` */
    STORM_PUNCH,    /* a hole at [from, to) */
    STORM_REPLACE,  /* another file takes its name */
    STORM_UNLINK    /* its name goes */
};

/** By what a step is carried out. Each kind of step has its own. */
enum storm_hand {
    STORM_BY_CALL,              /* pwrite(2), ftruncate(2), a hole by fallocate(2) */
    STORM_BY_MAPPING,           /* stores into a mapping of the writer's own */
    STORM_BY_RING,              /* io_uring writes to the file */
    STORM_BY_PAGES,             /* io_uring reads from elsewhere into a mapping of the file */
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
    unsigned pause; /* before it, in microseconds; 0: none, 1: let others run */
};

struct storm_plan {
    unsigned steps;
    struct storm_step step[STORM_STEPS];
    /* What follows from the steps, for the file that the round begins with: */
    uint64_t least; /* its least size */
    uint64_t size;  /* its size in the end */
    bool modified;  /* its contents or size were changed at some time */
    bool stamped;   /* by a call that sets its times at once, which a store into a mapping does not everywhere */
    bool renamed;   /* its name went, or went to another file */
};

/** The file of the storm: its path, and what the writer process shares with its readers. */
struct storm {
    const char *path;
    const char *spare; /* where a replacement is written before it is renamed */
    uint8_t *versions[STORM_VERSIONS];
    struct storm_shared *shared;
    pid_t writer;
    int commands;
    int answers;
};

/** What the other process reads and writes. */
struct storm_shared {
    char path[512]; /* what `path` of the storm points to */
    struct storm_plan plan;
    unsigned done;                 /* steps carried out */
    int error;                     /* errno of the step that failed, 0 */
    bool cannot_punch;             /* the file system has no holes: such steps are skipped */
    uint64_t by_hand[STORM_HANDS]; /* steps carried out in all rounds */
    bool is_lacking[STORM_HANDS];  /* the system or the file system refuses such a hand; plain calls did its steps */
};

/** Draw a plan; every eighth has no step at all. */
void storm_draw(struct storm_plan *plan, uint64_t *random_state, bool can_punch);

/** Have the steps of a plan carried out by hands of all kinds; storm_draw() gives each to the plain calls. */
void storm_draw_hands(struct storm_plan *plan, uint64_t *random_state);
/** A hand in one word. */
const char *storm_hand_name(enum storm_hand hand);

/** Returns true when a byte at `offset` may read as `value` at some time of the plan. */
bool storm_allows(const struct storm *storm, const struct storm_plan *plan, uint64_t offset, uint8_t value);

/** Returns true when a zero between these offsets can only mean that the bytes were behind the end of the file. */
bool storm_zero_means_loss(const struct storm_plan *plan, uint64_t from, uint64_t to);

/** Writes [from, to) of a version. Returns 0 or an errno. */
int storm_write_version(const struct storm *storm, int descriptor, unsigned version, uint64_t from, uint64_t to);

/** Make the bytes of each version, which are the same in every process. */
void storm_fill_versions(struct storm *storm);

/**
 * Returns true when STORM_NAME_GOES_LAST is set in the environment: a plan ends when the name of the file goes, and
 * nobody has the file open for writing then. On 9p a file without a name cannot be cut any more, on SMB an open file
 * keeps its name.
 */
bool storm_name_goes_last(void);

/** Start the writer's process. */
void storm_start(struct storm *storm, const char *path, const char *spare);
/** Put the file there as every round finds it, and return a descriptor of it. */
int storm_restore(const struct storm *storm);
/** Have the plan carried out, which takes a while. */
void storm_begin(const struct storm *storm, const struct storm_plan *plan);
/** Wait until it is. */
void storm_end(const struct storm *storm);
/** End the writer's process. */
void storm_stop(struct storm *storm);

/** Print a plan, for whoever has to find out what went wrong. */
void storm_print(const struct storm_plan *plan);

#endif
