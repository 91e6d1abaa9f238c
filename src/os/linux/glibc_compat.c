/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lets the shared library load on systems with an older glibc than that of the build system. In glibc 2.32 to 2.34 a
 * few functions got a new version without a new meaning: libpthread became a part of libc, and fstat(2) and its
 * relatives became real functions (NEWS of glibc). A library that is linked today needs the new versions, and an older
 * system refuses to load it. So this file defines functions of the same names for the library alone, which call the
 * first versions. It exports nothing. The static library does not contain this file, since the linker of a program
 * chooses the versions there.
 */
#include <features.h>

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#ifdef __x86_64__
#define FIRST_VERSION "GLIBC_2.2.5"
#define STAT_LAYOUT 1 /* the number of the only layout of struct stat, which the functions below take as an argument */
#else
#define FIRST_VERSION "GLIBC_2.17"
#define STAT_LAYOUT 0
#endif
#define HIDDEN __attribute__((visibility("hidden")))
/* Makes old_NAME refer to the first version of a function that glibc had for this processor. */
#define OLD(name) __asm__(".symver old_" #name ", " #name "@" FIRST_VERSION)

OLD(pthread_attr_setstacksize);
OLD(pthread_create);
OLD(pthread_once);
OLD(pthread_kill);
OLD(pthread_sigmask);
int old_pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size);
int old_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument);
int old_pthread_once(pthread_once_t *once, void (*body)(void));
int old_pthread_kill(pthread_t thread, int signo);
int old_pthread_sigmask(int how, const sigset_t *set, sigset_t *old);

/* libc has always had these functions, but its headers do not declare them since 2.33. */
int __fxstat64(int layout, int fd, struct stat64 *status);
int __xstat64(int layout, const char *path, struct stat64 *status);
int __lxstat64(int layout, const char *path, struct stat64 *status);

HIDDEN int
pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size)
{
    return old_pthread_attr_setstacksize(attributes, size);
}

HIDDEN int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument)
{
    return old_pthread_create(thread, attributes, body, argument);
}

/*
 * pthread_atfork(3) is in the static part of libc, which may lack the marks of control-flow protection. So this file
 * calls the function that it would call.
 */
int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *library);
extern void *__dso_handle HIDDEN;

HIDDEN int
pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return __register_atfork(before, parent, child, (void *)&__dso_handle);
}

HIDDEN int
pthread_once(pthread_once_t *once, void (*body)(void))
{
    return old_pthread_once(once, body);
}

HIDDEN int
pthread_kill(pthread_t thread, int signo)
{
    return old_pthread_kill(thread, signo);
}

HIDDEN int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    return old_pthread_sigmask(how, set, old);
}

HIDDEN int
fstat64(int fd, struct stat64 *status)
{
    return __fxstat64(STAT_LAYOUT, fd, status);
}

HIDDEN int
stat64(const char *path, struct stat64 *status)
{
    return __xstat64(STAT_LAYOUT, path, status);
}

HIDDEN int
lstat64(const char *path, struct stat64 *status)
{
    return __lxstat64(STAT_LAYOUT, path, status);
}

#else
typedef int glibc_has_only_one_version_of_everything; /* ISO C forbids an empty file */
#endif
