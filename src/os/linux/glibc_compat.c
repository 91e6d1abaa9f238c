/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Keeps the shared library loadable by older systems than it was built on. A few functions of glibc got a new version
 * in 2.32 to 2.34 without a new meaning: when libpthread became part of libc, and when fstat(2) and its like became
 * functions of their own (glibc's NEWS). A library linked today asks for those versions, and an older system refuses
 * to load it. Here the same names are defined for the library alone, on top of the versions that have always been there;
 * nothing is exported. Not part of the static library, which takes what its program is linked with.
 */
#include <features.h>

#if defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))

#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#ifdef __x86_64__
#define FIRST_VERSION "GLIBC_2.2.5"
#define STAT_LAYOUT 1 /* of struct stat, as the functions below are told; the only one there is */
#else
#define FIRST_VERSION "GLIBC_2.17"
#define STAT_LAYOUT 0
#endif
#define OURS __attribute__((visibility("hidden")))
/* Refer to a function by the version that glibc has had since it knows the processor. */
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

/* These have been functions of libc all along; headers since 2.33 do not declare them. */
int __fxstat64(int layout, int fd, struct stat64 *status);
int __xstat64(int layout, const char *path, struct stat64 *status);
int __lxstat64(int layout, const char *path, struct stat64 *status);

OURS int
pthread_attr_setstacksize(pthread_attr_t *attributes, size_t size)
{
    return old_pthread_attr_setstacksize(attributes, size);
}

OURS int
pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument)
{
    return old_pthread_create(thread, attributes, body, argument);
}

/* Of what a program would get from libc's static part, without the marks of control-flow protection that this lacks. */
int __register_atfork(void (*before)(void), void (*parent)(void), void (*child)(void), void *library);
extern void *__dso_handle OURS;

OURS int
pthread_atfork(void (*before)(void), void (*parent)(void), void (*child)(void))
{
    return __register_atfork(before, parent, child, (void *)&__dso_handle);
}

OURS int
pthread_once(pthread_once_t *once, void (*body)(void))
{
    return old_pthread_once(once, body);
}

OURS int
pthread_kill(pthread_t thread, int signo)
{
    return old_pthread_kill(thread, signo);
}

OURS int
pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
    return old_pthread_sigmask(how, set, old);
}

OURS int
fstat64(int fd, struct stat64 *status)
{
    return __fxstat64(STAT_LAYOUT, fd, status);
}

OURS int
stat64(const char *path, struct stat64 *status)
{
    return __xstat64(STAT_LAYOUT, path, status);
}

OURS int
lstat64(const char *path, struct stat64 *status)
{
    return __lxstat64(STAT_LAYOUT, path, status);
}

#else
typedef int glibc_has_only_one_version_of_everything; /* ISO C wants something in a file */
#endif
