/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The command as a file: where it is, and whether an object can be preloaded into it.
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
 * Finds a command as execvp(3) does. Returns 0; EXIT_NOT_FOUND, or EXIT_NOT_GUARDED when it cannot be executed, with the
 * errno of that in *error.
 */
int program_find(const char *name, struct program *program, int *error);

/**
 * Looks at the program, or at the interpreter of a script. Returns NULL when an object can be preloaded into it, else why
 * not, in words that go on "FILE ..."; stores which FILE, which may be the interpreter, in `blamed`. What cannot be read is
 * taken for a program that can be guarded: only the attempt tells.
 */
const char *program_obstacle(struct program *program, char blamed[PATH_MAX]);

#endif
