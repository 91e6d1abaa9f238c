/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Makes every system call and every allocation of the library fail, one after another, with every plausible errno. A
 * scenario runs once to count its calls. Then, for each call and each errno, a child runs the scenario with that one
 * failure. The process must live, each call must return a fitting status, nothing may leak, and the scenario must work
 * again afterwards.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mmapguard_arrow.h"
#include "check.h"
#include "shim.h"

/* Only coverage builds have this symbol. */
void __gcov_init(void *unused) __attribute__((weak));

#define SIZE 140000

/* ---------------------------------------------------------------------------------- failures -- */

/** A function, and the errors with which a kernel or a C library may make it fail. 0 ends the list. */
struct failing {
    enum shim_function function;
    int codes[12];
};

static const struct failing failings[] = {
    {SHIM_open, {EINTR, EMFILE, ENFILE, ENOMEM, EACCES, EIO, ENXIO, ELOOP}},
    {SHIM_open64, {EINTR, EMFILE, ENFILE, ENOMEM, EACCES, EIO, ENXIO, ELOOP}},
    {SHIM___open64_2, {EINTR, EMFILE, ENFILE, ENOMEM, EACCES, EIO}},
    {SHIM_fcntl, {EINTR, EMFILE, EAGAIN, EACCES, ENOLCK, EINVAL, EBADF, ENOMEM}},
    {SHIM_fcntl64, {EINTR, EMFILE, EAGAIN, EACCES, ENOLCK, EINVAL, EBADF, ENOMEM}},
    {SHIM_dup3, {EINTR, EBUSY, EMFILE}},
    {SHIM_flock, {EINTR, EWOULDBLOCK, ENOLCK, EOPNOTSUPP, EINVAL, ENOSYS, EIO}},
    {SHIM_fstat, {EIO, ESTALE, ENOMEM, EOVERFLOW}},
    {SHIM_fstat64, {EIO, ESTALE, ENOMEM, EOVERFLOW}},
    {SHIM___fxstat64, {EIO, ESTALE, ENOMEM, EOVERFLOW}},
    {SHIM_stat, {ENOENT, EACCES, EIO, ENOMEM}},
    {SHIM_stat64, {ENOENT, EACCES, EIO, ENOMEM}},
    {SHIM___xstat64, {ENOENT, EACCES, EIO, ENOMEM}},
    {SHIM_lstat, {ENOENT, EACCES, EIO}},
    {SHIM_lstat64, {ENOENT, EACCES, EIO}},
    {SHIM___lxstat64, {ENOENT, EACCES, EIO}},
    {SHIM_fstatfs, {ENOSYS, EIO, ESTALE}},
    {SHIM_fstatfs64, {ENOSYS, EIO, ESTALE}},
    {SHIM_ioctl, {ENOTTY, EOPNOTSUPP, EXDEV, EINVAL, EIO, ENOSPC, EINTR}},
    {SHIM_mmap, {ENOMEM, ENODEV, EAGAIN, EACCES, EPERM, EINVAL, ENFILE, EOVERFLOW}},
    {SHIM_mmap64, {ENOMEM, ENODEV, EAGAIN, EACCES, EPERM, EINVAL, ENFILE, EOVERFLOW}},
    {SHIM_munmap, {ENOMEM, EINVAL}},
    {SHIM_mprotect, {ENOMEM, EACCES}},
    {SHIM_mremap, {ENOMEM, EFAULT, EINVAL}},
    {SHIM_madvise, {EAGAIN, EIO, ENOMEM, EINVAL, EFAULT, EINTR, EBADF}},
    {SHIM_mincore, {EAGAIN, ENOMEM}},
    {SHIM_read, {EINTR, EIO, ENOMEM, ESTALE, EAGAIN, EISDIR, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM___read_chk, {EINTR, EIO, ENOMEM, ESTALE, EAGAIN, EISDIR, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM_pread, {EINTR, EIO, ENOMEM, ESTALE, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM_pread64, {EINTR, EIO, ENOMEM, ESTALE, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM___pread64_chk, {EINTR, EIO, ENOMEM, ESTALE, SHIM_ONE_BYTE, SHIM_HALF, SHIM_END}},
    {SHIM_pwrite, {EINTR, EIO, ENOSPC, EDQUOT, SHIM_ONE_BYTE, SHIM_HALF}},
    {SHIM_pwrite64, {EINTR, EIO, ENOSPC, EDQUOT, SHIM_ONE_BYTE, SHIM_HALF}},
    {SHIM_copy_file_range, {EINTR, EXDEV, EOPNOTSUPP, ENOSYS, EIO, ENOSPC, EINVAL, SHIM_ONE_BYTE, SHIM_HALF}},
    {SHIM_poll, {EINTR, ENOMEM, EINVAL}},
    {SHIM___poll_chk, {EINTR, ENOMEM, EINVAL}},
    {SHIM_nanosleep, {EINTR}},
    {SHIM_readlink, {ENOENT, EACCES, EIO}},
    {SHIM_getentropy, {ENOSYS, EIO}},
    {SHIM_sigaction, {EINVAL}},
    {SHIM_sigwaitinfo, {EINTR}},
    {SHIM_sigtimedwait, {EINTR, EAGAIN}},
    {SHIM_syscall,
     {ENOSYS, EPERM, ENOENT, EACCES, EMFILE, ENFILE, ENOMEM, ENOTTY, EINTR, EIO, SHIM_ONE_BYTE, SHIM_HALF}},
    {SHIM_process_vm_readv, {EINTR, EPERM, ENOSYS, ENOMEM}},
    {SHIM_statfs64, {ENOSYS, EACCES, EIO}},
    {SHIM_close, {EINTR, EIO}},
    {SHIM_pthread_create, {EAGAIN}},
    {SHIM_malloc, {ENOMEM}},
    {SHIM_calloc, {ENOMEM}},
    {SHIM_realloc, {ENOMEM}},
    {SHIM_aligned_alloc, {ENOMEM}},
};
#define FAILINGS (sizeof failings / sizeof *failings)

/**
 * Returns true when the failure must not be visible to a caller: an interruption, a partial transfer, or a failed close
 * or unmapping.
 */
static bool
is_invisible(enum shim_function function, int code)
{
    if (code == SHIM_HOOK) { /* the size of the file changes before the call, so any status may follow */
        return false;
    }
    return code == EINTR || code == SHIM_ONE_BYTE || code == SHIM_HALF || function == SHIM_close ||
           function == SHIM_munmap || function == SHIM_getentropy || function == SHIM_fstatfs64 ||
           function == SHIM_fstatfs || function == SHIM_statfs64;
}

/* ------------------------------------------------------------------------------------------------- observation -- */

/* True when no failure is injected, so every call must succeed. */
static bool strict;
/* The error that was injected. */
static int injected;

enum call {
    OPEN,
    ADOPT,
    GUARD,
    READ_FD,
    PIN,
    READ,
    FIND,
    CHECK_STATE,
    CHANGED,
    ADVISE,
    RESIDENT,
    EXPORT
};

/** The statuses that the header allows for failures that are not the caller's fault. 0 ends the list. */
static const mmg_status allowed[][16] = {
    [OPEN] = {MMG_E_NOT_FOUND, MMG_E_PERMISSION, MMG_E_NOT_MAPPABLE, MMG_E_WOULD_BLOCK, MMG_E_LIMIT, MMG_E_NO_MEMORY,
              MMG_E_UNSTABLE, MMG_E_TRUNCATED, MMG_E_IO, MMG_E_UNSUPPORTED, MMG_E_GUARD, MMG_E_SYSTEM, MMG_E_RANGE,
              MMG_E_ARGUMENT, MMG_E_TOO_BIG},
    [ADOPT] = {MMG_E_NOT_FOUND, MMG_E_PERMISSION, MMG_E_NOT_MAPPABLE, MMG_E_LIMIT, MMG_E_NO_MEMORY, MMG_E_UNSTABLE,
               MMG_E_TRUNCATED, MMG_E_IO, MMG_E_UNSUPPORTED, MMG_E_GUARD, MMG_E_SYSTEM},
    [GUARD] = {MMG_E_GUARD, MMG_E_UNSUPPORTED},
    [READ_FD] = {MMG_E_TOO_BIG, MMG_E_ARGUMENT, MMG_E_PERMISSION, MMG_E_NOT_MAPPABLE, MMG_E_LIMIT, MMG_E_NO_MEMORY,
                 MMG_E_IO, MMG_E_SYSTEM, MMG_E_RANGE},
    [PIN] = {MMG_E_NO_MEMORY},
    [READ] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_SYSTEM},
    [FIND] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_NO_MEMORY, MMG_E_SYSTEM},
    [CHECK_STATE] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_SYSTEM},
    [CHANGED] = {MMG_E_IO, MMG_E_SYSTEM},
    [ADVISE] = {MMG_E_TRUNCATED, MMG_E_IO, MMG_E_UNSUPPORTED, MMG_E_NO_MEMORY, MMG_E_SYSTEM},
    [RESIDENT] = {MMG_E_SYSTEM},
    [EXPORT] = {MMG_E_NO_MEMORY},
};

static bool
is_allowed(enum call call, mmg_status status)
{
    for (size_t index = 0; index < 16 && allowed[call][index] != 0; index++) {
        if (allowed[call][index] == status) {
            return true;
        }
    }
    return false;
}

/** Checks the status of a call. Returns true when the call has succeeded. */
static bool
observe(enum call call, mmg_status status, const char *what)
{
    if (status != MMG_OK && (strict || !is_allowed(call, status))) {
        fprintf(stderr, "    %s returned %s\n", what, mmg_status_name(status));
        CHECK(strict ? status == MMG_OK : is_allowed(call, status));
    }
    return status == MMG_OK;
}

/** Returns true when the status of a failed opening fits the errno that caused it. */
static bool
fits(mmg_status status, int os_code)
{
    switch (os_code) {
    case EMFILE:
    case ENFILE:
        return status == MMG_E_LIMIT;
    case ENOMEM:
        return status == MMG_E_NO_MEMORY || status == MMG_E_LIMIT;
    case EIO:
        return status == MMG_E_IO;
    case ESTALE:
        return status == MMG_E_IO || status == MMG_E_SYSTEM;
    case ENOENT:
        return status == MMG_E_NOT_FOUND;
    case EACCES:
    case EPERM:
        return status == MMG_E_PERMISSION || status == MMG_E_WOULD_BLOCK || status == MMG_E_NOT_MAPPABLE ||
               status == MMG_E_UNSTABLE;
    case EWOULDBLOCK:
        return status == MMG_E_WOULD_BLOCK || status == MMG_E_LIMIT || status == MMG_E_SYSTEM;
    default:
        return status != MMG_E_IO && status != MMG_E_LIMIT && status != MMG_E_NO_MEMORY && status != MMG_E_PERMISSION;
    }
}

/** Checks a call that opens, which returns `expected` without a failure. Returns true when there is a handle. */
static bool
observe_open(enum call call, mmg_status status, mmg_status expected, mmg_handle handle, const mmg_error *error)
{
    CHECK((status == MMG_OK) == (handle != 0));
    CHECK_STATUS(error->status, status);
    if (status == MMG_OK) {
        CHECK(error->os_code == 0 && error->operation[0] == '\0' && error->message[0] == '\0');
        CHECK_STATUS(status, expected == MMG_OK || !strict ? MMG_OK : expected);
        return true;
    }
    CHECK(error->operation[0] != '\0' && error->message[0] != '\0');
    if (status != expected) {
        if (!observe(call, status, error->message) && injected > 0 && error->os_code == injected) {
            /* Every error of a lock call but contention means that there is no lock, which is an error if a lock is
               required. */
            bool is_lock = strcmp(error->operation, "flock") == 0 || strcmp(error->operation, "fcntl") == 0;
            /* When the kernel does not tell what is mapped, no mapping can be adopted. */
            bool is_list = strcmp(error->operation, "maps") == 0;
            /* When all means of STABLE in place have failed, there is one status for all their errors. */
            bool is_means = call == ADOPT && status == MMG_E_UNSTABLE;
            CHECK(fits(status, injected) || is_means || ((is_lock || is_list) && status == MMG_E_UNSUPPORTED));
        }
    }
    return false;
}

/* --------------------------------------------------------------------------------------------------- scenarios -- */

static const char *path;

/**
 * Uses a region in every way, and closes it. `from` is its offset in the file, or MMG_TO_END when its bytes are not the
 * pattern.
 */
static void
use(mmg_handle handle, uint64_t from, uint64_t size)
{
    static uint8_t buffer[SIZE];
    struct ArrowArray array;
    mmg_span span = MMG_SPAN_INIT;
    uint64_t number = 0;
    uint32_t what = 0;
    bool has_pattern = from != MMG_TO_END;
    mmg_info info = check_info(handle);
    CHECK(!has_pattern || info.size == size);
    if (observe(PIN, mmg_pin(handle, 0, MMG_TO_END, &span), "mmg_pin")) {
        CHECK(!has_pattern || check_is_pattern(span.data, from, span.size));
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    }
    if (observe(EXPORT, mmg_export_arrow(handle, 0, MMG_TO_END, &array, NULL), "mmg_export_arrow")) {
        array.release(&array);
    }
    CHECK_U64(check_info(handle).pins, 0);
    if (observe(READ, mmg_read(handle, 0, buffer, sizeof buffer, &number), "mmg_read")) {
        CHECK_U64(number, info.size);
    }
    CHECK(!has_pattern || check_is_pattern(buffer, from, number));
    if (has_pattern && size > 100) {
        check_fill(buffer, from + size - 40, 40);
        if (observe(FIND, mmg_find(handle, 0, MMG_TO_END, buffer, 40, &number), "mmg_find")) {
            CHECK_U64(number, size - 40);
        }
    }
    observe(CHECK_STATE, mmg_check(handle), "mmg_check");
    mmg_status status = mmg_changed(handle, &what);
    if (status != MMG_E_UNSUPPORTED) {
        observe(CHANGED, status, "mmg_changed");
    }
    for (uint32_t advice = MMG_ADVICE_NORMAL; advice <= MMG_ADVICE_POPULATE; advice++) {
        mmg_status advised = mmg_advise(handle, 0, MMG_TO_END, advice);
        observe(ADVISE, advised, "mmg_advise");
    }
    if (observe(RESIDENT, mmg_resident(handle, 0, MMG_TO_END, &number), "mmg_resident")) {
        CHECK(number <= info.size);
    }
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_E_HANDLE);
}

static void
open_path(const mmg_options *options, mmg_status expected, uint64_t from, uint64_t size)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_open(path, options, &handle, &error);
    if (observe_open(OPEN, status, expected, handle, &error)) {
        use(handle, from, size);
    } else {
        CHECK(strstr(error.message, path) != NULL);
    }
}

static void
small_file(void)
{
    open_path(NULL, MMG_OK, 0, 5000);
}

static void
mapped_file(void)
{
    open_path(NULL, MMG_OK, 0, SIZE);
}

static void
copied_file(void)
{
    mmg_options options = check_backing(MMG_BACKING_COPY);
    open_path(&options, MMG_OK, 0, SIZE);
}

static void
mapped_window(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.offset = 5000;
    options.length = 100000;
    options.access = MMG_ADVICE_SEQUENTIAL;
    options.flags = MMG_FLAG_POPULATE;
    open_path(&options, MMG_OK, 5000, 100000);
}

static void
ofd_locked_file(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.lock = MMG_LOCK_OFD;
    open_path(&options, MMG_OK, 0, SIZE);
}

static void
required_lock(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.flags = MMG_FLAG_REQUIRE_LOCK;
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_open(path, &options, &handle, &error);
    if (observe_open(OPEN, status, MMG_OK, handle, &error)) {
        CHECK_U64(check_info(handle).lock, MMG_LOCK_SHARED);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
contended_lock(void)
{
    mmg_options options = MMG_OPTIONS_INIT;
    int holder = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(holder >= 0 && flock(holder, LOCK_EX) == 0);
    options.lock_wait_ms = 2;
    open_path(&options, MMG_E_WOULD_BLOCK, 0, SIZE);
    close(holder);
}

static void
empty_file(void)
{
    open_path(NULL, MMG_OK, MMG_TO_END, 0);
}

static void
virtual_file(void)
{
    path = "/proc/version";
    open_path(NULL, MMG_OK, MMG_TO_END, 0);
}

static void
descriptor_of(uint64_t size)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    mmg_status status = mmg_open_fd(descriptor, NULL, &handle, &error);
    if (observe_open(OPEN, status, MMG_OK, handle, &error)) {
        use(handle, 0, size);
    }
    CHECK(fcntl(descriptor, F_GETFD) >= 0);
    close(descriptor);
}

static void
small_descriptor(void)
{
    descriptor_of(5000);
}

static void
mapped_descriptor(void)
{
    descriptor_of(SIZE);
}

/** A long stream, for which a regular file is read as a stream. */
static void
long_stream(void)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_options options = MMG_OPTIONS_INIT;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    options.offset = 1000;
    mmg_status status = mmg_read_fd(descriptor, &options, &handle, &error);
    if (observe_open(READ_FD, status, MMG_OK, handle, &error)) {
        /* A premature end cannot be distinguished from the end of the stream, so the region has fewer bytes then. */
        use(handle, 1000, strict || injected != SHIM_END ? SIZE - 1000 : check_info(handle).size);
    }
    close(descriptor);
}

/** A non-blocking pipe that has bytes, and whose writer is gone. */
static void
pipe_stream(void)
{
    static uint8_t bytes[50000];
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    int ends[2];
    REQUIRE(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    check_fill(bytes, 0, sizeof bytes);
    REQUIRE(write(ends[1], bytes, sizeof bytes) == sizeof bytes);
    close(ends[1]);
    mmg_status status = mmg_read_fd(ends[0], NULL, &handle, &error);
    if (observe_open(READ_FD, status, MMG_OK, handle, &error)) {
        use(handle, 0, strict || injected != SHIM_END ? sizeof bytes : check_info(handle).size);
    }
    close(ends[0]);
}

/** A FIFO whose writer has written and is gone. */
static void
fifo(void)
{
    static uint8_t bytes[50000];
    int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    int writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    mmg_options options = MMG_OPTIONS_INIT;
    options.flags = MMG_FLAG_FIFO_WAIT;
    REQUIRE(reader >= 0 && writer >= 0);
    check_fill(bytes, 0, sizeof bytes);
    REQUIRE(write(writer, bytes, sizeof bytes) == sizeof bytes);
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    close(writer);
    mmg_status status = mmg_open(path, &options, &handle, &error);
    if (observe_open(OPEN, status, MMG_OK, handle, &error)) {
        use(handle, 0, strict || injected != SHIM_END ? sizeof bytes : check_info(handle).size);
    }
    close(reader);
}

static void
fifo_without_writer(void)
{
    open_path(NULL, MMG_E_WOULD_BLOCK, MMG_TO_END, 0);
}

/** Cuts the file of a STABLE region. The bytes must stay, or the region must report that they may have changed. */
static void
cut_stable(mmg_handle handle)
{
    CHECK_U64(check_info(handle).guarantee, MMG_GUARANTEE_STABLE);
    mmg_span span = MMG_SPAN_INIT;
    bool pinned = observe(PIN, mmg_pin(handle, 0, MMG_TO_END, &span), "mmg_pin");
    check_truncate(path, SIZE / 2);
    CHECK(!pinned || check_is_pattern(span.data, 0, SIZE / 2));
    bool kept = !pinned || check_is_pattern(span.data + SIZE / 2, SIZE / 2, SIZE / 2);
    /* When no snapshot can be made, the region becomes CONTAINED, or NONE where the guard is not in place either. */
    const uint32_t left = mmg_guard_state() == MMG_GUARD_TOP ? MMG_GUARANTEE_CONTAINED : MMG_GUARANTEE_NONE;
    CHECK(kept || (!strict && check_info(handle).guarantee == left));
    mmg_status status = mmg_unpin(&span);
    CHECK(status == (kept ? MMG_OK : MMG_E_TRUNCATED) || (!strict && status == MMG_E_UNSTABLE));
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
stable_file(void)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    check_file("stable", SIZE);
    mmg_status status = mmg_open(path, &options, &handle, &error);
    if (observe_open(OPEN, status, MMG_OK, handle, &error)) {
        cut_stable(handle);
    }
}

/** Searches with SIGBUS blocked. The library then lets the kernel copy the bytes into its own memory. */
static void
guardless_search(void)
{
    sigset_t bus;
    uint8_t needle[40];
    uint64_t position = 0;
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_open(path, NULL, &handle, &error);
    if (!observe_open(OPEN, status, MMG_OK, handle, &error)) {
        return;
    }
    sigemptyset(&bus);
    sigaddset(&bus, SIGBUS);
    REQUIRE(sigprocmask(SIG_BLOCK, &bus, NULL) == 0);
    check_fill(needle, SIZE - 40, sizeof needle);
    if (observe(FIND, mmg_find(handle, 0, MMG_TO_END, needle, sizeof needle, &position), "mmg_find")) {
        CHECK_U64(position, SIZE - 40);
    }
    REQUIRE(sigprocmask(SIG_UNBLOCK, &bus, NULL) == 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Uses more handles and pins at once than the first chunks of the tables have. */
static void
many_handles_and_pins(void)
{
    enum {
        MANY = 400
    };
    static mmg_handle handles[MANY];
    static mmg_span spans[MANY];
    mmg_error error = MMG_ERROR_INIT;
    size_t opened = 0;
    size_t pinned = 0;
    while (opened < MANY) {
        mmg_options options = check_backing(opened % 2 == 0 ? MMG_BACKING_COPY : MMG_BACKING_MAP);
        options.length = 1 + opened;
        mmg_status status = mmg_open(path, &options, &handles[opened], &error);
        if (!observe_open(OPEN, status, MMG_OK, handles[opened], &error)) {
            break;
        }
        opened++;
    }
    while (opened > 0 && pinned < MANY && observe(PIN, mmg_pin(handles[0], 0, 1, &spans[pinned]), "mmg_pin")) {
        pinned++;
    }
    CHECK(!strict || (opened == MANY && pinned == MANY));
    for (size_t index = 0; index < opened; index++) {
        CHECK_U64(check_info(handles[index]).size, 1 + index);
        CHECK_STATUS(mmg_close(handles[index], 0), MMG_OK);
    }
    for (size_t index = 0; index < pinned; index++) {
        CHECK_U64(spans[index].data[0], check_byte(0));
        CHECK_STATUS(mmg_unpin(&spans[index]), MMG_OK);
    }
}

/** Causes a fault in a file that was cut short, so that calls of the handler can fail. */
static void
contained_fault(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    check_file("faulty", SIZE);
    mmg_status status = mmg_open(path, &options, &handle, &error);
    if (!observe_open(OPEN, status, MMG_OK, handle, &error)) {
        return;
    }
    mmg_info info = check_info(handle);
    mmg_span span = MMG_SPAN_INIT;
    if (info.guarantee == MMG_GUARANTEE_CONTAINED && mmg_guard_state() == MMG_GUARD_TOP &&
        mmg_pin(handle, 0, MMG_TO_END, &span) == MMG_OK) {
        check_truncate(path, SIZE / 2);
        for (uint64_t at = 0; at < SIZE; at += check_page()) {
            uint8_t byte = ((const volatile uint8_t *)span.data)[at];
            CHECK_U64(byte, at < SIZE / 2 ? check_byte(at) : 0);
        }
        status = mmg_unpin(&span);
        CHECK(status == MMG_E_TRUNCATED || (!strict && status == MMG_E_IO));
        CHECK(mmg_check(handle) < 0);
        CHECK(check_info(handle).faults >= 1);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/* ---------------------------------------------------------------------------------- mappings that others made -- */

/** Maps the file as any program would. */
static uint8_t *
map_plainly(void)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    uint8_t *bytes = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(bytes != MAP_FAILED);
    close(descriptor);
    return bytes;
}

/**
 * Returns the first byte of the file that was lost behind a mark, or SIZE. Checks that every record is about this file.
 */
static uint64_t
lost_since(uint64_t mark, uint32_t origin)
{
    static mmg_loss losses[64];
    uint64_t count = 0, next = 0, first = SIZE;
    losses[0].struct_size = sizeof *losses;
    REQUIRE_STATUS(mmg_losses_get(mark, losses, 64, &count, &next), MMG_OK);
    CHECK_U64(next - mark, count);
    CHECK(!strict || count == 1);
    for (uint64_t index = 0; index < count; index++) {
        CHECK_TEXT(losses[index].path, path);
        CHECK_U64(losses[index].origin, origin);
        CHECK(losses[index].cause == MMG_E_TRUNCATED || (!strict && losses[index].cause == MMG_E_IO));
        first = losses[index].offset < first ? losses[index].offset : first;
    }
    return first;
}

static uint64_t
mark_of_now(void)
{
    uint64_t count = 0, next = 0;
    REQUIRE_STATUS(mmg_losses_get(0, NULL, 0, &count, &next), MMG_OK);
    return next;
}

/**
 * Cuts the file below its mapping, and touches every page. Bytes that read as zeros must be reported, and all other
 * bytes must be true.
 */
static void
cut_and_touch(const uint8_t *bytes, uint32_t origin)
{
    static uint8_t seen[SIZE];
    const uint64_t mark = mark_of_now();
    check_truncate(path, SIZE / 2);
    for (uint64_t at = 0; at < SIZE; at += check_page()) {
        seen[at] = ((const volatile uint8_t *)bytes)[at];
    }
    const uint64_t lost = lost_since(mark, origin);
    CHECK(lost <= SIZE / 2 + check_page() && (!strict || lost == SIZE / 2));
    for (uint64_t at = 0; at < SIZE; at += check_page()) {
        CHECK(seen[at] == (at < SIZE / 2 ? check_byte(at) : 0) || (!strict && seen[at] == 0 && at >= lost));
    }
}

/** Causes a fault in a mapping of other code, so that questions and calls of the handler can fail. */
static void
foreign_fault(void)
{
    check_file("foreign", SIZE);
    uint8_t *bytes = map_plainly();
    mmg_status status = mmg_guard_process(MMG_SCOPE_FILES, 0);
    if (observe(GUARD, status, "mmg_guard_process")) {
        cut_and_touch(bytes, MMG_ORIGIN_FOREIGN);
        CHECK_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
    }
    munmap(bytes, SIZE);
}

/** Does the same where the kernel has only the list of all mappings. */
static void
listed_foreign_fault(void)
{
    shim_forget_map_query();
    foreign_fault();
}

/** Does the same with a file whose path is gone, so that the guard must find out which pages can be read. */
static void
nameless_foreign_fault(void)
{
    check_file("foreign", SIZE);
    uint8_t *bytes = map_plainly();
    mmg_status status = mmg_guard_process(MMG_SCOPE_FILES, 0);
    if (observe(GUARD, status, "mmg_guard_process")) {
        const uint64_t mark = mark_of_now();
        check_truncate(path, SIZE / 2);
        REQUIRE(unlink(path) == 0);
        for (uint64_t at = 0; at < SIZE; at += check_page()) {
            const uint8_t byte = ((const volatile uint8_t *)bytes)[at];
            CHECK_U64(byte,
                      at < SIZE / 2 ? check_byte(at) : 0); /* the guard must never give up a page that can be read */
        }
        CHECK(lost_since(mark, MMG_ORIGIN_FOREIGN) >= SIZE / 2);
        CHECK_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
    }
    munmap(bytes, SIZE);
}

static mmg_handle
adopt(const uint8_t *bytes, uint64_t size, const mmg_options *options)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_adopt(bytes, size, -1, options, &handle, &error);
    return observe_open(ADOPT, status, MMG_OK, handle, &error) ? handle : 0;
}

static void
adopted_mapping(void)
{
    uint8_t *bytes = map_plainly();
    mmg_handle handle = adopt(bytes + 77, SIZE - 77, NULL);
    if (handle != 0) {
        use(handle, 77, SIZE - 77);
    }
    CHECK(check_is_pattern(bytes, 0, SIZE)); /* the owner still has the mapping */
    munmap(bytes, SIZE);
}

static void
adopted_fault(void)
{
    check_file("adopted", SIZE);
    uint8_t *bytes = map_plainly();
    mmg_handle handle = adopt(bytes, SIZE, NULL);
    if (handle != 0 && check_info(handle).guarantee == MMG_GUARANTEE_CONTAINED && mmg_guard_state() == MMG_GUARD_TOP) {
        cut_and_touch(bytes, MMG_ORIGIN_ADOPTED);
        mmg_status status = mmg_check(handle);
        CHECK(status == MMG_E_TRUNCATED || (!strict && status == MMG_E_IO));
        CHECK(check_info(handle).faults >= 1);
    }
    CHECK_STATUS(handle == 0 ? MMG_OK : mmg_close(handle, 0), MMG_OK);
    munmap(bytes, SIZE);
}

/** Adopts a mapping as STABLE, by a lease or by a copy that replaces the pages at once. */
static void
stable_adoption(uint64_t flags)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    options.flags = flags;
    check_file("stable", SIZE);
    uint8_t *bytes = map_plainly();
    mmg_handle handle = adopt(bytes, SIZE, &options);
    if (handle != 0) {
        cut_stable(handle);
    }
    munmap(bytes, SIZE);
}

static void
leased_adoption(void)
{
    stable_adoption(0);
}

static void
copied_adoption(void)
{
    stable_adoption(MMG_FLAG_NO_LEASE);
}

/* ------------------------------------------------------------------------------------------------------ driver -- */

struct scenario {
    void (*run)(void);
    int implausible;  /* an errno that is impossible in this scenario */
    bool only_memory; /* only allocations fail, since the scenario has too many equal other calls */
    bool
        may_be_killed; /* SIGBUS may kill the child, when the kernel does not answer or has no mapping left for lost pages */
};

/* The results of a child, for its parent. */
static struct findings {
    unsigned calls[SHIM_COUNT];
    long numbers[SHIM_NUMBERS]; /* the numbers of the calls by syscall(2) */
    int64_t blocks;
    unsigned descriptors;
    bool fired;
} * findings;

static const struct scenario *scenario;
static struct {
    enum shim_function function;
    unsigned nth;
    int code;
    bool lasts;
} injection;

/** Checks that the library has leaked nothing. */
static void
check_clean(void)
{
    mmg_stats stats = check_stats();
    CHECK_U64(stats.handles, 0);
    CHECK_U64(stats.regions, 0);
    CHECK_U64(stats.mappings, 0);
    CHECK_U64(stats.mapped_bytes, 0);
    CHECK_U64(stats.heap_bytes, 0);
    CHECK_U64(check_mappings_of(path), 0);
}

/** Makes every table that is made only once, so that all children end in the same state. */
static void
make_tables(void)
{
    enum {
        PINS = 20
    };
    mmg_options options = check_backing(MMG_BACKING_MAP);
    mmg_span spans[PINS];
    mmg_handle handle = check_open(check_file("tables", 5000), &options);
    for (size_t index = 0; index < PINS; index++) {
        REQUIRE_STATUS(mmg_pin(handle, 0, 1, &spans[index]), MMG_OK);
    }
    for (size_t index = 0; index < PINS; index++) {
        CHECK_STATUS(mmg_unpin(&spans[index]), MMG_OK);
    }
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Runs the scenario twice without a failure, in a child, and tells the parent which calls it has made. */
static void
rehearse(void *unused)
{
    (void)unused;
    strict = true;
    shim_arm(SHIM_COUNT, 0, 0, false);
    scenario->run();
    check_clean();
    for (unsigned index = 0; index < SHIM_COUNT; index++) {
        findings->calls[index] = shim_calls((enum shim_function)index);
    }
    for (unsigned index = 0; index < SHIM_NUMBERS; index++) {
        findings->numbers[index] = shim_number(index + 1);
    }
    scenario->run();
    check_clean();
    make_tables();
    findings->blocks = shim_blocks();
    findings->descriptors = check_descriptors();
}

/** Runs the scenario in a child, first with one failure and then without. */
static void
perform(void *unused)
{
    (void)unused;
    injected = injection.code;
    strict = is_invisible(injection.function, injection.code);
    shim_arm(injection.function, injection.nth, injection.code, injection.lasts);
    scenario->run();
    shim_disarm();
    findings->fired = shim_has_fired();
    check_clean();
    strict = true;
    scenario->run();
    check_clean();
    make_tables();
    CHECK_U64(check_descriptors(), findings->descriptors);
    CHECK(shim_blocks() <= findings->blocks);
}

static const char *
code_name(int code)
{
    return code == SHIM_ONE_BYTE ? "one byte"
           : code == SHIM_HALF   ? "half of it"
           : code == SHIM_END    ? "a premature end"
           : code == SHIM_HOOK   ? "another size of the file"
                                 : strerror(code);
}

static bool
is_allocation(enum shim_function function)
{
    return function == SHIM_malloc || function == SHIM_calloc || function == SHIM_realloc ||
           function == SHIM_aligned_alloc;
}

/**
 * Returns true when every later call may fail in the same way. Interruptions and short transfers do not repeat for
 * ever, but a file system or a limit may refuse every call.
 */
static bool
may_last(enum shim_function function, int code)
{
    return !is_invisible(function, code) && code != SHIM_END && code != EAGAIN;
}

/**
 * Runs the scenario with one failed call, or (`lasts`) with all later calls failed, too. Returns true when the failure
 * was reached.
 */
static bool
inject(enum shim_function function, unsigned nth, int code, bool lasts)
{
    injection.function = function;
    injection.nth = nth;
    injection.code = code;
    injection.lasts = lasts;
    findings->fired = false;
    int wait_status = check_child(perform, NULL);
    bool is_mapping = function == SHIM_mmap || function == SHIM_mmap64 || function == SHIM_syscall;
    bool killed_as_told = scenario->may_be_killed && is_mapping && !is_invisible(function, code) &&
                          WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGBUS;
    if (!killed_as_told && !CHECK_EXITED(wait_status)) {
        fprintf(stderr, "    ^ when call %u of %s%s ends in: %s\n", nth, shim_names[function],
                lasts ? ", and every later one," : "", code_name(code));
    }
    return findings->fired || killed_as_told;
}

static void
run_scenario(const struct scenario *chosen, const char *file)
{
    unsigned made = 0;
    unsigned fired = 0;
    scenario = chosen;
    path = file;
    findings = mmap(NULL, sizeof *findings, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(findings != MAP_FAILED);
    REQUIRE(CHECK_EXITED(check_child(rehearse, NULL)));
    for (size_t index = 0; index < FAILINGS; index++) {
        const struct failing *failing = &failings[index];
        if (chosen->only_memory && !is_allocation(failing->function)) {
            continue;
        }
        /* When a function is called many times, only the first and the last dozen calls are made to fail. */
        unsigned count = findings->calls[failing->function];
        for (unsigned nth = 1; nth <= count; nth += nth == 12 && count > 24 ? count - 24 : 1) {
            for (size_t at = 0; at < sizeof failing->codes / sizeof *failing->codes && failing->codes[at] != 0; at++) {
                int code = failing->codes[at];
                bool is_numbered = failing->function == SHIM_syscall && nth <= SHIM_NUMBERS;
                if (code == chosen->implausible ||
                    (is_numbered && !shim_may_answer(findings->numbers[nth - 1], code))) {
                    continue;
                }
                fired += inject(failing->function, nth, code, false);
                made++;
                if (may_last(failing->function, code)) {
                    fired += inject(failing->function, nth, code, true);
                    made++;
                }
            }
        }
    }
    printf("%u failures, %u reached ... ", made, fired);
    CHECK(made > 0 && fired * 2 > made);
    munmap(findings, sizeof *findings);
    findings = NULL;
}

#define SCENARIO(name, bytes, memory)                                                                                  \
    static void inject_##name(void)                                                                                    \
    {                                                                                                                  \
        static const struct scenario this_one = {.run = (name), .only_memory = (memory)};                              \
        run_scenario(&this_one, check_file("file", (bytes)));                                                          \
    }

SCENARIO(small_file, 5000, false)
SCENARIO(mapped_file, SIZE, false)
SCENARIO(copied_file, SIZE, false)
SCENARIO(mapped_window, SIZE, false)
SCENARIO(ofd_locked_file, SIZE, false)
SCENARIO(required_lock, SIZE, false)
SCENARIO(contended_lock, SIZE, false)
SCENARIO(empty_file, 0, false)
SCENARIO(virtual_file, 0, false)
SCENARIO(small_descriptor, 5000, false)
SCENARIO(mapped_descriptor, SIZE, false)
SCENARIO(long_stream, SIZE, false)
SCENARIO(pipe_stream, 0, false)
SCENARIO(guardless_search, SIZE, false)
SCENARIO(many_handles_and_pins, 5000, true)

static void
inject_fifo(void)
{
    /* A FIFO whose last writer is gone never returns EAGAIN. */
    static const struct scenario this_one = {.run = fifo, .implausible = EAGAIN};
    const char *name = check_path("fifo");
    REQUIRE(mkfifo(name, 0600) == 0);
    run_scenario(&this_one, name);
}

static void
inject_fifo_without_writer(void)
{
    static const struct scenario this_one = {.run = fifo_without_writer, .implausible = EAGAIN};
    const char *name = check_path("fifo");
    REQUIRE(mkfifo(name, 0600) == 0);
    run_scenario(&this_one, name);
}

static void
inject_stable_file(void)
{
    static const struct scenario this_one = {.run = stable_file};
    run_scenario(&this_one, check_path("stable"));
}

#define FAULTY(name, file)                                                                                             \
    static void inject_##name(void)                                                                                    \
    {                                                                                                                  \
        static const struct scenario this_one = {.run = (name), .may_be_killed = true};                                \
        run_scenario(&this_one, check_path(file));                                                                     \
    }

FAULTY(contained_fault, "faulty")
FAULTY(foreign_fault, "foreign")
FAULTY(listed_foreign_fault, "foreign")
FAULTY(nameless_foreign_fault, "foreign")
FAULTY(adopted_fault, "adopted")
SCENARIO(adopted_mapping, SIZE, false)

static void
inject_leased_adoption(void)
{
    static const struct scenario this_one = {.run = leased_adoption, .implausible = EOVERFLOW}; /* sizes have 64 bits */
    run_scenario(&this_one, check_path("stable"));
}

static void
inject_copied_adoption(void)
{
    static const struct scenario this_one = {.run = copied_adoption, .implausible = EOVERFLOW}; /* sizes have 64 bits */
    run_scenario(&this_one, check_path("stable"));
}

/* ----------------------------------------------------------------------------------- files that change meanwhile -- */

/* The options for opening the file, and the size to which it suddenly changes. */
static mmg_options moving_options;
static uint64_t moving_size;

static void
move_file(void)
{
    check_truncate(path, moving_size);
}

/** Checks that every byte shows the pattern or is known to be lost. */
static void
judge_moved(mmg_handle handle)
{
    struct stat now;
    mmg_info info = check_info(handle);
    mmg_span span = MMG_SPAN_INIT;
    bool is_copy = info.backing == MMG_BACKING_COPY;
    REQUIRE(stat(path, &now) == 0);
    uint64_t size = (uint64_t)now.st_size;
    uint64_t end = size > info.offset ? size - info.offset : 0;
    uint64_t left = is_copy || info.size < end ? info.size : end;
    mmg_status status = mmg_pin(handle, 0, MMG_TO_END, &span);
    CHECK(status == MMG_OK || (left < info.size && status == MMG_E_TRUNCATED));
    if (status == MMG_OK) {
        uint64_t written = info.offset + left < SIZE ? left : SIZE - info.offset; /* the file has grown by a hole */
        CHECK(check_is_pattern(span.data, info.offset, written));
        CHECK(check_is_zero(span.data + written, span.size - written));
        status = mmg_unpin(&span); /* the end of the last page is lost without a fault, so only mmg_check() finds it */
        CHECK(status == MMG_OK || (left < info.size && status == MMG_E_TRUNCATED));
    }
    CHECK_STATUS(mmg_check(handle), left < info.size ? MMG_E_TRUNCATED : MMG_OK);
    CHECK(left == info.size || check_info(handle).fault_offset == left);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
moving_file(void)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    check_file("moving", SIZE);
    mmg_status status = mmg_open(path, &moving_options, &handle, &error);
    shim_disarm(); /* the file must not change while the result is checked */
    CHECK_STATUS(error.status, status);
    if (status == MMG_OK) {
        judge_moved(handle);
    } else {
        CHECK(handle == 0 && strstr(error.message, path) != NULL);
        CHECK(!strict && moving_size < SIZE && (status == MMG_E_TRUNCATED || status == MMG_E_RANGE));
    }
}

/** Changes the size of the file before each call that the opening makes, one at a time. */
static void
move_at_every_call(void)
{
    static const uint64_t sizes[] = {0, 1, 4096, 5001, SIZE / 2, SIZE - 1, SIZE + 1, 2 * SIZE};
    static const struct scenario this_one = {.run = moving_file};
    unsigned reached = 0;
    scenario = &this_one;
    path = check_path("moving");
    findings = mmap(NULL, sizeof *findings, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    REQUIRE(findings != MAP_FAILED);
    shim_set_hook(move_file);
    moving_size = SIZE;
    REQUIRE(CHECK_EXITED(check_child(rehearse, NULL)));
    for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++) {
        for (unsigned function = 0; function < SHIM_COUNT; function++) {
            for (unsigned nth = 1; nth <= findings->calls[function] && nth <= 12; nth++) {
                moving_size = sizes[index];
                reached += inject((enum shim_function)function, nth, SHIM_HOOK, false);
            }
        }
    }
    printf("%u times ... ", reached);
    CHECK(reached > 0);
    munmap(findings, sizeof *findings);
    findings = NULL;
}

static void
a_mapped_file_may_change_its_size_while_it_is_opened(void)
{
    moving_options = check_backing(MMG_BACKING_MAP);
    move_at_every_call();
    moving_options.offset = 5000;
    moving_options.length = SIZE - 5000;
    move_at_every_call();
}

static void
a_copied_file_may_change_its_size_while_it_is_opened(void)
{
    moving_options = check_backing(MMG_BACKING_COPY);
    move_at_every_call();
    moving_options.offset = 5000;
    moving_options.length = SIZE - 5000;
    move_at_every_call();
}

static void
tell_unknown(const char *name)
{
    fprintf(stderr, "    the library calls %s\n", name);
}

static void
whatever_the_library_calls_is_covered(void)
{
    if (__gcov_init != NULL) {
        check_skip("the code that counts coverage makes other calls");
        return;
    }
    CHECK_I64(shim_unknown_imports(tell_unknown), 0);
}

static const struct check_case cases[] = {
    {"every call of the library is covered", whatever_the_library_calls_is_covered, CHECK_ONCE},
    {"a small file", inject_small_file, CHECK_ONCE},
    {"a mapped file", inject_mapped_file, CHECK_ONCE},
    {"a copied file", inject_copied_file, CHECK_ONCE},
    {"a mapped window", inject_mapped_window, CHECK_ONCE},
    {"a file under an OFD lock", inject_ofd_locked_file, CHECK_ONCE},
    {"a lock that is required", inject_required_lock, CHECK_ONCE},
    {"a lock held elsewhere", inject_contended_lock, CHECK_ONCE},
    {"an empty file", inject_empty_file, CHECK_ONCE},
    {"a file without a size", inject_virtual_file, CHECK_ONCE},
    {"a descriptor of a small file", inject_small_descriptor, CHECK_ONCE},
    {"a descriptor of a mapped file", inject_mapped_descriptor, CHECK_ONCE},
    {"a long stream", inject_long_stream, CHECK_ONCE},
    {"a pipe", inject_pipe_stream, CHECK_ONCE},
    {"a FIFO", inject_fifo, CHECK_ONCE},
    {"a FIFO without a writer", inject_fifo_without_writer, CHECK_ONCE},
    {"a search without the guard", inject_guardless_search, CHECK_ONCE},
    {"many handles and pins", inject_many_handles_and_pins, CHECK_ONCE},
    {"a file that must be stable", inject_stable_file, CHECK_ONCE},
    {"a fault", inject_contained_fault, CHECK_ONCE},
    {"a fault in a mapping of other code", inject_foreign_fault, CHECK_ONCE},
    {"a foreign fault where the kernel only lists all mappings", inject_listed_foreign_fault, CHECK_ONCE},
    {"a foreign fault in a file without a path", inject_nameless_foreign_fault, CHECK_ONCE},
    {"a mapping that is adopted", inject_adopted_mapping, CHECK_ONCE},
    {"a fault in an adopted mapping", inject_adopted_fault, CHECK_ONCE},
    {"an adopted mapping under a lease", inject_leased_adoption, CHECK_ONCE},
    {"an adopted mapping with a copy in its place", inject_copied_adoption, CHECK_ONCE},
    {"a mapped file may change its size while it is opened", a_mapped_file_may_change_its_size_while_it_is_opened,
     CHECK_ONCE},
    {"a copied file may change its size while it is opened", a_copied_file_may_change_its_size_while_it_is_opened,
     CHECK_ONCE},
};

int
main(int argc, char **argv)
{
    signal(SIGBUS, SIG_DFL); /* installs the default action below the guard, in place of a sanitizer's handler */
    return check_main(argc, argv, cases, sizeof cases / sizeof *cases);
}
