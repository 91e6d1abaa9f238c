/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What only check.c needs of the other files of the harness: the directory of the program, and what a case may leak.
 */
#ifndef MMAPGUARD_TESTS_CHECK_INTERNAL_H
#define MMAPGUARD_TESTS_CHECK_INTERNAL_H

/** Makes an empty directory for this program, which is removed when the program ends. */
void check_make_directory(void);

/** Removes everything in the program's directory, which has only files and empty directories. */
void check_empty_directory(void);

/** Removes the directory, unless a child process calls this. */
void check_remove_directory(void);

/** Returns how many descriptors of this process are open on files of the program's directory. */
unsigned check_own_descriptors(void);

/** Returns the number of mappings of this process that a case must not leak. */
unsigned check_mappings_that_count(void);

/**
 * Touches more of the stack than the cases need. Valgrind extends the stack when code touches it, but not while it delivers a
 * signal, and handlers of the tests get signals of their own.
 */
void check_extend_stack(void);

#endif
