/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A sparse file of 100 GB is mapped and cut to nothing. The next touch is timed, from the load to its (zero) result,
 * and the signals for the whole mapping are counted. For comparison, a process of its own has two handlers by hand. One
 * does the least that any handler must do, one fstat and one mmap over the tail; the other replaces one page for each
 * signal.
 */
#include "child.h"
#include "contenders.h"
#include "measure.h"
#include "works.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    GROUPS = 11,
    GROUP = 10, /* so many rounds of one side follow each other */
    ROUNDS = GROUPS * GROUP,
    PROBED_ROUNDS = 5,
    PROBES = 10000,
    PAGES_BY_HAND = 2000,
};

static const uint64_t hundred_gb = 100000000000U;

static uint8_t
load(const uint8_t *at)
{
    return *(const volatile uint8_t *)at;
}

/* Return the nanoseconds from a touch to its result. */
static double
time_touch(const uint8_t *at)
{
    const uint64_t start = now_ns();
    keep(load(at));
    return (double)(now_ns() - start);
}

/*
 * Do one round. Store the nanoseconds to the recovery, and the number of signals after touches in all places. Returns
 * false when the loss was not contained or not reported.
 */
static bool
cut_and_touch(const char *path, int fd, unsigned int probes, double *nanoseconds, double *signals)
{
    mmg_handle region = 0;
    mmg_span span;
    mmg_info info = MMG_INFO_INIT;
    if (ftruncate(fd, (off_t)hundred_gb) != 0 || mmg_open(path, NULL, &region, NULL) != MMG_OK)
        return false;
    bool right = mmg_pin(region, 0, MMG_TO_END, &span) == MMG_OK;
    if (right) {
        keep(load(span.data));
        right = ftruncate(fd, 0) == 0;
        *nanoseconds = time_touch(span.data);
        for (uint64_t i = 0; i < probes; i++)
            keep(load(span.data + i * (hundred_gb / probes)));
        right = mmg_info_get(region, &info) == MMG_OK && mmg_unpin(&span) == MMG_E_TRUNCATED && right;
        *signals = (double)info.faults;
    }
    return mmg_close(region, 0) == MMG_OK && right;
}

/* ---------------------------------------------------------------------------------------------- the child by hand -- */

/* The part of its only mapping that the child's handler replaces, from the page that faulted on. */
static struct {
    int fd;
    uint64_t length; /* 0: one page */
    const uint8_t *end;
} by_hand;

static void
replace(int signal, siginfo_t *facts, void *context)
{
    (void)signal;
    (void)context;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGE_SIZE);
    uint8_t *at = (uint8_t *)((uintptr_t)facts->si_addr & ~(page - 1));
    struct stat status;
    const uint64_t length = by_hand.length > 0 ? (uint64_t)(by_hand.end - at) : page;
    /* MAP_FIXED: these are pages of our own mapping, which is what this handler is for. */
    if (fstat(by_hand.fd, &status) != 0 ||
        mmap(at, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        _exit(1);
}

/* Return the nanoseconds for each of so many pages, with a handler that replaces `length` bytes at a time. */
static double
time_by_hand(int fd, uint64_t length, unsigned int pages)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGE_SIZE);
    if (ftruncate(fd, (off_t)hundred_gb) != 0)
        _exit(1);
    uint8_t *data = mmap(NULL, hundred_gb, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED)
        _exit(1);
    by_hand.fd = fd;
    by_hand.length = length;
    by_hand.end = data + hundred_gb;
    keep(load(data));
    if (ftruncate(fd, 0) != 0)
        _exit(1);
    double sum = 0;
    for (uint64_t i = 0; i < pages; i++)
        sum += time_touch(data + i * page);
    munmap(data, hundred_gb);
    return sum / pages;
}

/* The work of the child: a group of rounds that replace the whole tail, or one round page by page. */
static bool
serve_by_hand(void *context, char order, double *times, unsigned int count)
{
    const int fd = *(const int *)context;
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_NODEFER};
    action.sa_sigaction = replace;
    if (sigaction(SIGBUS, &action, NULL) != 0)
        return false;
    for (unsigned int i = 0; i < count; i++)
        times[i] = order == 't' ? time_by_hand(fd, hundred_gb, 1) : time_by_hand(fd, 0, PAGES_BY_HAND);
    return true;
}

/* -------------------------------------------------------------------------------------------------------- the work -- */

/* Let both sides work in turn. */
static bool
compare(struct figure *figure, const char *path, int fd, const struct child *child)
{
    double ours[ROUNDS], least[ROUNDS], pages[PROBED_ROUNDS], signals[ROUNDS];
    for (unsigned int i = 0; i < ROUNDS; i++) {
        if (!cut_and_touch(path, fd, 0, &ours[i], &signals[i]))
            return false;
        if ((i + 1) % GROUP == 0 && !child_ask(child, 't', &least[i + 1 - GROUP], GROUP))
            return false;
    }
    print_samples(figure, "mmapguard", ours, ROUNDS);
    print_samples(figure, "by hand, in one go", least, ROUNDS);
    for (unsigned int i = 0; i < PROBED_ROUNDS; i++) {
        double unused;
        if (!cut_and_touch(path, fd, PROBES, &unused, &signals[i]) || !child_ask(child, 'p', &pages[i], 1))
            return false;
    }
    print_samples(figure, "by hand, page by page", pages, PROBED_ROUNDS);
    figure->task = "signals for all of the mapping";
    print_samples(figure, "mmapguard", signals, PROBED_ROUNDS);
    return true;
}

bool
work_truncation(void)
{
    struct figure figure = {.work = "truncation", .task = "from touch to recovery", .bytes = hundred_gb};
    struct child child;
    char path[4096];
    signal(SIGPIPE, SIG_IGN); /* a write to a child that died must return an error */
    if (!make_file("sparse", 0, path, sizeof path))
        return false;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return false;
    if (ftruncate(fd, (off_t)hundred_gb) != 0)
        print_failure(&figure, "mmapguard", strerror(errno)); /* e.g. files cannot be so large */
    else if (!child_start(&child, serve_by_hand, &fd))
        print_failure(&figure, "by hand", strerror(errno));
    else {
        if (!compare(&figure, path, fd, &child))
            print_failure(&figure, "mmapguard", "the loss was not contained or not reported");
        child_end(&child);
    }
    close(fd);
    unlink(path);
    return true;
}
