/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lets the program and the object load on systems with an older glibc than that of the build system, as
 * src/os/linux/glibc_compat.c does for the library. glibc 2.34 gave new versions to the functions of libdl, which
 * became a part of libc, and to the function that starts a program. This file defines functions of the same names,
 * which call the first versions. It exports nothing.
 */
#include <features.h>

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))

#include <dlfcn.h>
#include <stddef.h>

#ifdef __x86_64__
#define FIRST_VERSION "GLIBC_2.2.5"
#else
#define FIRST_VERSION "GLIBC_2.17"
#endif
#define HIDDEN __attribute__((visibility("hidden")))
/* Makes old_NAME refer to the first version of a function that glibc had for this processor. */
#define OLD(name) __asm__(".symver old_" #name ", " #name "@" FIRST_VERSION)

#ifdef MMAPGUARD_OLD_DL

OLD(dladdr);
OLD(dlsym);
int old_dladdr(const void *address, Dl_info *found);
void *old_dlsym(void *where, const char *name);

HIDDEN int
dladdr(const void *address, Dl_info *found)
{
    return old_dladdr(address, found);
}

/*
 * For RTLD_NEXT glibc's function looks at the object of its caller. That is this function, which is in the same object
 * as its own caller, so the result is right.
 */
HIDDEN void *
dlsym(void *restrict where, const char *restrict name)
{
    return old_dlsym(where, name);
}

#endif

#ifdef MMAPGUARD_OLD_START

typedef int program_main(int argc, char **argv, char **environment);
typedef void program_init(int argc, char **argv, char **environment);

OLD(__libc_start_main);
int old___libc_start_main(program_main *main, int argc, char **argv, program_init *init, void (*fini)(void),
                          void (*loader_fini)(void), void *stack_end);
int __libc_start_main(program_main *main, int argc, char **argv, program_init *init, void (*fini)(void),
                      void (*loader_fini)(void), void *stack_end);

/* The linker defines these two symbols: the addresses of the program's constructors are between them. */
extern program_init *const __init_array_start[] HIDDEN;
extern program_init *const __init_array_end[] HIDDEN;

/* Runs the constructors of the program. Since 2.34 glibc does this by itself. */
static void
run_constructors(int argc, char **argv, char **environment)
{
    for (program_init *const *constructor = __init_array_start; constructor != __init_array_end; constructor++)
        (*constructor)(argc, argv, environment);
}

/* The start file of the C library calls this function. For `init` it passes NULL when glibc is 2.34 or later. */
HIDDEN int
__libc_start_main(program_main *main, int argc, char **argv, program_init *init, void (*fini)(void),
                  void (*loader_fini)(void), void *stack_end)
{
    return old___libc_start_main(main, argc, argv, init != NULL ? init : run_constructors, fini, loader_fini,
                                 stack_end);
}

#endif

#else
typedef int glibc_has_only_one_version_of_these; /* ISO C forbids an empty file */
#endif
