/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests the checks of the exported functions. They refuse NULL, unknown flags and unknown values, and leave outputs
 * unchanged on failure.
 */
#include "check.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void
a_null_where_none_is_allowed_is_refused(void)
{
    const char *path = check_file("file", 100);
    mmg_handle handle = check_open(path, NULL);
    mmg_handle other = 0;
    mmg_span span = MMG_SPAN_INIT;
    uint64_t number = 0;
    uint8_t byte = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    CHECK_STATUS(mmg_options_init(NULL, (uint32_t)sizeof(mmg_options)), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_open(NULL, NULL, &other, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_open(path, NULL, NULL, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_load(NULL, NULL, &other, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_load(path, NULL, NULL, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_open_fd(descriptor, NULL, NULL, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_read_fd(descriptor, NULL, NULL, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_pin(handle, 0, 1, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_unpin(NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_read(handle, 0, NULL, 1, &number), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_read(handle, 0, &byte, 1, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, NULL, 1, &number), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_find(handle, 0, MMG_TO_END, "x", 1, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_changed(handle, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_info_get(handle, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_stats_get(NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_resident(handle, 0, MMG_TO_END, NULL), MMG_E_ARGUMENT);
    CHECK_I64(mmg_handle_fault(7, NULL, NULL), 0);
    CHECK_U64(number, 0);
    CHECK_U64(span.pin, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    close(descriptor);
}

static void
a_null_is_fine_where_it_is_documented(void)
{
    const char *path = check_file("file", 100);
    mmg_handle handle = 0;
    uint64_t got = 7;
    uint64_t position = 7;
    REQUIRE_STATUS(mmg_open(path, NULL, &handle, NULL), MMG_OK);
    CHECK_STATUS(mmg_read(handle, 3, NULL, 0, &got), MMG_OK);
    CHECK_U64(got, 0);
    CHECK_STATUS(mmg_find(handle, 3, MMG_TO_END, NULL, 0, &position), MMG_OK);
    CHECK_U64(position, 3);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
refuse(const char *path, const mmg_options *options)
{
    mmg_handle handle = 12345;
    mmg_error error = MMG_ERROR_INIT;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    CHECK_STATUS(mmg_open(path, options, &handle, &error), MMG_E_ARGUMENT);
    CHECK_U64(handle, 0);
    CHECK_STATUS(error.status, MMG_E_ARGUMENT);
    CHECK_I64(error.os_code, 0);
    CHECK_TEXT(error.operation, "options");
    handle = 12345;
    CHECK_STATUS(mmg_open_fd(descriptor, options, &handle, NULL), MMG_E_ARGUMENT);
    CHECK_U64(handle, 0);
    CHECK_STATUS(mmg_load(path, options, &handle, NULL), MMG_E_ARGUMENT);
    CHECK_STATUS(mmg_read_fd(descriptor, options, &handle, NULL), MMG_E_ARGUMENT);
    CHECK_I64(lseek(descriptor, 0, SEEK_CUR), 0);
    close(descriptor);
}

static void
unknown_option_values_are_refused(void)
{
    const char *path = check_file("file", 100);
    static const uint32_t wrong[] = {3, 7, 8, 255, 256, 0x10000, 0x80000000U, UINT32_MAX};
    for (size_t index = 0; index < sizeof wrong / sizeof *wrong; index++) {
        mmg_options options = MMG_OPTIONS_INIT;
        options.backing = wrong[index];
        refuse(path, &options);
        options = (mmg_options)MMG_OPTIONS_INIT;
        options.guarantee = wrong[index];
        refuse(path, &options);
        options = (mmg_options)MMG_OPTIONS_INIT;
        options.lock = wrong[index] == MMG_LOCK_NONE ? MMG_LOCK_NONE + 1 : wrong[index];
        refuse(path, &options);
        options = (mmg_options)MMG_OPTIONS_INIT;
        options.access = wrong[index] == 3 ? MMG_ADVICE_DONTNEED : wrong[index];
        refuse(path, &options);
    }
    mmg_options options = MMG_OPTIONS_INIT;
    options.access = MMG_ADVICE_POPULATE;
    refuse(path, &options);
    options = (mmg_options)MMG_OPTIONS_INIT;
    options.reserved = 1;
    refuse(path, &options);
    options = (mmg_options)MMG_OPTIONS_INIT;
    options.flags = MMG_FLAG_REQUIRE_GUARD | MMG_FLAG_NO_FAULT_GUARD;
    refuse(path, &options);
}

static void
every_unknown_flag_bit_is_refused(void)
{
    const char *path = check_file("file", 100);
    for (unsigned bit = 0; bit < 64; bit++) {
        mmg_options options = MMG_OPTIONS_INIT;
        options.flags = UINT64_C(1) << bit;
        if (options.flags > MMG_FLAG_SHARED_WRITABLE) {
            refuse(path, &options);
            options.flags |= MMG_FLAG_POPULATE;
            refuse(path, &options);
        }
    }
}

static void
every_known_flag_and_value_is_accepted(void)
{
    const char *path = check_file("file", 100);
    for (uint64_t flag = 1; flag <= MMG_FLAG_SHARED_WRITABLE; flag *= 2) {
        mmg_options options = MMG_OPTIONS_INIT;
        mmg_handle handle = 0;
        options.flags = flag;
        mmg_status status = mmg_open(path, &options, &handle, NULL);
        if (flag == MMG_FLAG_NO_WRITERS && status == MMG_E_UNSUPPORTED) {
            continue; /* this file system has no leases */
        }
        CHECK_STATUS(status, MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
    for (uint32_t access = MMG_ADVICE_NORMAL; access <= MMG_ADVICE_HUGEPAGE; access++) {
        for (uint32_t backing = MMG_BACKING_AUTO; backing <= MMG_BACKING_COPY; backing++) {
            mmg_options options = check_backing(backing);
            options.access = access;
            CHECK_STATUS(mmg_close(check_open(path, &options), 0), MMG_OK);
        }
    }
}

static void
nofollow_has_no_meaning_for_a_descriptor(void)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 1;
    int descriptor = open(check_file("file", 100), O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    options.flags = MMG_FLAG_NOFOLLOW;
    CHECK_STATUS(mmg_open_fd(descriptor, &options, &handle, NULL), MMG_E_ARGUMENT);
    CHECK_U64(handle, 0);
    close(descriptor);
}

static void
unknown_close_flags_leave_the_handle_open(void)
{
    mmg_handle handle = check_open(check_file("file", 100), NULL);
    for (unsigned bit = 1; bit < 32; bit++) {
        CHECK_STATUS(mmg_close(handle, UINT32_C(1) << bit), MMG_E_ARGUMENT);
        CHECK_STATUS(mmg_close(handle, (UINT32_C(1) << bit) | MMG_CLOSE_STRICT), MMG_E_ARGUMENT);
    }
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, MMG_CLOSE_STRICT), MMG_OK);
}

static void
unknown_advice_is_refused(void)
{
    for (uint32_t backing = MMG_BACKING_MAP; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        mmg_handle handle = check_open(check_file("file", 100), &options);
        CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_EVICT + 1), MMG_E_ARGUMENT);
        CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, 99), MMG_E_ARGUMENT);
        CHECK_STATUS(mmg_advise(handle, 0, MMG_TO_END, UINT32_MAX), MMG_E_ARGUMENT);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

/** Fills an output with a byte that it would hardly ever have by chance. */
static void
taint(void *bytes, size_t size)
{
    memset(bytes, 0xa5, size);
}

static bool
is_tainted(const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;
    for (size_t at = 0; at < size; at++) {
        if (byte[at] != 0xa5) {
            return false;
        }
    }
    return true;
}

static void
outputs_are_left_alone_on_failure(void)
{
    mmg_handle closed = check_open(check_file("file", 100), NULL);
    mmg_handle open_one = check_open(check_file("file", 100), NULL);
    const mmg_handle handles[2] = {closed, open_one};
    REQUIRE_STATUS(mmg_close(closed, 0), MMG_OK);
    for (size_t index = 0; index < 2; index++) {
        mmg_handle handle = handles[index];
        uint64_t offset = handle == closed ? 0 : 101;
        mmg_span span;
        uint64_t number;
        uint32_t what;
        uint8_t buffer[16];
        taint(&span, sizeof span);
        taint(&number, sizeof number);
        taint(&what, sizeof what);
        taint(buffer, sizeof buffer);
        CHECK(mmg_pin(handle, offset, 1, &span) < 0 && is_tainted(&span, sizeof span));
        CHECK(mmg_read(handle, offset, buffer, sizeof buffer, &number) < 0);
        CHECK(is_tainted(buffer, sizeof buffer) && is_tainted(&number, sizeof number));
        CHECK(mmg_find(handle, offset, 1, "x", 1, &number) < 0 && is_tainted(&number, sizeof number));
        CHECK(mmg_resident(handle, offset, 1, &number) < 0 && is_tainted(&number, sizeof number));
        CHECK(handle == open_one || (mmg_changed(handle, &what) < 0 && is_tainted(&what, sizeof what)));
    }
    mmg_info info;
    taint(&info, sizeof info);
    info.struct_size = (uint32_t)sizeof info;
    CHECK_STATUS(mmg_info_get(closed, &info), MMG_E_HANDLE);
    CHECK(info.struct_size == sizeof info && is_tainted(&info.backing, sizeof info - sizeof info.struct_size));
    CHECK_STATUS(mmg_close(open_one, 0), MMG_OK);
}

static void
a_window_outside_the_file_is_out_of_range(void)
{
    const char *path = check_file("file", 10000);
    static const struct {
        uint64_t offset;
        uint64_t length;
        mmg_status status;
    } windows[] = {
        {0, 0, MMG_OK},
        {0, 1, MMG_OK},
        {0, 10000, MMG_OK},
        {0, 10001, MMG_E_RANGE},
        {9999, 0, MMG_OK},
        {9999, 1, MMG_OK},
        {9999, 2, MMG_E_RANGE},
        {10000, 0, MMG_OK},
        {10000, 1, MMG_E_RANGE},
        {10001, 0, MMG_E_RANGE},
        {10001, 1, MMG_E_RANGE},
        {1, UINT64_MAX - 1, MMG_E_RANGE},
        {1, INT64_MAX, MMG_E_RANGE},
        {INT64_MAX, 1, MMG_E_RANGE},
        {INT64_MAX, 0, MMG_E_RANGE},
        {UINT64_MAX, 0, MMG_E_RANGE},
        {UINT64_MAX, 1, MMG_E_RANGE},
        {UINT64_MAX, UINT64_MAX - 1, MMG_E_RANGE},
        {UINT64_MAX - 1, 3, MMG_E_RANGE},
        {UINT64_C(1) << 63, UINT64_C(1) << 63, MMG_E_RANGE},
    };
    for (size_t index = 0; index < sizeof windows / sizeof *windows; index++) {
        for (uint32_t backing = MMG_BACKING_AUTO; backing <= MMG_BACKING_COPY; backing++) {
            mmg_options options = check_backing(backing);
            mmg_handle handle = 1;
            options.offset = windows[index].offset;
            options.length = windows[index].length;
            CHECK_STATUS(mmg_open(path, &options, &handle, NULL), windows[index].status);
            if (windows[index].status != MMG_OK) {
                CHECK_U64(handle, 0);
                continue;
            }
            mmg_info info = check_info(handle);
            CHECK_U64(info.offset, options.offset);
            CHECK_U64(info.size, options.length == 0 ? 10000 - options.offset : options.length);
            CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        }
    }
}

/** Opens a window with this length, of a file or of a stream, and returns the status. */
static mmg_status
open_window(const char *path, bool as_stream, uint64_t length)
{
    mmg_handle handle = 0;
    mmg_options options = MMG_OPTIONS_INIT;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    options.length = length;
    mmg_status status = as_stream ? mmg_read_fd(descriptor, &options, &handle, NULL)
                                  : mmg_open(path, &options, &handle, NULL);
    CHECK(status != MMG_OK || mmg_close(handle, 0) == MMG_OK);
    close(descriptor);
    return status;
}

static void
an_absurd_length_means_the_same_for_files_and_streams(void)
{
    static const uint64_t lengths[] = {INT64_MAX, UINT64_MAX - 1, MMG_TO_END};
    const char *full = check_file("full", 10000);
    const char *empty = check_file("empty", 0);
    for (size_t index = 0; index < sizeof lengths / sizeof *lengths; index++) {
        /* A stream has no size in advance, so its status may be that of the cap. */
        mmg_status of_file = open_window(full, false, lengths[index]);
        mmg_status of_empty = open_window(empty, false, lengths[index]);
        mmg_status of_stream = open_window(full, true, lengths[index]);
        CHECK(of_empty == of_file || (of_file == MMG_E_RANGE && of_empty == MMG_E_TOO_BIG));
        CHECK(of_stream == of_file || (of_file == MMG_E_RANGE && of_stream == MMG_E_TOO_BIG));
    }
}

static const struct check_case cases[] = {
    {"a NULL where none is allowed is refused", a_null_where_none_is_allowed_is_refused, 0},
    {"a NULL is fine where it is documented", a_null_is_fine_where_it_is_documented, 0},
    {"unknown option values are refused", unknown_option_values_are_refused, 0},
    {"every unknown flag bit is refused", every_unknown_flag_bit_is_refused, 0},
    {"every known flag and value is accepted", every_known_flag_and_value_is_accepted, 0},
    {"NOFOLLOW has no meaning for a descriptor", nofollow_has_no_meaning_for_a_descriptor, 0},
    {"unknown close flags leave the handle open", unknown_close_flags_leave_the_handle_open, 0},
    {"unknown advice is refused", unknown_advice_is_refused, 0},
    {"outputs are left alone on failure", outputs_are_left_alone_on_failure, 0},
    {"an absurd length means the same for files and streams", an_absurd_length_means_the_same_for_files_and_streams, 0},
    {"a window outside the file is out of range", a_window_outside_the_file_is_out_of_range, 0},
};

CHECK_MAIN(cases)
