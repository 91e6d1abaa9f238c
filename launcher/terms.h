/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the program `mmapguard` and the object that it preloads have agreed on: exit statuses, and the environment that
 * leads from one to the other, through every program that is executed in between.
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

/** Names of the environment. The first holds a word for enum on_loss. */
#define VARIABLE_ON_LOSS "MMAPGUARD_RUN_ON_LOSS"
/** Set while the process that preloads is to be the last one that does. */
#define VARIABLE_NO_CHILDREN "MMAPGUARD_RUN_NO_CHILDREN"
/** Set when a process that has lost bytes executes another program: what it owes is owed by that program. */
#define VARIABLE_LOST "MMAPGUARD_RUN_LOST"
/** The loader's list of objects to load first, which spaces or colons separate. */
#define VARIABLE_PRELOAD "LD_PRELOAD"
#define PRELOAD_SEPARATORS " :"

/** File name of the object that is preloaded. */
#define PRELOAD_NAME "mmapguard-preload.so"

/** Returns true when `word` is one of the words for enum on_loss, and stores which. */
bool on_loss_parse(const char *word, enum on_loss *on_loss);

#endif
