/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds out from the file of a program how the program is loaded.
 */
#ifndef MMAPGUARD_LAUNCHER_ELF_FILE_H
#define MMAPGUARD_LAUNCHER_ELF_FILE_H

#include <stdbool.h>

/** The facts about a program that matter for preloading. */
struct elf_facts {
    bool is_native;        /* it is for the processor of this program; else no other member is filled */
    bool is_loaded;        /* the file names a loader, so the program is not linked statically */
    char interpreter[256]; /* path of that loader */
    bool is_go;            /* the Go compiler made it, and Go's runtime handles signals without the C library */
    bool needs_asan;       /* it needs the shared AddressSanitizer, which must be the first library */
};

/** Reads the facts from an open file. Returns false when the file is not an ELF file, or has damaged headers. */
bool elf_read(int fd, struct elf_facts *facts);

/** Returns the path of the loader of the calling program, or an empty string when that is linked statically. */
const char *elf_own_interpreter(void);

#endif
