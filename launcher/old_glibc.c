/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Keeps the program and the object loadable by older systems than they were built on, as src/os/linux/glibc_compat.c does
 * for the library: glibc 2.34 gave new versions to the functions of libdl, which became part of libc, and to the function
 * that starts a program. Here the same names are defined on top of the versions that have always been there. Nothing is
 * exported.
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
#define OURS __attribute__((visibility("hidden")))
/* Refer to a function by the version that glibc has had since it knows the processor. */
#define OLD(name) __asm__(".symver old_" #name ", " #name "@" FIRST_VERSION)

#ifdef MMAPGUARD_OLD_DL

OLD(dladdr);
OLD(dlsym);
int old_dladdr(const void *address, Dl_info *found);
void *old_dlsym(void *where, const char *name);

OURS int
dladdr(const void *address, Dl_info *found)
{
    return old_dladdr(address, found);
}

/* RTLD_NEXT is understood from the caller of glibc's function, which is in the same object as the caller of this one. */
OURS void *
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

/* The linker puts the addresses of a program's constructors between these two. */
extern program_init *const __init_array_start[] OURS;
extern program_init *const __init_array_end[] OURS;

/* What glibc before 2.34 expects of a program: that it runs its constructors itself. */
static void
run_constructors(int argc, char **argv, char **environment)
{
    for (program_init *const *constructor = __init_array_start; constructor != __init_array_end; constructor++)
        (*constructor)(argc, argv, environment);
}

/* The start file of the compiler calls this. What it passes for `init` is NULL where glibc is new. */
OURS int
__libc_start_main(program_main *main, int argc, char **argv, program_init *init, void (*fini)(void),
                  void (*loader_fini)(void), void *stack_end)
{
    return old___libc_start_main(main, argc, argv, init != NULL ? init : run_constructors, fini, loader_fini,
                                 stack_end);
}

#endif

#else
typedef int glibc_has_only_one_version_of_these; /* ISO C wants something in a file */
#endif
