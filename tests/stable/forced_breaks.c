/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests breaks in a forced order of events. The program defines mmap(2), which the library calls after it has taken a
 * lease and before the lease gets its region, fcntl(2), which gives a lease up, and copy_file_range(2), which copies the
 * bytes. So it can break a lease between two steps of the library.
 */
#undef _FILE_OFFSET_BITS /* with the macro, mmap would become mmap64 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "leases.h"

#define SIZE ((UINT64_C(1) << 20) + 77)
#define SEVERAL_PIECES (UINT64_C(12) << 20) /* is copied piece by piece, and the time is asked before each */

static const char *path_to_break; /* NULL: mmap(2) does nothing else */
static bool is_refused;           /* mmap(2) fails after the writer has begun */
static pid_t writer;

/** Runs in the writer: begins the break, reports that, and waits until the kernel lets it write. */
static _Noreturn void
write_when_let_in(const char *path, int told)
{
    int file = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    bool has_begun = file < 0 && errno == EWOULDBLOCK;
    if (write(told, has_begun ? "y" : "n", 1) != 1) {
        _exit(3);
    }
    file = has_begun ? open(path, O_WRONLY | O_CLOEXEC) : -1;
    _exit(file >= 0 && pwrite(file, "changed", 7, 100) == 7 ? 0 : 4);
}

/**
 * Starts a writer, whose open breaks the lease, and waits until the break has begun. The thread that calls mmap(2) may
 * hold locks for which fork hooks would wait, so the fork is made without hooks.
 */
static void
have_it_broken(void)
{
    int told[2];
    char answer = 0;
    REQUIRE(pipe(told) == 0);
    writer = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
    REQUIRE(writer >= 0);
    if (writer == 0) {
        write_when_let_in(path_to_break, told[1]);
    }
    REQUIRE(read(told[0], &answer, 1) == 1);
    CHECK(answer == 'y');
    close(told[0]);
    close(told[1]);
}

static void *
map(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (path_to_break != NULL && fd >= 0) {
        have_it_broken();
        path_to_break = NULL;
        if (is_refused) {
            errno = ENODEV;
            return MAP_FAILED;
        }
    }
#ifdef __s390x__ /* the system call takes its arguments in memory there */
    unsigned long arguments[] = {(unsigned long)address,    length,
                                 (unsigned long)protection, (unsigned long)flags,
                                 (unsigned long)fd,         (unsigned long)offset};
    return (void *)syscall(SYS_mmap, arguments);
#else
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
#endif
}

void *
mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return map(address, length, protection, flags, fd, offset);
}

void *
mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
    return map(address, length, protection, flags, fd, offset);
}

/** Returns true when the file can have a lease. Otherwise skips the case. */
static bool
has_leases(const char *path, const mmg_options *options)
{
    mmg_handle handle = check_open(path, options);
    bool has = has_lease(handle);
    if (has) {
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    return has;
}

static void
check_writer_was_let_in(void)
{
    int wait_status = 0;
    REQUIRE(waitpid(writer, &wait_status, 0) == writer);
    CHECK_EXITED(wait_status);
}

static void
a_break_before_the_lease_has_a_region_is_not_forgotten(void)
{
    const char *path = check_file("file", SIZE);
    mmg_options options = stable_options(MMG_BACKING_MAP);
    if (!has_leases(path, &options)) {
        return;
    }
    path_to_break = path;
    mmg_handle handle = check_open(path, &options);
    check_writer_was_let_in();
    check_stable(handle);
    mmg_info info = check_info(handle);
    CHECK(info.means == MMG_MEANS_SNAPSHOT || info.means == MMG_MEANS_REFLINK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/**
 * When the mapping fails, the library gives the lease up, the writer can go on, and the bytes come by the next means.
 */
static void
a_mapping_that_fails_in_the_midst_of_a_break_lets_the_writer_in(void)
{
    const char *path = check_file("file", SIZE);
    mmg_options options = stable_options(MMG_BACKING_AUTO);
    if (!has_leases(path, &options)) {
        return;
    }
    is_refused = true;
    path_to_break = path;
    mmg_handle handle = 0;
    /* The writer writes once. A copy that this spoils is made again. */
    REQUIRE_STATUS(mmg_open(path, &options, &handle, NULL), MMG_OK);
    is_refused = false;
    check_writer_was_let_in();
    mmg_info info = check_info(handle);
    CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
    CHECK(info.means == MMG_MEANS_SNAPSHOT || info.means == MMG_MEANS_REFLINK);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    await_keeper();
    CHECK_U64(check_stats().leases, 0);
}

/* -------------------------------------------------------------------------------------------------- handing over -- */

/* No bool: on RISC-V GCC 12 leaves the exchange of a single byte to libatomic. */
static atomic_int is_watching;     /* the test waits until a lease is given up */
static atomic_int is_handing_over; /* a lease is being given up */

/** Delays the first lease that is given up, so that a question comes just before. */
static int
control(int fd, int command, va_list arguments)
{
    void *argument = va_arg(arguments, void *); /* a number is in the same register */
    if (command == F_SETLEASE && (long)(intptr_t)argument == F_UNLCK && atomic_exchange(&is_watching, false)) {
        atomic_store(&is_handing_over, true);
        usleep(50000);
    }
    return (int)syscall(SYS_fcntl, fd, command, argument);
}

int
fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    int result = control(fd, command, arguments);
    va_end(arguments);
    return result;
}

int
fcntl64(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    int result = control(fd, command, arguments);
    va_end(arguments);
    return result;
}

static atomic_int is_let_in; /* the writer was let in */

static void *
open_for_writing(void *path)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(file >= 0);
    atomic_store(&is_let_in, true);
    close(file);
    return NULL;
}

/**
 * After 0.9 s the library must ask the kernel about a lease again. Here the question comes when the region shows its
 * snapshot already, and its lease is not given up yet. It must find no loss.
 */
static void
a_question_in_the_midst_of_the_hand_over_finds_no_loss(void)
{
    const char *path = check_file("file", SIZE);
    mmg_options options = stable_options(MMG_BACKING_MAP);
    mmg_handle handles[2];
    pthread_t opening;
    if (!has_leases(path, &options)) {
        return;
    }
    for (unsigned index = 0; index < 2; index++) {
        handles[index] = check_open(path, &options);
    }
    usleep(1000000);
    atomic_store(&is_handing_over, false);
    atomic_store(&is_watching, true);
    REQUIRE(pthread_create(&opening, NULL, open_for_writing, (void *)(uintptr_t)path) == 0);
    while (!atomic_load(&is_handing_over)) {
        usleep(100);
    }
    for (unsigned index = 0; index < 2; index++) {
        mmg_span span = MMG_SPAN_INIT;
        if (CHECK_STATUS(mmg_pin(handles[index], 0, MMG_TO_END, &span), MMG_OK)) {
            CHECK(check_is_pattern(span.data, 0, span.size));
            CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        }
    }
    REQUIRE(pthread_join(opening, NULL) == 0);
    for (unsigned index = 0; index < 2; index++) {
        CHECK_U64(check_info(handles[index]).guarantee, MMG_GUARANTEE_STABLE);
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
}

static atomic_int is_held; /* copies stand still */
static atomic_int is_copying;

/** Holds the copy of the bytes while the test wants that. */
ssize_t
copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size, unsigned flags)
{
    if (atomic_load(&is_held)) {
        atomic_store(&is_copying, true);
        while (atomic_load(&is_held)) {
            usleep(1000);
        }
    }
    return syscall(SYS_copy_file_range, from, from_offset, to, to_offset, size, flags);
}

/** The copy of a large file takes long. Here it ends only after every call has returned. */
static void
no_call_waits_for_the_copy(void)
{
    const char *path = check_file("file", SIZE);
    mmg_options options = stable_options(MMG_BACKING_MAP);
    mmg_span span = MMG_SPAN_INIT;
    uint8_t bytes[100];
    uint64_t got = 0;
    pthread_t opening;
    if (!has_leases(path, &options)) {
        return;
    }
    mmg_handle handle = check_open(path, &options);
    usleep(1000000); /* from now on the library must ask the kernel about the lease */
    atomic_store(&is_let_in, false);
    atomic_store(&is_copying, false);
    atomic_store(&is_held, true);
    REQUIRE(pthread_create(&opening, NULL, open_for_writing, (void *)(uintptr_t)path) == 0);
    while (!atomic_load(&is_copying) && !atomic_load(&is_let_in)) {
        usleep(100);
    }
    if (atomic_load(&is_let_in)) {
        check_skip("the file system clones the file, so that no byte is copied");
    } else if (CHECK_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK)) {
        CHECK(check_is_pattern(span.data, 0, span.size));
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        CHECK_STATUS(mmg_read(handle, 7, bytes, sizeof bytes, &got), MMG_OK);
        CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK(!atomic_load(&is_let_in));
    }
    atomic_store(&is_held, false);
    REQUIRE(pthread_join(opening, NULL) == 0);
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** The copy stands still until the time that the region allows a writer has certainly passed. */
static void
a_writer_waits_no_longer_than_the_region_allows(void)
{
    const char *path = check_file("file", SEVERAL_PIECES);
    mmg_options options = stable_options(MMG_BACKING_MAP);
    pthread_t opening;
    if (!has_leases(path, &options)) {
        return;
    }
    options.max_lease_wait_ms = 20;
    mmg_handle handle = check_open(path, &options);
    const uint64_t before = check_stats().fallbacks_time;
    atomic_store(&is_let_in, false);
    atomic_store(&is_copying, false);
    atomic_store(&is_held, true);
    REQUIRE(pthread_create(&opening, NULL, open_for_writing, (void *)(uintptr_t)path) == 0);
    while (!atomic_load(&is_copying) && !atomic_load(&is_let_in)) {
        usleep(100);
    }
    usleep(2000 * options.max_lease_wait_ms);
    atomic_store(&is_held, false);
    REQUIRE(pthread_join(opening, NULL) == 0);
    if (check_info(handle).means == MMG_MEANS_REFLINK) {
        check_skip("the file system clones the file, so that no byte is copied");
    } else {
        CHECK_STATUS(mmg_check(handle), MMG_E_UNSTABLE);
        CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_CONTAINED);
        CHECK_U64(check_info(handle).shortfall, MMG_SHORT_TIME);
        CHECK_U64(check_stats().fallbacks_time, before + 1);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static const struct check_case cases[] = {
    {"a break before the lease has a region is not forgotten", a_break_before_the_lease_has_a_region_is_not_forgotten,
     0},
    {"a mapping that fails in the midst of a break lets the writer in",
     a_mapping_that_fails_in_the_midst_of_a_break_lets_the_writer_in, 0},
    {"no call waits for the copy", no_call_waits_for_the_copy, 0},
    {"a writer waits no longer than the region allows", a_writer_waits_no_longer_than_the_region_allows, 0},
    {"a question in the midst of the hand-over finds no loss", a_question_in_the_midst_of_the_hand_over_finds_no_loss,
     0},
};

CHECK_MAIN(cases)
