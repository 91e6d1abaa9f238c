/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program that does not know of mmapguard. Its arguments are the steps that it takes: victim STEP...
 *
 *   lose            map a file, cut it, read it, print the number of bytes that are left
 *   lose-shared     the same with a shared mapping that can be written to, which the launcher leaves alone
 *   handler=HOW     install a handler: sigaction, signal, sysv, sigset, bsd; print what was there before
 *   ignore, default, query, raise, hold
 *   thread          do the rest in a thread; fork: in a child, whose end is printed; vfork: run the rest by execv(3), with the default action for the
 *                   signal or, vfork-ignored, the one that is there
 *   execv, execl, execle, execvp, fexecve     do the rest in this program, executed anew
 *   close-stderr, reuse-stderr
 *   sandbox         be killed for every system call from now on that this program does not make itself
 *   exit=N, _exit=N, _Exit=N, quick_exit=N, abort, pthread_exit, return=N
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIZE (1u << 20)
#define LEFT 5000u

extern char **environ;

/* With strict feature macros signal(3) is this function. Every C library has it, but not every one declares it. */
sighandler_t __sysv_signal(int signo, sighandler_t handler);

static char *self;
static sigjmp_buf way_out;
static volatile sig_atomic_t has_way_out;

static int perform(char **steps);

static void
fail(const char *what)
{
    perror(what);
    _exit(90);
}

static void
say(const char *text)
{
    if (printf("%s\n", text) < 0 || fflush(stdout) != 0)
        fail("stdout");
}

static void
own_handler(int signo)
{
    if (write(STDOUT_FILENO, "caught\n", 7) != 7)
        _exit(91);
    if (has_way_out)
        siglongjmp(way_out, signo);
}

/* Maps a file full of ones, cuts it to LEFT bytes, and counts the ones that it can read. */
static void
lose(bool is_shared)
{
    const char *name = is_shared ? "shared" : "lost";
    char *bytes = malloc(SIZE);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || bytes == NULL)
        fail(name);
    memset(bytes, 1, SIZE);
    if (write(fd, bytes, SIZE) != SIZE)
        fail("write");
    free(bytes);
    /* A byte that is left is a one, so a word has as many bits as it has such bytes. */
    volatile uint64_t *map = mmap(NULL, SIZE, is_shared ? PROT_READ | PROT_WRITE : PROT_READ,
                                  is_shared ? MAP_SHARED : MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        fail("mmap");
    close(fd);
    if (truncate(name, LEFT) != 0)
        fail("truncate");
    unsigned left = 0;
    has_way_out = 1;
    if (sigsetjmp(way_out, 1) == 0)
        for (unsigned i = 0; i < SIZE / sizeof *map; i++)
            left += (unsigned)__builtin_popcountll(map[i]);
    has_way_out = 0;
    printf("left %u\n", left);
    fflush(stdout);
    munmap((void *)map, SIZE);
}

static const char *
name_of(sighandler_t handler)
{
    return handler == SIG_DFL       ? "default"
           : handler == SIG_IGN     ? "ignored"
           : handler == SIG_HOLD    ? "held"
           : handler == own_handler ? "own"
           : handler == SIG_ERR     ? "error"
                                    : "foreign";
}

static sighandler_t
install(const char *how, sighandler_t handler)
{
    struct sigaction fresh = {.sa_flags = 0}, old;

    if (strcmp(how, "signal") == 0)
        return signal(SIGBUS, handler);
    if (strcmp(how, "sysv") == 0)
        return __sysv_signal(SIGBUS, handler);
    if (strcmp(how, "sigset") == 0)
        return sigset(SIGBUS, handler);
    fresh.sa_handler = handler;
    return sigaction(SIGBUS, &fresh, &old) == 0 ? old.sa_handler : SIG_ERR;
}

static void
query(void)
{
    struct sigaction now;

    say(sigaction(SIGBUS, NULL, &now) == 0 ? name_of(now.sa_handler) : "error");
}

static void *
in_thread(void *steps)
{
    perform(steps);
    return NULL;
}

static void
tell_end(pid_t child)
{
    int status;

    if (waitpid(child, &status, 0) != child)
        fail("waitpid");
    printf("child %s %d\n", WIFEXITED(status) ? "exited" : "killed",
           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    fflush(stdout);
}

/* Returns a command line: the program itself, followed by the steps that are left. */
static char **
command_of(char **steps)
{
    steps[-1] = self;
    return steps - 1;
}

static bool
execute(const char *how, char **steps)
{
    char **command = command_of(steps);

    if (strcmp(how, "execv") == 0)
        execv(self, command);
    else if (strcmp(how, "execvp") == 0)
        execvp(self, command);
    else if (strcmp(how, "execl") == 0)
        execl(self, command[0], command[1], NULL);
    else if (strcmp(how, "execle") == 0)
        execle(self, command[0], command[1], NULL, environ);
    else if (strcmp(how, "fexecve") == 0)
        fexecve(open(self, O_RDONLY), command, environ);
    else if (strcmp(how, "exec-nothing") == 0)
        return execv("/nonexistent", command) == -1 && errno == ENOENT;
    else
        return false;
    fail(how);
    return false;
}

static bool
end(const char *step)
{
    const char *number = strchr(step, '=');
    const int code = number != NULL ? atoi(number + 1) : 0;

    if (strncmp(step, "exit=", 5) == 0)
        exit(code);
    if (strncmp(step, "_exit=", 6) == 0)
        _exit(code);
    if (strncmp(step, "_Exit=", 6) == 0)
        _Exit(code);
    if (strncmp(step, "quick_exit=", 11) == 0)
        quick_exit(code);
    if (strcmp(step, "abort") == 0)
        abort();
    if (strcmp(step, "pthread_exit") == 0)
        pthread_exit(NULL);
    return false;
}

static bool
be_child(const char *step, char **steps)
{
    pthread_t thread;
    pid_t child;

    if (strcmp(step, "thread") == 0) {
        if (pthread_create(&thread, NULL, in_thread, steps) != 0 || pthread_join(thread, NULL) != 0)
            fail("pthread_create");
        return true;
    }
    if (strcmp(step, "fork") == 0) {
        child = fork();
        if (child == 0)
            exit(perform(steps));
        tell_end(child);
        return true;
    }
    if (strcmp(step, "vfork") == 0 || strcmp(step, "vfork-ignored") == 0) {
        char **command = command_of(steps);
        child = vfork(); /* NOLINT: the step tests vfork(2) */
        if (child == 0) {
            if (step[5] == '\0')
                signal(SIGBUS, SIG_DFL);
            execv(self, command);
            _exit(92);
        }
        tell_end(child);
        return true;
    }
    return false;
}

static bool
redirect(const char *step)
{
    if (strcmp(step, "close-stderr") != 0 && strcmp(step, "reuse-stderr") != 0)
        return false;
    close(STDERR_FILENO);
    if (step[0] == 'r' && open("reused", O_WRONLY | O_CREAT | O_TRUNC, 0600) != STDERR_FILENO)
        fail("reused");
    return true;
}

static bool
enter_sandbox(const char *step)
{
    static const unsigned allowed[] = {SYS_write, SYS_exit_group, SYS_execve};
    struct sock_filter rules[sizeof allowed / sizeof allowed[0] * 2 + 2];
    struct sock_fprog filter = {.filter = rules};

    if (strcmp(step, "sandbox") != 0)
        return false;
    rules[filter.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0); /* the number of the call */
    for (unsigned i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        rules[filter.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, allowed[i], 0, 1);
        rules[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    }
    rules[filter.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
        fail("seccomp");
    return true;
}

/* Takes the steps. Returns the exit status. */
static int
perform(char **steps)
{
    for (; *steps != NULL; steps++) {
        const char *step = *steps;
        if (strcmp(step, "lose") == 0 || strcmp(step, "lose-shared") == 0)
            lose(step[4] != '\0');
        else if (strncmp(step, "handler=", 8) == 0)
            say(name_of(install(step + 8, own_handler)));
        else if (strcmp(step, "ignore") == 0 || strcmp(step, "default") == 0)
            say(name_of(install("sigaction", step[0] == 'i' ? SIG_IGN : SIG_DFL)));
        else if (strcmp(step, "hold") == 0)
            say(name_of(sigset(SIGBUS, SIG_HOLD)));
        else if (strcmp(step, "query") == 0)
            query();
        else if (strcmp(step, "raise") == 0)
            raise(SIGBUS);
        else if (strncmp(step, "signal=", 7) == 0)
            raise(atoi(step + 7));
        else if (strncmp(step, "return=", 7) == 0)
            return atoi(step + 7);
        else if (be_child(step, steps + 1))
            return 0;
        else if (!redirect(step) && !enter_sandbox(step) && !execute(step, steps + 1) && !end(step)) {
            fprintf(stderr, "victim: there is no step '%s'\n", step);
            return 93;
        }
    }
    return 0;
}

int
main(int argc, char **argv)
{
    self = argv[0];
    return argc < 2 ? 94 : perform(argv + 1);
}
