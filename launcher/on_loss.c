/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The report is one block of text on standard error, with a line for each file that lost bytes. The process writes it
 * when it ends, which may be in a signal handler. So the code here does not allocate memory and does not use streams.
 *
 * The report leaves out losses in regions that the program has opened with mmapguard itself, since the program gets a
 * status for those.
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

#define MAX_FILES 16  /* the number of files that a report names */
#define MAX_TEXT 8192 /* the size of a report in bytes */
#define PATIENCE_MS 1000

/* The losses of one file by one cause. Bytes from `start` up to `end` are lost, not necessarily all of them. */
struct lost_file {
    uint64_t device, inode, start, end;
    mmg_status cause;
    uint64_t count;
    char path[sizeof((mmg_loss *)NULL)->path];
};

/*
 * The contents of a report. They are static, since the stack of a handler may be small. Only the thread that has set
 * `is_reporting` uses them.
 */
static struct {
    struct lost_file files[MAX_FILES];
    unsigned count;
    uint64_t losses; /* the number of records that were read from the ledger */
    uint64_t more;   /* how many of these belong to files that the report does not name */
    mmg_loss loss;
    char text[MAX_TEXT];
    size_t size;
} report;
static atomic_flag is_reporting = ATOMIC_FLAG_INIT;

static _Atomic uint64_t begun_at;    /* the newest record of the ledger when the process began */
static uint64_t reported_up_to;      /* the newest record of the ledger that a report was about */
static _Atomic uint64_t reported;    /* the number of losses that were reported */
static _Atomic uint64_t lost_before; /* the number of losses before this process began */
static _Atomic bool has_inherited;   /* the program that executed this one has lost bytes */
static struct stat standard_error;   /* as it was at the start; the inode is 0 when it was closed */

/* --------------------------------------------------------------------------------------------------------- ledger -- */

/* Returns the number of losses in foreign mappings, including those of the parent process before a fork. */
static uint64_t
losses_ever(void)
{
    mmg_stats stats = MMG_STATS_INIT;

    return mmg_stats_get(&stats) == MMG_OK ? stats.losses_foreign : 0;
}

/* Returns the number of the newest record in the ledger. Makes no system call. */
static uint64_t
mark_now(void)
{
    uint64_t count, mark = 0;

    return mmg_losses_get(0, NULL, 0, &count, &mark) == MMG_OK ? mark : 0;
}

/*
 * Returns the number of losses in foreign mappings since the process began. The ledger is read first, since that needs
 * no system call: the sandbox of a program may kill it for a system call that the program itself does not make.
 */
static uint64_t
losses_now(void)
{
    return mark_now() == atomic_load(&begun_at) ? 0 : losses_ever() - atomic_load(&lost_before);
}

void
losses_begin(void)
{
    reported_up_to = mark_now();
    atomic_store(&begun_at, reported_up_to);
    atomic_store(&lost_before, losses_ever());
    atomic_store(&reported, 0);
    atomic_flag_clear(&is_reporting);
    atomic_store(&has_inherited, false);
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

/* Reads the next record into the report. Returns false when there is no further record. */
static bool
next_loss(void)
{
    uint64_t count = 0;

    report.loss.struct_size = sizeof report.loss;
    return mmg_losses_get(reported_up_to, &report.loss, 1, &count, &reported_up_to) == MMG_OK && count == 1;
}

/* Returns the entry of the report for the file of a loss, or NULL when the report has no room for another file. */
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

/* Reads all new records, and adds them up by file and cause. */
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

/* Adds "1 loss", or "2 losses". */
static void
add_count(uint64_t number, const char *one, const char *many)
{
    add_number(number);
    add(number == 1 ? one : many);
}

/*
 * Adds a path. A path may have control characters, and the report may go to a terminal, so they are written in
 * hexadecimal.
 */
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
    const uint64_t before = atomic_load(&reported), now = losses_now();

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
        add_count(unnamed, " more loss\n", " more losses\n");
    }
    if (end == LOSSES_END_STATUS)
        add("mmapguard: the exit status is 75 in place of 0\n");
    if (end == LOSSES_END_ABORT)
        add("mmapguard: the process ends at its first loss, because of --on-loss=abort\n");
}

/* -------------------------------------------------------------------------------------------------------- writing -- */

/*
 * Returns true when standard error is still the file that it was at the start. A program may have closed it and opened
 * a file of its own, which got the same descriptor.
 */
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

/*
 * Writes the report, and takes back the signals that writing may raise: SIGPIPE for a pipe without a reader, and
 * SIGXFSZ at the limit on file sizes. They would end the program.
 */
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

    /* Another thread is writing the report, or this thread was when a signal came. One report is enough. */
    if (atomic_flag_test_and_set(&is_reporting))
        return;
    if (losses_now() > atomic_load(&reported) || (end == LOSSES_END_STATUS && losses_are_there())) {
        collect();
        compose(end);
        write_quietly();
        atomic_store(&reported, losses_now());
    }
    atomic_flag_clear(&is_reporting);
    errno = saved;
}
