/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * mmapguard run [--on-loss=fail|report|abort] [--no-children] [--] COMMAND [ARGUMENT...]
 *
 * Executes a command with the guard preloaded. The command replaces this program in its process, so no process waits
 * for it.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <mmapguard.h>

#include "program.h"
#include "terms.h"

extern char **environ;

static const char usage[] =
    "usage: mmapguard run [--on-loss=fail|report|abort] [--no-children] [--] COMMAND [ARGUMENT...]\n"
    "       mmapguard --help | --version\n"
    "\n"
    "Runs a command that maps files, and keeps it alive when a file that it has mapped is cut short, or its medium\n"
    "fails: lost bytes read as zeros. When the command ends, standard error says which bytes of which files were "
    "lost.\n"
    "\n"
    "  --on-loss=fail     after a loss, an exit status of 0 becomes 75 (the default)\n"
    "  --on-loss=report   the exit status stays as it is\n"
    "  --on-loss=abort    the first loss ends the command, with the exit status 75\n"
    "  --no-children      guard the command itself, and no program that it executes\n"
    "\n"
    "exit status: that of the command;  2 wrong arguments;  75 bytes were lost;\n"
    "             126 the command cannot be guarded or executed;  127 the command was not found\n";

struct request {
    enum on_loss on_loss;
    const char *on_loss_word;
    bool no_children;
    char **command;
};

/* ---------------------------------------------------------------------------------------------------- messages -- */

static __attribute__((format(printf, 1, 2))) void
complain(const char *format, ...)
{
    va_list arguments;

    fputs("mmapguard: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static int
refuse_usage(const char *what, const char *word)
{
    complain("%s%s%s%s (mmapguard --help)", what, word != NULL ? " '" : "", word != NULL ? word : "",
             word != NULL ? "'" : "");
    return EXIT_USAGE;
}

/* Prints a text to standard output. Returns the exit status. */
static int
answer(const char *text)
{
    if (fputs(text, stdout) >= 0 && fflush(stdout) == 0)
        return 0;
    complain("standard output: %s", strerror(errno));
    return 1;
}

/* ------------------------------------------------------------------------------------------------------- options -- */

/* Reads the words behind `run`. Returns 0, or the exit status for a mistake in them. */
static int
parse(char **words, struct request *request)
{
    static const char option[] = "--on-loss";

    *request = (struct request){.on_loss = ON_LOSS_FAIL, .on_loss_word = "fail"};
    for (; *words != NULL && (*words)[0] == '-' && strcmp(*words, "--") != 0; words++) {
        if (strcmp(*words, "--no-children") == 0) {
            request->no_children = true;
            continue;
        }
        if (strncmp(*words, option, sizeof option - 1) != 0 || strchr("=", (*words)[sizeof option - 1]) == NULL)
            return refuse_usage("there is no option", *words);
        if ((*words)[sizeof option - 1] == '=')
            request->on_loss_word = *words + sizeof option;
        else if (words[1] != NULL)
            request->on_loss_word = *++words;
        else
            return refuse_usage("--on-loss needs a word: fail, report or abort", NULL);
        if (!on_loss_parse(request->on_loss_word, &request->on_loss))
            return refuse_usage("--on-loss must be fail, report or abort, and not", request->on_loss_word);
    }
    if (*words != NULL && strcmp(*words, "--") == 0)
        words++;
    if (*words == NULL)
        return refuse_usage("there is no command to run", NULL);
    request->command = words;
    return 0;
}

/* --------------------------------------------------------------------------------------------------- environment -- */

/* Stores the folder in which this program is. Returns false when the system does not tell. */
static bool
own_folder(char folder[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", folder, PATH_MAX - 1);

    if (size > 0) {
        folder[size] = '\0';
    } else {
        /* Without /proc, use the path that the kernel has stored for the program. */
        const char *name = (const char *)getauxval(AT_EXECFN); /* NOLINT(performance-no-int-to-ptr): an address */
        if (name == NULL || realpath(name, folder) == NULL)
            return false;
    }
    char *slash = strrchr(folder, '/');
    if (slash == NULL)
        return false;
    *slash = '\0';
    return true;
}

/*
 * Finds the object to preload. In a build folder and in a wheel it is beside this program; otherwise it is in the
 * folder where it was installed. Returns false when there is none.
 */
static bool
find_object(char path[PATH_MAX])
{
    static const char *const places[] = {"", MMAPGUARD_OBJECT_FOLDER "/"};
    char folder[PATH_MAX], name[PATH_MAX];

    if (!own_folder(folder))
        return false;
    for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
        int size = snprintf(name, sizeof name, "%s/%s" PRELOAD_NAME, folder, places[i]);
        if (size > 0 && size < (int)sizeof name && access(name, R_OK) == 0 && realpath(name, path) != NULL)
            return true;
    }
    return false;
}

/*
 * Adds `word` to the end of a list in the environment, unless the list has the word already. Returns false without
 * memory.
 */
static bool
list_add(const char *variable, const char *word, const char *separators)
{
    const char *list = getenv(variable);
    const size_t size = strlen(word);

    for (const char *at = list; at != NULL && *at != '\0'; at += strspn(at, separators)) {
        size_t length = strcspn(at, separators);
        if (length == size && memcmp(at, word, size) == 0)
            return true;
        at += length;
    }
    if (list == NULL || *list == '\0')
        return setenv(variable, word, 1) == 0;
    char *longer = malloc(strlen(list) + size + 2);
    if (longer == NULL)
        return false;
    sprintf(longer, "%s:%s", list, word); /* the memory is for two texts, a colon and a NUL */
    bool done = setenv(variable, longer, 1) == 0;
    free(longer);
    return done;
}

/*
 * Sets the variables for the object, and adds it to the list of objects to preload. Objects that are on the list
 * already stay in front, since a sanitizer must be the first. Returns false without memory.
 */
static bool
prepare_environment(const struct request *request, const struct program *program, const char *object)
{
    return list_add(VARIABLE_PRELOAD, object, PRELOAD_SEPARATORS) &&
           setenv(VARIABLE_ON_LOSS, request->on_loss_word, 1) == 0 && unsetenv(VARIABLE_LOST) == 0 &&
           (request->no_children ? setenv(VARIABLE_NO_CHILDREN, "1", 1) : unsetenv(VARIABLE_NO_CHILDREN)) == 0 &&
           /* A program with AddressSanitizer refuses to run when another library comes first. */
           (!program->needs_asan || list_add("ASAN_OPTIONS", "verify_asan_link_order=0", ":"));
}

/* --------------------------------------------------------------------------------------------------------- running -- */

/* Returns true when the guard can be installed. Restores the action for SIGBUS, since the command inherits it. */
static bool
guard_is_possible(void)
{
    struct sigaction before;

    if (sigaction(SIGBUS, NULL, &before) != 0)
        return false;
    bool done = mmg_guard_install() == MMG_OK;
    (void)sigaction(SIGBUS, &before, NULL);
    return done;
}

/* Returns NULL when processes can be guarded on this system, else why not. */
static const char *
system_obstacle(void)
{
    const char *disabled = getenv("MMAPGUARD_NO_SIGNAL");

    if (disabled != NULL && disabled[0] != '\0' && strcmp(disabled, "0") != 0)
        return "MMAPGUARD_NO_SIGNAL is set in the environment";
    if (!guard_is_possible())
        return "no handler for SIGBUS can be installed on this system";
    if (mmg_supports(MMG_FEATURE_FOREIGN) != 1)
        return "the system does not tell what is mapped at an address (is /proc mounted?), or forbids replacing pages";
    return NULL;
}

static int
refuse(const char *what, const char *why)
{
    complain("%s %s", what, why);
    return EXIT_NOT_GUARDED;
}

/* Executes the program. Returns only when that fails, with the exit status for the failure. */
static int
execute(const struct program *program, char **command)
{
    execve(program->path, command, environ);
    if (errno == ENOEXEC) { /* the kernel does not know the format, so it is a script for the shell, as in execvp(3) */
        size_t count = 0;
        while (command[count] != NULL)
            count++;
        char **words = (char **)calloc(count + 2, sizeof *words);
        if (words != NULL) {
            words[0] = (char[]){"sh"};
            words[1] = (char *)program->path; /* the cast is safe, since execve(2) does not write to the arguments */
            memcpy((void *)(words + 2), (const void *)(command + 1), count * sizeof *words);
            execve("/bin/sh", words, environ);
            free((void *)words);
        }
    }
    complain("%s: %s", program->path, strerror(errno));
    return errno == ENOENT || errno == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_GUARDED;
}

static int
run(char **words)
{
    struct request request;
    struct program program;
    char object[PATH_MAX], blamed[PATH_MAX];
    int error = 0, status = parse(words, &request);

    if (status != 0)
        return status;
    const char *name = request.command[0];
    status = program_find(name, &program, &error);
    if (status != 0) {
        complain("%s: %s", name, status == EXIT_NOT_FOUND ? "command not found" : strerror(error));
        return status;
    }
    const char *obstacle = program_obstacle(&program, blamed);
    if (obstacle != NULL)
        return refuse(blamed, obstacle);
    obstacle = system_obstacle();
    if (obstacle != NULL)
        return refuse("nothing can be guarded:", obstacle);
    if (!find_object(object))
        return refuse(PRELOAD_NAME, "is missing: it should be beside this program, or in " MMAPGUARD_OBJECT_FOLDER);
    if (strpbrk(object, PRELOAD_SEPARATORS) != NULL)
        return refuse(object, "cannot be preloaded: the loader would end its path at the space or colon");
    if (!prepare_environment(&request, &program, object))
        return refuse("the environment:", strerror(errno));
    return execute(&program, request.command);
}

int
main(int argc, char **argv)
{
    if (argc < 2)
        return refuse_usage("there is nothing to do", NULL);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return answer(usage);
    if (strcmp(argv[1], "--version") == 0)
        return answer("mmapguard " MMAPGUARD_VERSION "\n");
    if (strcmp(argv[1], "run") != 0)
        return refuse_usage("there is no command", argv[1]);
    if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0))
        return answer(usage);
    return run(argv + 2);
}
