/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a program's file says of how it is loaded.
 */
#ifndef MMAPGUARD_LAUNCHER_ELF_FILE_H
#define MMAPGUARD_LAUNCHER_ELF_FILE_H

#include <stdbool.h>

/** A program, as far as preloading is concerned. */
struct elf_facts {
    bool is_native;        /* same processor, word size and byte order as this program; else nothing else is filled */
    bool is_loaded;        /* a loader is named, so the program is not linked statically */
    char interpreter[256]; /* path of that loader */
    bool is_go;            /* made by Go, whose runtime handles signals without the C library */
    bool needs_asan;       /* needs the shared AddressSanitizer, which wants to be the first library */
};

/** Reads the facts from an open file. Returns false when the file is no ELF file that can be understood. */
bool elf_read(int fd, struct elf_facts *facts);

/** Path of the loader of this very program; an empty string when it is linked statically. */
const char *elf_own_interpreter(void);

#endif
