/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds the file of a command, and finds out whether an object can be preloaded into it.
 */
#ifndef MMAPGUARD_LAUNCHER_PROGRAM_H
#define MMAPGUARD_LAUNCHER_PROGRAM_H

#include <limits.h>
#include <stdbool.h>

/** A command that was found. */
struct program {
    char path[PATH_MAX];
    bool needs_asan; /* see struct elf_facts */
};

/**
 * Finds a command as execvp(3) does. Returns 0; EXIT_NOT_FOUND when there is no such command; EXIT_NOT_GUARDED when it
 * cannot be executed. Stores the errno in `*error`.
 */
int program_find(const char *name, struct program *program, int *error);

/**
 * Looks at the program, or at the interpreter of a script. Returns NULL when an object can be preloaded into it, else
 * the end of a sentence that says why not. The path of the file with which that sentence starts, which may be the
 * interpreter, is stored in `blamed`. A file that cannot be read counts as one that can be guarded, since only
 * executing it can tell.
 */
const char *program_obstacle(struct program *program, char blamed[PATH_MAX]);

#endif
