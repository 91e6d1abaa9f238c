/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the wait for an advisory lock: it ends when the lock is given back or after its limit, whatever signals come, and also
 * where the lock is taken before the file is looked at.
 */
#include "locks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/**
 * A child that takes a lock, reports that, and holds the lock until `release` tells it to end. It then holds the lock
 * for a moment longer.
 */
struct holder {
    pid_t child;
    int release;
};

static struct holder
start_holder(const char *path, bool ofd)
{
    struct holder holder;
    int ready[2];
    int release[2];
    char byte = 0;
    REQUIRE(pipe(ready) == 0 && pipe(release) == 0);
    holder.child = fork();
    REQUIRE(holder.child >= 0);
    if (holder.child == 0) {
        const struct timespec moment = {0, 30000000};
        struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int descriptor = open(path, O_RDWR | O_CLOEXEC);
        close(release[1]);
        bool taken = descriptor >= 0 &&
                     (ofd ? fcntl(descriptor, F_SETLK, &lock) : flock(descriptor, LOCK_EX | LOCK_NB)) == 0;
        if (!taken || write(ready[1], &byte, 1) != 1 || read(release[0], &byte, 1) < 0) {
            _exit(1);
        }
        nanosleep(&moment, NULL);
        _exit(0);
    }
    close(ready[1]);
    close(release[0]);
    REQUIRE(read(ready[0], &byte, 1) == 1);
    close(ready[0]);
    holder.release = release[1];
    return holder;
}

static void
let_go(struct holder *holder)
{
    close(holder->release);
}

static void
join_holder(const struct holder *holder)
{
    int wait_status = 0;
    while (waitpid(holder->child, &wait_status, 0) < 0) {
        REQUIRE(errno == EINTR);
    }
    CHECK_EXITED(wait_status);
}

static void
waiting_ends_when_the_lock_is_given_back(void)
{
    static const uint32_t waits[] = {600000, MMG_WAIT_FOREVER};
    for (size_t index = 0; index < 4; index++) {
        bool ofd = index >= 2;
        const char *path = check_file("file", 200000);
        mmg_options options = lock_options(MMG_BACKING_MAP, ofd ? MMG_LOCK_OFD : MMG_LOCK_SHARED);
        mmg_handle handle = 1;
        struct holder holder = start_holder(path, ofd);
        CHECK_STATUS(mmg_open(path, &options, &handle, NULL), MMG_E_WOULD_BLOCK);
        let_go(&holder); /* the child keeps the lock for a moment longer, so that the next call begins to wait */
        options.lock_wait_ms = waits[index % 2];
        CHECK_STATUS(mmg_open(path, &options, &handle, NULL), MMG_OK);
        CHECK_U64(check_info(handle).lock, options.lock);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        join_holder(&holder);
    }
}

static uint64_t
milliseconds(void)
{
    struct timespec now;
    REQUIRE(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
waiting_ends_after_its_limit(void)
{
    for (uint32_t lock = MMG_LOCK_SHARED; lock <= MMG_LOCK_OFD; lock++) {
        const char *path = check_file("file", 200000);
        mmg_options options = lock_options(MMG_BACKING_MAP, lock);
        mmg_handle handle = 1;
        struct holder holder = start_holder(path, lock == MMG_LOCK_OFD);
        options.lock_wait_ms = 60;
        uint64_t start = milliseconds();
        CHECK_STATUS(mmg_open(path, &options, &handle, NULL), MMG_E_WOULD_BLOCK);
        CHECK(milliseconds() - start >= 59);
        CHECK_U64(handle, 0);
        let_go(&holder);
        join_holder(&holder);
    }
}

static volatile sig_atomic_t alarms;

static void
on_alarm(int signal_number)
{
    (void)signal_number;
    alarms++;
}

static void
signals_do_not_cut_the_waiting_short(void)
{
    for (uint32_t lock = MMG_LOCK_SHARED; lock <= MMG_LOCK_OFD; lock++) {
        const struct sigaction interrupting = {.sa_handler = on_alarm}; /* SA_RESTART is not set */
        const struct itimerval often = {{0, 2000}, {0, 2000}};
        const struct itimerval never = {{0, 0}, {0, 0}};
        const char *path = check_file("file", 200000);
        mmg_options options = lock_options(MMG_BACKING_MAP, lock);
        mmg_handle handle = 1;
        struct holder holder = start_holder(path, lock == MMG_LOCK_OFD);
        REQUIRE(sigaction(SIGALRM, &interrupting, NULL) == 0);
        REQUIRE(setitimer(ITIMER_REAL, &often, NULL) == 0);
        options.lock_wait_ms = 60;
        alarms = 0;
        for (unsigned wait = 0; wait < 1 || (alarms < 5 && wait < 1000); wait++) {
            uint64_t start = milliseconds();
            CHECK_STATUS(mmg_open(path, &options, &handle, NULL), MMG_E_WOULD_BLOCK);
            CHECK(milliseconds() - start >= 59);
        }
        CHECK(alarms >= 5);
        let_go(&holder);
        options.lock_wait_ms = MMG_WAIT_FOREVER;
        CHECK_STATUS(mmg_open(path, &options, &handle, NULL), MMG_OK);
        REQUIRE(setitimer(ITIMER_REAL, &never, NULL) == 0);
        REQUIRE(signal(SIGALRM, SIG_IGN) != SIG_ERR); /* an alarm may still be pending */
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        join_holder(&holder);
    }
}

/* With REGULAR_ONLY and a named lock, the library takes the lock before it asks for the kind of the file. */
static void
a_lock_that_comes_first_is_the_same_lock(void)
{
    mmg_handle handles[20];
    for (uint32_t lock = MMG_LOCK_SHARED; lock <= MMG_LOCK_OFD; lock++) {
        const char *path = check_file("file", 200000);
        mmg_options options = lock_options(MMG_BACKING_MAP, lock);
        options.flags = MMG_FLAG_REGULAR_ONLY;
        struct holder holder = start_holder(path, lock == MMG_LOCK_OFD);
        CHECK_STATUS(mmg_open(path, &options, &handles[0], NULL), MMG_E_WOULD_BLOCK);
        let_go(&holder);
        options.lock_wait_ms = MMG_WAIT_FOREVER;
        for (size_t index = 0; index < 20; index++) {
            handles[index] = check_open(path, &options);
            CHECK_U64(check_info(handles[index]).lock, lock);
        }
        join_holder(&holder);
        for (size_t index = 0; index < 20; index++) {
            CHECK(!(lock == MMG_LOCK_OFD ? can_posix_lock(path, F_WRLCK) : can_flock(path, LOCK_EX)));
            CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
        }
        CHECK(lock == MMG_LOCK_OFD ? can_posix_lock(path, F_WRLCK) : can_flock(path, LOCK_EX));
        options.backing = MMG_BACKING_COPY;
        handles[0] = check_open(path, &options);
        CHECK(lock == MMG_LOCK_OFD ? can_posix_lock(path, F_WRLCK) : can_flock(path, LOCK_EX));
        CHECK_STATUS(mmg_close(handles[0], 0), MMG_OK);
        options.offset = 200001;
        CHECK_STATUS(mmg_open(path, &options, &handles[0], NULL), MMG_E_RANGE);
        CHECK(lock == MMG_LOCK_OFD ? can_posix_lock(path, F_WRLCK) : can_flock(path, LOCK_EX));
    }
}

static void
a_lock_that_comes_first_waits_for_no_stream(void)
{
    const char *path = check_path("fifo");
    mmg_options options = lock_options(MMG_BACKING_AUTO, MMG_LOCK_SHARED);
    mmg_handle handle = 1;
    options.flags = MMG_FLAG_REGULAR_ONLY | MMG_FLAG_REQUIRE_LOCK;
    REQUIRE(mkfifo(path, 0600) == 0);
    CHECK_STATUS(mmg_open(path, &options, &handle, NULL), MMG_E_NOT_MAPPABLE);
    CHECK_STATUS(mmg_open("/dev/zero", &options, &handle, NULL), MMG_E_NOT_MAPPABLE);
    CHECK_STATUS(mmg_open("/", &options, &handle, NULL), MMG_E_NOT_MAPPABLE);
    CHECK(can_flock(path, LOCK_EX));
}

static const struct check_case cases[] = {
    {"a lock that comes first is the same lock", a_lock_that_comes_first_is_the_same_lock, 0},
    {"a lock that comes first waits for no stream", a_lock_that_comes_first_waits_for_no_stream, 0},
    {"waiting ends when the lock is given back", waiting_ends_when_the_lock_is_given_back, 0},
    {"waiting ends after its limit", waiting_ends_after_its_limit, 0},
    {"signals do not cut the waiting short", signals_do_not_cut_the_waiting_short, 0},
};

CHECK_MAIN(cases)
