/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The scenarios that open files: small and large, by path and by descriptor, with locks, as streams, and as STABLE.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "mmapguard_arrow.h"
#include "inject.h"

const char *path;

void
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
    for (uint32_t advice = MMG_ADVICE_NORMAL; advice <= MMG_ADVICE_EVICT; advice++) {
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

void
small_file(void)
{
    open_path(NULL, MMG_OK, 0, 5000);
}

void
mapped_file(void)
{
    open_path(NULL, MMG_OK, 0, SIZE);
}

void
copied_file(void)
{
    mmg_options options = check_backing(MMG_BACKING_COPY);
    open_path(&options, MMG_OK, 0, SIZE);
}

void
mapped_window(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.offset = 5000;
    options.length = 100000;
    options.access = MMG_ADVICE_SEQUENTIAL;
    options.flags = MMG_FLAG_POPULATE;
    open_path(&options, MMG_OK, 5000, 100000);
}

void
ofd_locked_file(void)
{
    mmg_options options = check_backing(MMG_BACKING_MAP);
    options.lock = MMG_LOCK_OFD;
    open_path(&options, MMG_OK, 0, SIZE);
}

void
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

void
contended_lock(void)
{
    mmg_options options = MMG_OPTIONS_INIT;
    int holder = open(path, O_RDWR | O_CLOEXEC);
    REQUIRE(holder >= 0 && flock(holder, LOCK_EX) == 0);
    options.lock_wait_ms = 2;
    open_path(&options, MMG_E_WOULD_BLOCK, 0, SIZE);
    close(holder);
}

void
empty_file(void)
{
    open_path(NULL, MMG_OK, MMG_TO_END, 0);
}

void
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

void
small_descriptor(void)
{
    descriptor_of(5000);
}

void
mapped_descriptor(void)
{
    descriptor_of(SIZE);
}

/** A long stream, for which a regular file is read as a stream. */
void
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
void
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
void
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

void
fifo_without_writer(void)
{
    open_path(NULL, MMG_E_WOULD_BLOCK, MMG_TO_END, 0);
}

void
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

void
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

/** Uses more handles and pins at once than the first chunks of the tables have. */
void
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
