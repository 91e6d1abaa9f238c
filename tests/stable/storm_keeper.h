/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Restores the file of the storm for each round, when readers may not write to it. It is a process that keeps the
 * rights with which the program was started.
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
    KEEP_RESTORE = 'r', /* restore the file, and close it */
    KEEP_OPEN = 'o',    /* restore the file, and keep it open for writing */
    KEEP_CLOSE = 'c',
    KEEP_REWRITE = 'w', /* write the first two versions in turn, until the next command comes */
    KEEP_EMPTY = 'e'    /* empty the file by opening it for reading only, then write another version */
};

/** Starts the process. With `removes` it removes the files of the storm at its end. */
void storm_keeper_start(struct storm_keeper *keeper, const struct storm *storm, bool removes);
/** Ends the process. */
void storm_keeper_stop(struct storm_keeper *keeper);

/** Gives a command and waits for the answer. */
void storm_keeper_tell(const struct storm_keeper *keeper, enum storm_command command);
/** Do the same in three steps. */
void storm_keeper_ask(const struct storm_keeper *keeper, enum storm_command command);
bool storm_keeper_has_answered(const struct storm_keeper *keeper);
void storm_keeper_hear(const struct storm_keeper *keeper);

#endif
