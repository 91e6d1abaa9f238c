/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Puts the file of the storm back as every round finds it, for readers that may not write to it: a process that keeps
 * the rights with which the program was started.
 */
#ifndef MMAPGUARD_TESTS_STORM_KEEPER_H
#define MMAPGUARD_TESTS_STORM_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "../fault/storm_plan.h"

struct storm_keeper {
    pid_t process;
    int commands;
    int answers;
};

enum storm_command {
    KEEP_RESTORE = 'r', /* and have it closed */
    KEEP_OPEN = 'o',    /* and keep it open for writing */
    KEEP_CLOSE = 'c',
    KEEP_REWRITE = 'w', /* the first two versions in turn, until the next command comes */
    KEEP_EMPTY = 'e'    /* empty it by opening it for reading only, then write another version */
};

/** Start the process; with `removes` it removes the files of the storm in the end. */
void storm_keeper_start(struct storm_keeper *keeper, const struct storm *storm, bool removes);
/** End it. */
void storm_keeper_stop(struct storm_keeper *keeper);

/** Give a command and wait for the answer. */
void storm_keeper_tell(const struct storm_keeper *keeper, enum storm_command command);
/** The same in three steps. */
void storm_keeper_ask(const struct storm_keeper *keeper, enum storm_command command);
bool storm_keeper_has_answered(const struct storm_keeper *keeper);
void storm_keeper_hear(const struct storm_keeper *keeper);

#endif
