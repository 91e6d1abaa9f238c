/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests what can be opened, and how, with one case for every kind of file that a path or a descriptor can name.
 * test_stream.c has the kinds that are read as streams.
 */
#include "sources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void
a_missing_file_is_not_found(void)
{
    const char *dangling = check_path("dangling");
    refuse(check_path("missing"), NULL, MMG_E_NOT_FOUND, ENOENT);
    refuse(check_path("missing/too"), NULL, MMG_E_NOT_FOUND, ENOENT);
    REQUIRE(symlink("nowhere", dangling) == 0);
    refuse(dangling, NULL, MMG_E_NOT_FOUND, ENOENT);
}

static void
a_path_through_a_file_is_not_found(void)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/below", check_file("file", 10));
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status = mmg_open(path, NULL, &handle, &error);
    CHECK(status == MMG_E_NOT_FOUND || status == MMG_E_SYSTEM);
    CHECK_I64(error.os_code, ENOTDIR);
}

static void
a_circle_of_links_is_an_error(void)
{
    const char *one = check_path("one");
    const char *two = check_path("two");
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    REQUIRE(symlink(two, one) == 0 && symlink(one, two) == 0);
    CHECK(mmg_open(one, NULL, &handle, &error) < 0);
    CHECK_U64(handle, 0);
    CHECK_I64(error.os_code, ELOOP);
}

static void
a_directory_is_not_mappable(void)
{
    const char *path = check_path("directory");
    REQUIRE(mkdir(path, 0755) == 0);
    for (uint32_t backing = MMG_BACKING_AUTO; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        refuse(path, &options, MMG_E_NOT_MAPPABLE, EISDIR);
        int descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        REQUIRE(descriptor >= 0);
        refuse_descriptor(descriptor, &options, MMG_E_NOT_MAPPABLE);
        mmg_handle handle = 1;
        CHECK_STATUS(mmg_read_fd(descriptor, NULL, &handle, NULL), MMG_E_NOT_MAPPABLE);
        close(descriptor);
    }
}

static void
a_socket_in_the_file_system_is_not_mappable(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = check_path("socket");
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof address.sun_path) {
        close(descriptor);
        check_skip("the directory for temporary files has too long a name for a socket");
        return;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    REQUIRE(descriptor >= 0 && bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0);
    refuse(path, NULL, MMG_E_NOT_MAPPABLE, -1);
    close(descriptor);
}

static void
as_nobody(void *path)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    check_become_nobody();
    CHECK_STATUS(mmg_open(path, NULL, &handle, &error), MMG_E_PERMISSION);
    CHECK_U64(handle, 0);
    CHECK_I64(error.os_code, EACCES);
    CHECK(strstr(error.message, path) != NULL);
}

static void
a_file_that_may_not_be_read_is_a_matter_of_permission(void)
{
    const char *path = check_file("file", 100);
    char above[4096];
    char copy[4096];
    snprintf(above, sizeof above, "%.*s", (int)(strrchr(path, '/') - path), path);
    REQUIRE(chmod(above, 0755) == 0 && chmod(path, 0) == 0);
    snprintf(copy, sizeof copy, "%s", path);
    CHECK_EXITED(check_child(as_nobody, copy));
    REQUIRE(chmod(above, 0700) == 0);
}

static void
an_empty_file_is_an_empty_region(void)
{
    for (uint32_t backing = MMG_BACKING_AUTO; backing <= MMG_BACKING_COPY; backing++) {
        mmg_options options = check_backing(backing);
        const char *path = check_file("empty", 0);
        mmg_handle handle = check_open(path, &options);
        mmg_info info = check_info(handle);
        mmg_span span = MMG_SPAN_INIT;
        uint8_t byte;
        uint64_t number = 1;
        CHECK_U64(info.size, 0);
        CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
        CHECK(backing != MMG_BACKING_AUTO || info.backing_reason == MMG_REASON_EMPTY);
        CHECK_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
        CHECK(span.data != NULL);
        CHECK_U64(span.size, 0);
        CHECK_STATUS(mmg_unpin(&span), MMG_OK);
        CHECK_STATUS(mmg_read(handle, 0, &byte, 1, &number), MMG_OK);
        CHECK_U64(number, 0);
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        check_truncate(path, 100);
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
an_empty_file_is_refused_on_demand(void)
{
    mmg_options options = MMG_OPTIONS_INIT;
    const char *path = check_file("empty", 0);
    options.flags = MMG_FLAG_REJECT_EMPTY;
    for (options.backing = MMG_BACKING_AUTO; options.backing <= MMG_BACKING_COPY; options.backing++) {
        refuse(path, &options, MMG_E_EMPTY, 0);
    }
    options.backing = MMG_BACKING_COPY; /* a file of /proc has bytes, although its size is 0 */
    CHECK_STATUS(mmg_close(check_open("/proc/self/status", &options), 0), MMG_OK);
    options.backing = MMG_BACKING_AUTO;
    CHECK_STATUS(mmg_close(check_open("/proc/self/status", &options), 0), MMG_OK);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    refuse_descriptor(descriptor, &options, MMG_E_EMPTY);
    mmg_handle handle = 1;
    CHECK_STATUS(mmg_read_fd(descriptor, &options, &handle, NULL), MMG_E_EMPTY);
    close(descriptor);
}

/** In a program that has closed its standard input, 0 is a descriptor as good as any. */
CHECK_IN_A_CHILD(descriptor_0_is_a_descriptor)
{
    const mmg_options options = check_backing(MMG_BACKING_MAP);
    const char *path = check_file("file", 50000);
    close(STDIN_FILENO);
    errno = EACCES; /* the errno of an earlier call means nothing */
    CHECK_STATUS(mmg_close(check_open(path, &options), 0), MMG_OK);
    CHECK(fcntl(STDIN_FILENO, F_GETFD) < 0);
}

static void
links_are_followed_unless_told_not_to(void)
{
    mmg_options options = MMG_OPTIONS_INIT;
    const char *path = check_file("file", 5000);
    const char *link = check_path("link");
    uint8_t expected[5000];
    check_fill(expected, 0, sizeof expected);
    REQUIRE(symlink("file", link) == 0);
    mmg_handle handle = check_open(link, NULL);
    check_contents(handle, expected, sizeof expected);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    options.flags = MMG_FLAG_NOFOLLOW;
    refuse(link, &options, MMG_E_NOT_MAPPABLE, -1);
    CHECK_STATUS(mmg_close(check_open(path, &options), 0), MMG_OK);
}

/** Reads a whole file of /proc by read(2). Returns its size. */
static size_t
slurp(const char *path, char *buffer, size_t room)
{
    size_t used = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    for (ssize_t got; (got = read(descriptor, buffer + used, room - used)) > 0;) {
        used += (size_t)got;
    }
    close(descriptor);
    return used;
}

static void
files_without_a_true_size_are_read(void)
{
    static const char *const paths[] = {"/proc/version", "/proc/sys/kernel/ostype", "/proc/filesystems"};
    static char expected[65536];
    for (size_t index = 0; index < sizeof paths / sizeof *paths; index++) {
        size_t size = slurp(paths[index], expected, sizeof expected);
        REQUIRE(size > 0 && size < sizeof expected);
        mmg_handle handle = check_open(paths[index], NULL);
        mmg_info info = check_info(handle);
        CHECK_U64(info.backing, MMG_BACKING_COPY);
        CHECK_U64(info.backing_reason, MMG_REASON_VIRTUAL);
        CHECK_U64(info.guarantee, MMG_GUARANTEE_STABLE);
        check_contents(handle, expected, size);
        CHECK_STATUS(mmg_check(handle), MMG_OK);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
        mmg_options options = MMG_OPTIONS_INIT;
        options.max_bytes = size;
        CHECK_STATUS(mmg_close(check_open(paths[index], &options), 0), MMG_OK);
        options.max_bytes = size - 1;
        refuse(paths[index], &options, MMG_E_TOO_BIG, -1);
    }
}

static void
a_file_of_sysfs_is_read_to_its_true_end(void)
{
    static const char path[] = "/sys/kernel/mm/transparent_hugepage/enabled";
    static char expected[65536];
    if (access(path, R_OK) != 0) {
        check_skip("this kernel has no transparent huge pages");
        return;
    }
    size_t size = slurp(path, expected, sizeof expected);
    mmg_handle handle = check_open(path, NULL);
    CHECK_U64(check_info(handle).size, size);
    check_contents(handle, expected, size);
    CHECK_STATUS(mmg_check(handle), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
dev_null_is_empty_and_dev_zero_has_no_end(void)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = check_open("/dev/null", NULL);
    CHECK_U64(check_info(handle).size, 0);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    options.max_bytes = 100000;
    refuse("/dev/zero", &options, MMG_E_TOO_BIG, -1);
    options.length = 100000;
    handle = check_open("/dev/zero", &options);
    mmg_span span = MMG_SPAN_INIT;
    REQUIRE_STATUS(mmg_pin(handle, 0, MMG_TO_END, &span), MMG_OK);
    CHECK_U64(span.size, 100000);
    CHECK(check_is_zero(span.data, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_number_that_is_no_open_descriptor_is_an_argument_error(void)
{
    static const int wrong[] = {-1, -2, -100, INT32_MIN, INT32_MAX, 1000000};
    mmg_handle handle = 1;
    for (size_t index = 0; index < sizeof wrong / sizeof *wrong; index++) {
        refuse_descriptor(wrong[index], NULL, MMG_E_ARGUMENT);
        CHECK_STATUS(mmg_read_fd(wrong[index], NULL, &handle, NULL), MMG_E_ARGUMENT);
    }
    int closed = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(closed);
    refuse_descriptor(closed, NULL, MMG_E_ARGUMENT);
}

static void
a_descriptor_for_writing_only_may_not_be_read(void)
{
    int ends[2];
    mmg_handle handle = 1;
    static const uint64_t sizes[] = {0, 100, 300000};
    for (size_t index = 0; index < 3; index++) {
        int descriptor = open(check_file("file", sizes[index]), O_WRONLY | O_CLOEXEC);
        REQUIRE(descriptor >= 0);
        refuse_descriptor(descriptor, NULL, MMG_E_PERMISSION);
        CHECK_STATUS(mmg_read_fd(descriptor, NULL, &handle, NULL), MMG_E_PERMISSION);
        close(descriptor);
    }
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    refuse_descriptor(ends[1], NULL, MMG_E_PERMISSION);
    CHECK_STATUS(mmg_read_fd(ends[1], NULL, &handle, NULL), MMG_E_PERMISSION);
    close(ends[0]);
    close(ends[1]);
}

static void
a_descriptor_of_o_path_is_refused(void)
{
    const char *path = check_file("file", 300000);
    mmg_handle handle = 0;
    int descriptor = open(path, O_PATH | O_CLOEXEC);
    REQUIRE(descriptor >= 0);
    CHECK_STATUS(mmg_open_fd(descriptor, NULL, &handle, NULL), MMG_E_ARGUMENT);
    CHECK_U64(handle, 0);
    close(descriptor);
}

static void
an_unlinked_file_opens_by_its_descriptor(void)
{
    for (unsigned round = 0; round < 2; round++) {
        uint64_t size = round == 0 ? 1000 : 300000;
        static uint8_t expected[300000];
        mmg_handle handle = 0;
        const char *path = check_file("file", size);
        int descriptor = open(path, O_RDONLY | O_CLOEXEC);
        REQUIRE(descriptor >= 0 && unlink(path) == 0);
        REQUIRE_STATUS(mmg_open_fd(descriptor, NULL, &handle, NULL), MMG_OK);
        close(descriptor);
        check_fill(expected, 0, (size_t)size);
        check_contents(handle, expected, size);
        CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
    }
}

static void
a_file_without_a_name_opens_by_its_descriptor(void)
{
    static const uint8_t expected[] = "bytes in memory";
    mmg_handle handle = 0;
    mmg_options options = check_backing(MMG_BACKING_MAP);
    int descriptor = memfd_create("test", MFD_CLOEXEC);
    REQUIRE(descriptor >= 0 && write(descriptor, expected, sizeof expected) == sizeof expected);
    REQUIRE_STATUS(mmg_open_fd(descriptor, &options, &handle, NULL), MMG_OK);
    close(descriptor);
    check_contents(handle, expected, sizeof expected);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
load_reads_a_file_as_open_does(void)
{
    static uint8_t expected[300000];
    mmg_handle handle = 0;
    check_fill(expected, 0, sizeof expected);
    REQUIRE_STATUS(mmg_load(check_file("file", sizeof expected), NULL, &handle, NULL), MMG_OK);
    CHECK_U64(check_info(handle).backing, MMG_BACKING_MAP);
    check_contents(handle, expected, sizeof expected);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static void
a_sparse_file_reads_as_zeroes(void)
{
    const char *path = check_file("sparse", 0);
    mmg_options window = MMG_OPTIONS_INIT;
    mmg_handle handle = 0;
    mmg_span span = MMG_SPAN_INIT;
    check_truncate(path, UINT64_C(1) << 33);
    if (sizeof(void *) < 8) { /* the whole file does not fit, but a window behind the first 4 GiB does */
        CHECK_STATUS(mmg_open(path, NULL, &handle, NULL), MMG_E_TOO_BIG);
        window.offset = UINT64_C(1) << 32;
        window.length = UINT64_C(1) << 20;
    }
    handle = check_open(path, &window);
    CHECK_U64(check_info(handle).size, sizeof(void *) < 8 ? window.length : UINT64_C(1) << 33);
    REQUIRE_STATUS(mmg_pin(handle, (UINT64_C(1) << 32) + 5 - window.offset, 10000, &span), MMG_OK);
    CHECK(check_is_zero(span.data, span.size));
    CHECK_STATUS(mmg_unpin(&span), MMG_OK);
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

static const struct check_case cases[] = {
    {"a missing file is not found", a_missing_file_is_not_found, 0},
    {"a path through a file is not found", a_path_through_a_file_is_not_found, 0},
    {"a circle of links is an error", a_circle_of_links_is_an_error, 0},
    {"a directory is not mappable", a_directory_is_not_mappable, 0},
    {"a socket in the file system is not mappable", a_socket_in_the_file_system_is_not_mappable, 0},
    {"a file that may not be read is a matter of permission", a_file_that_may_not_be_read_is_a_matter_of_permission, 0},
    {"an empty file is an empty region", an_empty_file_is_an_empty_region, 0},
    {"an empty file is refused on demand", an_empty_file_is_refused_on_demand, 0},
    {"descriptor 0 is a descriptor", descriptor_0_is_a_descriptor, 0},
    {"links are followed unless told not to", links_are_followed_unless_told_not_to, 0},
    {"files without a true size are read", files_without_a_true_size_are_read, 0},
    {"a file of sysfs is read to its true end", a_file_of_sysfs_is_read_to_its_true_end, 0},
    {"/dev/null is empty and /dev/zero has no end", dev_null_is_empty_and_dev_zero_has_no_end, 0},
    {"a number that is no open descriptor is an argument error",
     a_number_that_is_no_open_descriptor_is_an_argument_error, 0},
    {"a descriptor for writing only may not be read", a_descriptor_for_writing_only_may_not_be_read, 0},
    {"a descriptor of O_PATH is refused", a_descriptor_of_o_path_is_refused, 0},
    {"an unlinked file opens by its descriptor", an_unlinked_file_opens_by_its_descriptor, 0},
    {"a file without a name opens by its descriptor", a_file_without_a_name_opens_by_its_descriptor, 0},
    {"load reads a file as open does", load_reads_a_file_as_open_does, 0},
    {"a sparse file reads as zeroes", a_sparse_file_reads_as_zeroes, 0},
};

CHECK_MAIN(cases)
