/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The report: one block on standard error, a line for each file that lost bytes. It is written when the process ends, and
 * possibly in a signal handler: no memory is allocated, and no stream is used.
 *
 * Losses of regions that the program has opened with mmapguard itself are not in it. The program is told of them.
 */
#include "preload.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <mmapguard.h>

#define MAX_FILES 16  /* that a report names */
#define MAX_TEXT 8192 /* bytes of a report */
#define PATIENCE_MS 1000

/* What a file lost in one way: the bytes from the first to the last one that is lost. */
struct lost_file {
    uint64_t device, inode, start, end;
    mmg_status cause;
    uint64_t count;
    char path[sizeof((mmg_loss *)NULL)->path];
};

/* What a report is made of. Static, since the stack of a handler may be small; for one thread at a time. */
static struct {
    struct lost_file files[MAX_FILES];
    unsigned count;
    uint64_t losses; /* that were read from the ledger */
    uint64_t more;   /* of these, the ones of further files */
    mmg_loss loss;
    char text[MAX_TEXT];
    size_t size;
} report;
static atomic_flag is_reporting = ATOMIC_FLAG_INIT;

static _Atomic uint64_t begun_at; /* marks of the ledger */
static uint64_t told_up_to;
static _Atomic uint64_t told;      /* losses */
static _Atomic uint64_t not_ours;  /* losses before this process began */
static _Atomic bool has_inherited; /* a program that executed this one has lost bytes */
static struct stat standard_error; /* as it was at the start; no i-node: it was closed */

/* --------------------------------------------------------------------------------------------------------- ledger -- */

/* Losses that were told to nobody else, since the process began or its parent did. */
static uint64_t
losses_ever(void)
{
    mmg_stats stats = MMG_STATS_INIT;

    return mmg_stats_get(&stats) == MMG_OK ? stats.losses_foreign : 0;
}

/* The mark of the ledger now. No system call. */
static uint64_t
mark_now(void)
{
    uint64_t count, mark = 0;

    return mmg_losses_get(0, NULL, 0, &count, &mark) == MMG_OK ? mark : 0;
}

/* The ledger is asked first: a program in a sandbox of its own may be killed for a system call that it did not make. */
static uint64_t
losses_now(void)
{
    return mark_now() == atomic_load(&begun_at) ? 0 : losses_ever() - atomic_load(&not_ours);
}

void
losses_begin(void)
{
    told_up_to = mark_now();
    atomic_store(&begun_at, told_up_to);
    atomic_store(&not_ours, losses_ever());
    atomic_store(&told, 0);
    atomic_flag_clear(&is_reporting);
}

void
losses_look_at_standard_error(void)
{
    if (fstat(STDERR_FILENO, &standard_error) != 0)
        standard_error.st_ino = 0;
}

void
losses_inherit(void)
{
    atomic_store(&has_inherited, true);
}

bool
losses_are_there(void)
{
    return atomic_load(&has_inherited) || losses_now() > 0;
}

/* Reads the next record into the report. Returns false when there is none. */
static bool
next_loss(void)
{
    uint64_t count = 0;

    report.loss.struct_size = sizeof report.loss;
    return mmg_losses_get(told_up_to, &report.loss, 1, &count, &told_up_to) == MMG_OK && count == 1;
}

/* The file that a loss belongs to; NULL when there is no room for one more. */
static struct lost_file *
file_of(const mmg_loss *loss)
{
    for (unsigned i = 0; i < report.count; i++) {
        struct lost_file *file = &report.files[i];
        if (file->device == loss->device && file->inode == loss->inode && file->cause == loss->cause)
            return file;
    }
    if (report.count == MAX_FILES)
        return NULL;
    struct lost_file *file = &report.files[report.count++];
    *file = (struct lost_file){.device = loss->device, .inode = loss->inode, .start = UINT64_MAX, .cause = loss->cause};
    memcpy(file->path, loss->path, sizeof file->path);
    return file;
}

static void
collect(void)
{
    report.count = 0;
    report.losses = report.more = 0;
    while (next_loss()) {
        const mmg_loss *loss = &report.loss;
        if (loss->origin != MMG_ORIGIN_FOREIGN)
            continue;
        report.losses++;
        struct lost_file *file = file_of(loss);
        if (file == NULL) {
            report.more++;
            continue;
        }
        file->count++;
        if (loss->offset < file->start)
            file->start = loss->offset;
        if (loss->offset + loss->length > file->end)
            file->end = loss->offset + loss->length;
    }
}

/* ----------------------------------------------------------------------------------------------------------- text -- */

static void
add(const char *text)
{
    for (; *text != '\0' && report.size < sizeof report.text; text++)
        report.text[report.size++] = *text;
}

static void
add_number(uint64_t number)
{
    char digits[24], *at = digits + sizeof digits;

    *--at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    add(at);
}

/* "1 loss", "2 losses". */
static void
add_count(uint64_t number, const char *one, const char *many)
{
    add_number(number);
    add(number == 1 ? one : many);
}

/* A path may hold anything, and the report may go to a terminal: control characters are spelled in hexadecimal. */
static void
add_path(const char *path)
{
    static const char digits[] = "0123456789abcdef";

    for (; *path != '\0'; path++) {
        unsigned char byte = (unsigned char)*path;
        if (byte < 0x20 || byte == 0x7f || byte == '\\')
            add((char[]){'\\', 'x', digits[byte >> 4], digits[byte & 15], '\0'});
        else
            add((char[]){*path, '\0'});
    }
}

static const char *
cause_of(mmg_status status)
{
    switch (status) {
    case MMG_E_TRUNCATED:
        return "the file was cut short";
    case MMG_E_IO:
        return "its medium failed";
    case MMG_E_POISONED:
        return "the memory failed";
    default:
        return mmg_status_name(status);
    }
}

static void
add_file(const struct lost_file *file)
{
    add("mmapguard:   ");
    if (file->path[0] != '\0') {
        add_path(file->path);
    } else {
        add("a file whose path is not known, i-node ");
        add_number(file->inode);
    }
    add(": ");
    add_count(file->end - file->start, " byte", " bytes");
    add(" from offset ");
    add_number(file->start);
    add(", ");
    add(cause_of(file->cause));
    add(" (");
    add_count(file->count, " loss)\n", " losses)\n");
}

static void
compose(enum losses_end end)
{
    const uint64_t before = atomic_load(&told), now = losses_now();

    report.size = 0;
    add("mmapguard: ");
    add(program_invocation_short_name);
    add("[");
    add_number((uint64_t)getpid());
    add("]: ");
    add(now > before ? "bytes of mapped files were lost, and read as zeros:\n"
                     : "bytes were lost by the program that executed this one\n");
    for (unsigned i = 0; i < report.count; i++)
        add_file(&report.files[i]);
    const uint64_t unnamed = report.more + (now - before - report.losses);
    if (unnamed > 0) {
        add("mmapguard:   and ");
        add_count(unnamed, " loss more\n", " losses more\n");
    }
    if (end == LOSSES_END_STATUS)
        add("mmapguard: the exit status is 75 in place of 0\n");
    if (end == LOSSES_END_ABORT)
        add("mmapguard: ended at the first loss, as --on-loss=abort wants it\n");
}

/* -------------------------------------------------------------------------------------------------------- writing -- */

/* Returns true when standard error is what it was at the start. A program may have closed it, and opened a file of its own
   in its place. */
static bool
is_standard_error_there(void)
{
    struct stat now;

    return standard_error.st_ino != 0 && fstat(STDERR_FILENO, &now) == 0 && now.st_ino == standard_error.st_ino &&
           now.st_dev == standard_error.st_dev;
}

static void
write_text(void)
{
    for (size_t done = 0; done < report.size;) {
        ssize_t size = write(STDERR_FILENO, report.text + done, report.size - done);
        struct pollfd reader = {.fd = STDERR_FILENO, .events = POLLOUT};
        if (size >= 0)
            done += (size_t)size;
        else if (errno != EINTR && (errno != EAGAIN || poll(&reader, 1, PATIENCE_MS) <= 0))
            return;
    }
}

/* Writing to a pipe that nobody reads, or behind the largest size of files, raises a signal that would end the program. */
static void
write_quietly(void)
{
    sigset_t all, raised, pending, before;

    if (!is_standard_error_there())
        return;
    sigfillset(&all);
    sigemptyset(&raised);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    sigpending(&pending);
    if (sigismember(&pending, SIGPIPE) == 0)
        sigaddset(&raised, SIGPIPE);
    if (sigismember(&pending, SIGXFSZ) == 0)
        sigaddset(&raised, SIGXFSZ);
    write_text();
    while (sigtimedwait(&raised, NULL, &(struct timespec){.tv_sec = 0}) > 0)
        continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void
losses_report(enum losses_end end)
{
    const int saved = errno;

    /* Another thread is at it, or this one was, when a signal came: one report is enough. */
    if (atomic_flag_test_and_set(&is_reporting))
        return;
    if (losses_now() > atomic_load(&told) || (end == LOSSES_END_STATUS && losses_are_there())) {
        collect();
        compose(end);
        write_quietly();
        atomic_store(&told, losses_now());
    }
    atomic_flag_clear(&is_reporting);
    errno = saved;
}
