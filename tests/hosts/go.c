/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A C program that loads Go as a shared library, so that the guard can be installed before Go: go ORDER LIBRARY.
 */
#include <dlfcn.h>
#include <string.h>

#include "lose.h"

int
main(int argc, char **argv)
{
    void (*run)(void);
    if (argc != 3)
        return 2;
    if (strcmp(argv[1], "host-first") != 0)
        lose_here();
    void *library = dlopen(argv[2], RTLD_NOW);
    if (library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        return 5;
    }
    /* POSIX lets an object pointer that dlsym() returned be read as a function pointer. */
    *(void **)&run = dlsym(library, "HostRun");
    if (strcmp(argv[1], "guard-again") == 0 && mmg_guard_install() != MMG_OK)
        return 6;
    run();
    lose_here();
    return 0;
}
