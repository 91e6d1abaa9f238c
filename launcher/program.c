/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The loader that a program names preloads objects. A program without a loader, with the loader of another C library,
 * or with more rights than its caller would run without the object, and would not say so. So this file finds such
 * programs before they run.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "elf_file.h"
#include "terms.h"

#define DEFAULT_SEARCH "/bin:/usr/bin"
/* The kernel reads so many bytes of a script's first line, and follows so many interpreters. */
#define LINE_SIZE 256
#define MAX_INTERPRETERS 5

/* ------------------------------------------------------------------------------------------------------- finding -- */

/* Returns 0 when the file can be executed, else the errno that execve(2) would set. */
static int
execution_error(const char *path)
{
    struct stat status;

    if (stat(path, &status) != 0)
        return errno;
    if (!S_ISREG(status.st_mode))
        return EACCES;
    return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0 ? 0 : errno;
}

/* Stores an errno, and returns the exit status for it; 0 when there is no error. */
static int
outcome(int error, int *stored)
{
    *stored = error;
    if (error == 0)
        return 0;
    return error == ENOENT || error == ENOTDIR ? EXIT_NOT_FOUND : EXIT_NOT_GUARDED;
}

/* Joins a folder and a name to a path. Returns false when the path is too long. */
static bool
join(char path[PATH_MAX], const char *folder, size_t size, const char *name)
{
    int length = size == 0 ? snprintf(path, PATH_MAX, "./%s", name)
                           : snprintf(path, PATH_MAX, "%.*s/%s", (int)size, folder, name);

    return length > 0 && length < PATH_MAX;
}

int
program_find(const char *name, struct program *program, int *error)
{
    const char *search = getenv("PATH");
    int worst = ENOENT;

    if (strchr(name, '/') != NULL) {
        const size_t size = strlen(name) + 1;
        if (size > sizeof program->path)
            return outcome(ENAMETOOLONG, error);
        memcpy(program->path, name, size);
        return outcome(execution_error(program->path), error);
    }
    if (name[0] == '\0')
        return outcome(ENOENT, error);
    for (const char *folder = search != NULL ? search : DEFAULT_SEARCH, *end; folder != NULL; folder = end) {
        size_t size = strcspn(folder, ":");
        end = folder[size] == ':' ? folder + size + 1 : NULL;
        int failed = join(program->path, folder, size, name) ? execution_error(program->path) : ENAMETOOLONG;
        if (failed == 0)
            return outcome(0, error);
        if (failed == EACCES)
            worst = EACCES;
    }
    return outcome(worst, error);
}

/* ----------------------------------------------------------------------------------------------------- obstacles -- */

/* Returns true when executing the file gives rights that the caller does not have. The loader preloads nothing then. */
static bool
gives_rights(int fd)
{
    struct stat status;
    struct statvfs system;

    if (fstat(fd, &status) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
        (fstatvfs(fd, &system) == 0 && (system.f_flag & ST_NOSUID) != 0))
        return false;
    if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid())
        return true;
    if ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && status.st_gid != getgid())
        return true;
    return getuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

static const char *
base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash != NULL ? slash + 1 : path;
}

/* Returns NULL when an object can be preloaded into an ELF file, else the end of a sentence that says why not. */
static const char *
elf_obstacle(int fd, const struct elf_facts *facts)
{
    const char *own = elf_own_interpreter();

    if (!facts->is_native)
        return "is a program for another kind of processor or word size";
    if (!facts->is_loaded)
        return "is linked statically, so that nothing can be preloaded into it";
    if (own[0] != '\0' && strcmp(base_name(facts->interpreter), base_name(own)) != 0)
        return "uses another C library";
    if (facts->is_go)
        return "was made by Go, whose runtime handles SIGBUS by itself";
    return gives_rights(fd)
               ? "is set-user-ID, set-group-ID or has capabilities, and the loader preloads nothing into it"
               : NULL;
}

/* Stores the path of the interpreter that a script names. Returns false when the file is not a script. */
static bool
interpreter_of(int fd, char path[PATH_MAX])
{
    char line[LINE_SIZE + 1] = "";

    if (pread(fd, line, LINE_SIZE, 0) < 2 || strncmp(line, "#!", 2) != 0)
        return false;
    const char *start = line + 2 + strspn(line + 2, " \t");
    size_t size = strcspn(start, " \t\r\n");
    memcpy(path, start, size);
    path[size] = '\0';
    return size > 0;
}

const char *
program_obstacle(struct program *program, char blamed[PATH_MAX])
{
    static const char shell[] = "/bin/sh";

    memcpy(blamed, program->path, sizeof program->path);
    if (getuid() != geteuid() || getgid() != getegid())
        return "cannot be guarded by a process whose effective user or group differs from the real one";
    for (int i = 0; i < MAX_INTERPRETERS; i++) {
        struct elf_facts facts;
        int fd = open(blamed, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return NULL;
        if (elf_read(fd, &facts)) {
            const char *obstacle = elf_obstacle(fd, &facts);
            program->needs_asan = facts.needs_asan;
            close(fd);
            return obstacle;
        }
        bool has_interpreter = interpreter_of(fd, blamed);
        close(fd);
        if (!has_interpreter) {
            /* When the kernel does not know the format of a file, execvp(3) has the shell run it as a script. */
            if (strcmp(blamed, shell) == 0)
                return NULL;
            memcpy(blamed, shell, sizeof shell);
        }
    }
    return NULL;
}
