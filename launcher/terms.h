/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the program `mmapguard` and the object that it preloads must agree on: exit statuses, and the environment
 * variables by which the program passes options to the object, through every program that is executed in between.
 */
#ifndef MMAPGUARD_LAUNCHER_TERMS_H
#define MMAPGUARD_LAUNCHER_TERMS_H

#include <stdbool.h>

/** Exit statuses of `mmapguard run`, beside those of the command. */
enum {
    EXIT_USAGE = 2,         /* wrong arguments */
    EXIT_LOST = 75,         /* EX_TEMPFAIL of <sysexits.h>: bytes were lost */
    EXIT_NOT_GUARDED = 126, /* the command cannot be guarded, or cannot be executed */
    EXIT_NOT_FOUND = 127,   /* there is no such command */
};

/** What a loss means for the command. */
enum on_loss {
    ON_LOSS_FAIL,   /* an exit status of 0 becomes EXIT_LOST */
    ON_LOSS_REPORT, /* the exit status stays */
    ON_LOSS_ABORT,  /* the process ends with EXIT_LOST at once */
};

/** Environment variable with a word for enum on_loss. */
#define VARIABLE_ON_LOSS "MMAPGUARD_RUN_ON_LOSS"
/**
 * Environment variable that is set for --no-children: the first program that loads the object removes it from the list.
 */
#define VARIABLE_NO_CHILDREN "MMAPGUARD_RUN_NO_CHILDREN"
/**
 * Environment variable that is set when a program that has lost bytes executes another one. That one must then end with
 * the exit status for a loss. The value is the id of the process, so that no other process takes it for its own.
 */
#define VARIABLE_LOST "MMAPGUARD_RUN_LOST"
/** Environment variable of the loader: the objects to load first, separated by spaces or colons. */
#define VARIABLE_PRELOAD "LD_PRELOAD"
#define PRELOAD_SEPARATORS " :"

/** The file name of the object that is preloaded. */
#define PRELOAD_NAME "mmapguard-preload.so"

/** Returns true when `word` is one of the words for enum on_loss, and stores its value. */
bool on_loss_parse(const char *word, enum on_loss *on_loss);

#endif
