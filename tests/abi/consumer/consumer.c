/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program that was compiled as C99 against a recorded header, and must work with every later library. It makes FILE,
 * opens, pins, reads, searches and describes it, and causes errors. When a result is wrong, the program prints it and
 * exits with 1; otherwise it prints nothing.
 */
#include <stdio.h>
#include <string.h>

#include "mmapguard.h"

#define SIZE 300000u /* above the copy threshold: mapped */

static int failures;

static void
check(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "%s\n", what);
        failures++;
    }
}

#define CHECK(condition) check((condition), #condition)

static unsigned char
byte_at(unsigned long offset)
{
    return (unsigned char)(offset * 31 + offset / 251);
}

static int
make(const char *path)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        return 0;
    }
    for (unsigned long at = 0; at < SIZE; at++) {
        fputc(byte_at(at), file);
    }
    return fclose(file) == 0;
}

static void
check_region(mmg_handle handle)
{
    mmg_span span = MMG_SPAN_INIT;
    mmg_info info = MMG_INFO_INIT;
    unsigned char bytes[64];
    uint64_t got = 0, position = 0, resident = 0;
    uint32_t changed = 99;

    CHECK(mmg_info_get(handle, &info) == MMG_OK);
    CHECK(info.struct_size == sizeof info);
    CHECK(info.backing == MMG_BACKING_MAP);
    CHECK(info.backing_reason == MMG_REASON_LARGE);
    CHECK(info.guarantee == MMG_GUARANTEE_CONTAINED);
    CHECK(info.lock == MMG_LOCK_SHARED || info.lock == MMG_LOCK_NONE);
    CHECK(info.size == SIZE - 7);
    CHECK(info.offset == 7);
    CHECK(info.file_size == SIZE);
    CHECK(info.fault_offset == MMG_TO_END);
    CHECK(info.mtime_nanoseconds < 1000000000u);
    CHECK(info.mapped_bytes >= SIZE - 7);
    CHECK(info.pins == 0);
    CHECK(info.page_size >= 4096);

    CHECK(mmg_pin(handle, 5, 1000, &span) == MMG_OK);
    CHECK(span.size == 1000);
    CHECK(span.data != NULL && span.data[0] == byte_at(12) && span.data[999] == byte_at(1011));
    CHECK(mmg_info_get(handle, &info) == MMG_OK && info.pins == 1);
    CHECK(mmg_close(handle, MMG_CLOSE_STRICT) == MMG_E_BUSY);
    CHECK(mmg_unpin(&span) == MMG_OK);
    CHECK(span.size == 0 && span.pin == 0 && span.data != NULL);
    CHECK(mmg_pin(handle, SIZE, 1, &span) == MMG_E_RANGE);

    CHECK(mmg_read(handle, SIZE - 7 - 10, bytes, sizeof bytes, &got) == MMG_OK);
    CHECK(got == 10 && bytes[0] == byte_at(SIZE - 10) && bytes[9] == byte_at(SIZE - 1));
    CHECK(mmg_find(handle, 0, MMG_TO_END, bytes, 10, &position) == MMG_OK);
    CHECK(position != MMG_NOT_FOUND && position <= SIZE - 7 - 10);
    CHECK(mmg_advise(handle, 0, MMG_TO_END, MMG_ADVICE_SEQUENTIAL) == MMG_OK);
    CHECK(mmg_resident(handle, 0, MMG_TO_END, &resident) == MMG_OK && resident <= SIZE);
    CHECK(mmg_changed(handle, &changed) == MMG_OK && changed == 0);
    CHECK(mmg_check(handle) == MMG_OK);
}

static void
check_errors(const char *path)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_info *volatile nowhere = NULL; /* volatile, since a compiler that sees the NULL rejects the call */

    CHECK(mmg_open("/nonexistent/file", NULL, &handle, &error) == MMG_E_NOT_FOUND);
    CHECK(handle == 0);
    CHECK(error.status == MMG_E_NOT_FOUND && error.os_code != 0);
    CHECK(strcmp(error.operation, "open") == 0);
    CHECK(strstr(error.message, "/nonexistent/file") != NULL);
    options.flags = UINT64_C(1) << 63;
    CHECK(mmg_open(path, &options, &handle, NULL) == MMG_E_ARGUMENT);
    CHECK(mmg_options_init(&options, sizeof options) == MMG_OK);
    CHECK(options.struct_size == sizeof options && options.flags == 0);
    options.offset = SIZE + 1;
    CHECK(mmg_open(path, &options, &handle, NULL) == MMG_E_RANGE);
    options.struct_size = 3;
    CHECK(mmg_open(path, &options, &handle, NULL) == MMG_E_ABI_SIZE);
    CHECK(mmg_check(0) == MMG_E_HANDLE);
    CHECK(mmg_info_get(0, nowhere) == MMG_E_ARGUMENT);
}

int
main(int argc, char **argv)
{
    mmg_handle handle = 0;
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_stats before = MMG_STATS_INIT, after = MMG_STATS_INIT;

    if (argc != 2 || !make(argv[1])) {
        fprintf(stderr, "usage: consumer FILE, which is written\n");
        return 2;
    }
    CHECK(mmg_abi_version() >= MMG_ABI && mmg_abi_version() >> 16 == MMG_ABI >> 16);
    CHECK(strlen(mmg_version()) >= 5);
    CHECK(strcmp(mmg_status_name(MMG_E_TRUNCATED), "MMG_E_TRUNCATED") == 0);
    CHECK(strlen(mmg_status_message(MMG_E_IO)) > 0);
    CHECK(strcmp(mmg_term(MMG_TERM_BACKING, MMG_BACKING_COPY), "copy") == 0);
    CHECK(mmg_supports(MMG_FEATURE_FAULT_GUARD) == 1 && mmg_supports(0xFFFFFFFFu) == 0);
    CHECK(mmg_stats_get(&before) == MMG_OK && before.struct_size == sizeof before);

    options.offset = 7;
    if (mmg_open(argv[1], &options, &handle, NULL) != MMG_OK) {
        fprintf(stderr, "mmg_open() does not open %s\n", argv[1]);
        return 1;
    }
    CHECK(handle != 0 && handle < UINT64_C(1) << 53);
    CHECK(mmg_guard_state() == MMG_GUARD_TOP && mmg_guard_install() == MMG_OK);
    CHECK(mmg_handle_fault(0, NULL, NULL) == 0);
    CHECK(mmg_stats_get(&after) == MMG_OK);
    CHECK(after.handles == before.handles + 1 && after.opened == before.opened + 1);
    CHECK(after.mappings == before.mappings + 1 && after.mapped_bytes >= before.mapped_bytes + SIZE - 7);
    check_region(handle);
    check_errors(argv[1]);
    CHECK(mmg_close(handle, 0) == MMG_OK && mmg_close(handle, 0) == MMG_E_HANDLE);
    CHECK(mmg_load(argv[1], NULL, &handle, NULL) == MMG_OK && mmg_close(handle, 0) == MMG_OK);
    CHECK(mmg_open_fd(-1, NULL, &handle, NULL) == MMG_E_ARGUMENT);
    CHECK(mmg_read_fd(-1, NULL, &handle, NULL) == MMG_E_ARGUMENT);
    CHECK(mmg_stats_get(&after) == MMG_OK && after.handles == before.handles);
    return failures != 0;
}
