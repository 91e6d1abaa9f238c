/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A process that executes another program does not run its exit functions. So the report is written before the
 * execution, and a variable in the environment tells the next program that bytes were lost, since its exit status must
 * say so. The variable has the process id, which the next program keeps: a program without the guard hands the variable
 * down to its children, which have lost nothing.
 */
#include "preload.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

extern char **environ;

typedef int executor(const void *what, char *const *arguments, char *const *environment);

/* -------------------------------------------------------------------------------------------------- before and after -- */

static size_t
length(char *const *words)
{
    size_t count = 0;

    while (words != NULL && words[count] != NULL)
        count++;
    return count;
}

void
process_write(char to[MAX_PROCESS_SIZE], unsigned process)
{
    char digits[MAX_PROCESS_SIZE - 1];
    size_t count = 0;

    do
        digits[count++] = (char)('0' + process % 10);
    while ((process /= 10) != 0);
    while (count > 0)
        *to++ = digits[--count];
    *to = '\0';
}

/* Executes a program by one of the calls below. Returns only when the call has failed. */
static int
execute(executor *call, const void *what, char *const *arguments, char *const *environment)
{
    const bool is_ignored = signals_are_ignored(), has_lost = losses_are_there() && preload_is_here();
    int result;

    if (has_lost)
        losses_report(LOSSES_END_NONE);
    if (is_ignored)
        signals_uncover();
    if (has_lost && preload_on_loss() != ON_LOSS_REPORT) {
        const size_t count = length(environment);
        char *longer[count + 2]; /* on the stack, since a signal handler or a forked child must not allocate */
        char variable[] = VARIABLE_LOST "=0123456789";
        process_write(variable + sizeof VARIABLE_LOST, (unsigned)getpid());
        longer[0] = variable;
        for (size_t i = 0; i <= count; i++)
            longer[i + 1] = i < count ? environment[i] : NULL;
        result = call(what, arguments, longer);
    } else {
        result = call(what, arguments, environment);
    }
    const int failed = errno;
    if (is_ignored)
        signals_cover();
    errno = failed;
    return result;
}

/* ------------------------------------------------------------------------------- the calls, with equal arguments -- */

static int
by_path(const void *path, char *const *arguments, char *const *environment)
{
    return NEXT(execve)(path, arguments, environment);
}

static int
by_search(const void *name, char *const *arguments, char *const *environment)
{
    return NEXT(execvpe)(name, arguments, environment);
}

static int
by_descriptor(const void *fd, char *const *arguments, char *const *environment)
{
    return NEXT(fexecve)(*(const int *)fd, arguments, environment);
}

struct place {
    int folder, flags;
    const char *path;
};

static int
by_place(const void *what, char *const *arguments, char *const *environment)
{
    const struct place *place = what;

    return NEXT(execveat)(place->folder, place->path, arguments, environment, place->flags);
}

EXPORTED int
execve(const char *path, char *const arguments[], char *const environment[])
{
    return execute(by_path, path, arguments, environment);
}

EXPORTED int
execv(const char *path, char *const arguments[])
{
    return execute(by_path, path, arguments, environ);
}

EXPORTED int
execvpe(const char *name, char *const arguments[], char *const environment[])
{
    return execute(by_search, name, arguments, environment);
}

EXPORTED int
execvp(const char *name, char *const arguments[])
{
    return execute(by_search, name, arguments, environ);
}

EXPORTED int
fexecve(int fd, char *const arguments[], char *const environment[])
{
    return execute(by_descriptor, &fd, arguments, environment);
}

/* Declared here, since not every C library declares execveat(2). */
int execveat(int folder, const char *path, char *const arguments[], char *const environment[], int flags);

EXPORTED int
execveat(int folder, const char *path, char *const arguments[], char *const environment[], int flags)
{
    return execute(by_place, &(struct place){folder, flags, path}, arguments, environment);
}

/* -------------------------------------------------------------------------------------- arguments one after another -- */

/* Returns the number of words up to the NULL, including the first one. */
static size_t
count_words(va_list rest)
{
    size_t count = 1; /* the first word is not in the list */

    while (va_arg(rest, char *) != NULL)
        count++;
    return count;
}

/* Makes an array of the words. It is a macro, since the array must be on the stack of the caller. */
/* NOLINTBEGIN(bugprone-macro-parentheses): names of variables */
#define COLLECT_WORDS(words, first, rest)                                                                              \
    va_list rest, counted;                                                                                             \
    va_start(rest, first);                                                                                             \
    va_copy(counted, rest);                                                                                            \
    const size_t words##_count = count_words(counted);                                                                 \
    va_end(counted);                                                                                                   \
    char *words[words##_count + 1];                                                                                    \
    words[0] = (char *)(uintptr_t)(first);                                                                             \
    for (size_t i = 1; i <= words##_count; i++)                                                                        \
    words[i] = va_arg(rest, char *)
/* NOLINTEND(bugprone-macro-parentheses) */

EXPORTED int
execl(const char *path, const char *first, ...)
{
    COLLECT_WORDS(words, first, rest);
    va_end(rest);
    return execute(by_path, path, words, environ);
}

EXPORTED int
execlp(const char *name, const char *first, ...)
{
    COLLECT_WORDS(words, first, rest);
    va_end(rest);
    return execute(by_search, name, words, environ);
}

EXPORTED int
execle(const char *path, const char *first, ...)
{
    COLLECT_WORDS(words, first, rest);
    char *const *environment = va_arg(rest, char *const *);
    va_end(rest);
    return execute(by_path, path, words, environment);
}
