/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "storm_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

/* --------------------------------------------------------------------------------------------------- the process -- */

static void
rewrite_until_told(const struct storm *storm, int commands)
{
    int file = open(storm->path, O_RDWR | O_CLOEXEC);
    REQUIRE(file >= 0);
    REQUIRE(fcntl(commands, F_SETFL, O_NONBLOCK) == 0);
    char byte;
    for (unsigned turn = 1; read(commands, &byte, 1) != 1; turn++) {
        REQUIRE(storm_write_version(storm, file, turn % 2, 0, STORM_SIZE) == 0);
    }
    REQUIRE(fcntl(commands, F_SETFL, 0) == 0);
    close(file);
}

static void
empty_and_write_another(const struct storm *storm)
{
    int file = open(storm->path, O_RDONLY | O_TRUNC | O_CLOEXEC);
    REQUIRE(file >= 0 || errno == EACCES); /* NFS refuses the call */
    if (file >= 0) {
        close(file);
    }
    file = open(storm->path, O_WRONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    REQUIRE(storm_write_version(storm, file, 1, 0, STORM_SIZE) == 0);
    close(file);
}

/** Carries out a command. Returns the descriptor that stays open for writing, or -1. */
static int
obey(const struct storm *storm, enum storm_command command)
{
    int file = -1;
    if (command == KEEP_EMPTY) {
        empty_and_write_another(storm);
    } else if (command != KEEP_CLOSE) {
        file = storm_restore(storm);
    }
    if (file >= 0 && command != KEEP_OPEN) {
        close(file);
        file = -1;
    }
    return file;
}

static void
keep(const struct storm *storm, int commands, int answers)
{
    int file = -1;
    char byte;
    while (read(commands, &byte, 1) == 1) {
        if (file >= 0) {
            close(file);
        }
        file = obey(storm, (enum storm_command)byte);
        REQUIRE(write(answers, &byte, 1) == 1);
        if (byte == KEEP_REWRITE) {
            rewrite_until_told(storm, commands);
            REQUIRE(write(answers, &byte, 1) == 1);
        }
    }
}

static void
remove_files(const struct storm *storm)
{
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", storm->path);
    unlink(storm->path);
    unlink(storm->spare);
    rmdir(dirname(folder));
}

void
storm_keeper_start(struct storm_keeper *keeper, const struct storm *storm, bool removes)
{
    int commands[2];
    int answers[2];
    REQUIRE(pipe2(commands, O_CLOEXEC) == 0 && pipe2(answers, O_CLOEXEC) == 0);
    fflush(NULL);
    keeper->process = fork();
    REQUIRE(keeper->process >= 0);
    if (keeper->process == 0) {
        close(commands[1]);
        close(answers[0]);
        close(storm->commands); /* otherwise the writer would wait for this process */
        keep(storm, commands[0], answers[1]);
        if (removes) {
            remove_files(storm);
        }
        _exit(check_failures() != 0);
    }
    close(commands[0]);
    close(answers[1]);
    keeper->commands = commands[1];
    keeper->answers = answers[0];
}

void
storm_keeper_stop(struct storm_keeper *keeper)
{
    int wait_status = 0;
    close(keeper->commands);
    close(keeper->answers);
    REQUIRE(waitpid(keeper->process, &wait_status, 0) == keeper->process);
    CHECK_EXITED(wait_status);
}

/* ------------------------------------------------------------------------------------------------------ commands -- */

void
storm_keeper_ask(const struct storm_keeper *keeper, enum storm_command command)
{
    const char byte = (char)command;
    REQUIRE(write(keeper->commands, &byte, 1) == 1);
}

bool
storm_keeper_has_answered(const struct storm_keeper *keeper)
{
    struct pollfd answer = {.fd = keeper->answers, .events = POLLIN};
    return poll(&answer, 1, 0) == 1;
}

void
storm_keeper_hear(const struct storm_keeper *keeper)
{
    char answer;
    REQUIRE(read(keeper->answers, &answer, 1) == 1);
}

void
storm_keeper_tell(const struct storm_keeper *keeper, enum storm_command command)
{
    storm_keeper_ask(keeper, command);
    storm_keeper_hear(keeper);
}
