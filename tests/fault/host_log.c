/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The lines that the host writes. A handler may call every function here except number_in().
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include "host.h"

size_t page;
bool twin;

void
put(struct line *line, const char *text)
{
    while (*text != '\0' && line->used < sizeof line->text - 1) {
        line->text[line->used++] = *text++;
    }
}

void
put_number(struct line *line, uint64_t number, unsigned base)
{
    char digits[24];
    size_t at = sizeof digits;
    digits[--at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    put(line, digits + at);
}

void
put_signed(struct line *line, int64_t number)
{
    if (number < 0) {
        put(line, "-");
    }
    put_number(line, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, 10);
}

void
flush_line(struct line *line, int descriptor)
{
    const char *text = line->text;
    line->text[line->used++] = '\n';
    while (line->used > 0) {
        ssize_t written = write(descriptor, text, line->used);
        if (written < 0 && errno != EINTR) {
            _exit(98);
        }
        if (written > 0) {
            text += written;
            line->used -= (size_t)written;
        }
    }
}

void
say(const char *text)
{
    struct line line = {{0}, 0};
    put(&line, text);
    flush_line(&line, STDOUT_FILENO);
}

_Noreturn void
fail(const char *what, int64_t number)
{
    struct line line = {{0}, 0};
    put(&line, "host: ");
    put(&line, what);
    put(&line, ": ");
    put_signed(&line, number);
    flush_line(&line, STDERR_FILENO);
    _exit(99);
}

void
need(bool ok, const char *what)
{
    if (!ok) {
        fail(what, errno);
    }
}

int
number_in(const char *text)
{
    char *end = NULL;
    long number = strtol(text, &end, 10);
    need(end != text && *end == '\0' && number >= -1000000 && number <= 1000000, text);
    return (int)number;
}

void
put_mask(struct line *line)
{
    sigset_t mask;
    uint64_t bits = 0;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    for (int signal_number = 1; signal_number <= 64; signal_number++) {
        if (sigismember(&mask, signal_number) == 1) {
            bits |= UINT64_C(1) << (signal_number - 1);
        }
    }
    put(line, " mask=");
    put_number(line, bits, 16);
}
