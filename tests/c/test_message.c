/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests mmg_error: it says what has failed, where, and for which path, and its text is well-formed for any bytes in a path.
 */
#include "check.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

static void
an_error_names_the_path_and_the_operation(void)
{
    const char *missing = check_path("no such file");
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_open(missing, NULL, &handle, &error), MMG_E_NOT_FOUND);
    CHECK_U64(handle, 0);
    CHECK_STATUS(error.status, MMG_E_NOT_FOUND);
    CHECK_I64(error.os_code, ENOENT);
    CHECK_U64(error.struct_size, sizeof error);
    CHECK_U64(error.reserved, 0);
    CHECK_U64(error.offset, 0);
    CHECK_TEXT(error.operation, "open");
    CHECK(strstr(error.message, missing) != NULL);
}

static void
success_clears_what_an_error_held(void)
{
    const char *path = check_file("file", 100);
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_open(check_path("missing"), NULL, &handle, &error), MMG_E_NOT_FOUND);
    CHECK_STATUS(mmg_open(path, NULL, &handle, &error), MMG_OK);
    CHECK_U64(error.struct_size, sizeof error);
    CHECK_STATUS(error.status, MMG_OK);
    CHECK_U64((uint64_t)error.os_code, 0);
    CHECK_TEXT(error.operation, "");
    CHECK_TEXT(error.message, "");
    CHECK_STATUS(mmg_close(handle, 0), MMG_OK);
}

/** Where the library knows more than the number of an error, a message says it, and no other message does. */
static void
a_message_tells_the_cause_of_its_own_error(void)
{
    static char name[300]; /* longer than the name of a file may be */
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    const char *circle = check_path("circle");
    REQUIRE(symlink("circle", circle) == 0);
    memset(name, 'x', sizeof name - 1);
    const char *paths[] = {circle, check_path("no such file"), check_path(name)};
    const int codes[] = {ELOOP, ENOENT, ENAMETOOLONG};
    for (size_t index = 0; index < 3; index++) {
        CHECK(mmg_open(paths[index], NULL, &handle, &error) < 0);
        CHECK_I64(error.os_code, codes[index]);
        CHECK(strstr(error.message, "no descriptors left") == NULL);
        CHECK((strstr(error.message, "is too long") != NULL) == (codes[index] == ENAMETOOLONG));
    }
}

/** Returns true when the text is well-formed UTF-8 without control characters, with its NUL inside the array. */
static bool
is_clean_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size);
    if (length == size) {
        return false;
    }
    for (size_t at = 0; at < length;) {
        uint8_t lead = (uint8_t)text[at++];
        unsigned follow = lead < 0x80                   ? 0
                          : lead >= 0xc2 && lead < 0xe0 ? 1
                          : lead >= 0xe0 && lead < 0xf0 ? 2
                          : lead >= 0xf0 && lead < 0xf5 ? 3
                                                        : 9;
        bool is_control = lead < ' ' || lead == 0x7f || (lead == 0xc2 && (uint8_t)text[at] < 0xa0);
        if (follow == 9 || is_control) {
            return false;
        }
        for (; follow > 0; follow--, at++) {
            if (((uint8_t)text[at] & 0xc0) != 0x80) {
                return false;
            }
        }
    }
    return true;
}

static void
undecodable_bytes_of_a_path_are_escaped(void)
{
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_open(check_path("ab\xff\xc3(cd\xe2\x82"), NULL, &handle, &error), MMG_E_NOT_FOUND);
    CHECK(is_clean_text(error.message, sizeof error.message));
    CHECK(strcasestr(error.message, "ab\\xff\\xc3(cd\\xe2\\x82") != NULL);
    CHECK_STATUS(mmg_open(check_path("gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x91\x8b"), NULL, &handle, &error),
                 MMG_E_NOT_FOUND);
    CHECK(is_clean_text(error.message, sizeof error.message));
    CHECK(strstr(error.message, "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x91\x8b") != NULL);
}

/** A terminal obeys them: ESC [ and U+009B start the same commands. U+00A0, a space, is the first that is none. */
static void
control_characters_of_a_path_are_escaped(void)
{
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_open(check_path("a\x01\n\x1b[2J\x7f"), NULL, &handle, &error), MMG_E_NOT_FOUND);
    CHECK(strstr(error.message, "a\\x01\\x0A\\x1B[2J\\x7F'") != NULL);
    CHECK_STATUS(mmg_open(check_path("b\xc2\x80\xc2\x9b"
                                     "2J\xc2\x9f\xc2\xa0."),
                          NULL, &handle, &error),
                 MMG_E_NOT_FOUND);
    CHECK(is_clean_text(error.message, sizeof error.message));
    CHECK(strstr(error.message, "b\\xC2\\x80\\xC2\\x9B2J\\xC2\\x9F\xc2\xa0.'") != NULL);
}

/** Returns true when the message about a missing file with this name has these words. */
static bool
is_told(const char *name, const char *words)
{
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_open(check_path(name), NULL, &handle, &error), MMG_E_NOT_FOUND);
    return strstr(error.message, words) != NULL;
}

/** The first and the last character of each kind stand as they are, and what lies just beyond them does not. */
static void
characters_at_the_edges_of_utf_8_are_told_apart(void)
{
    static const char *const whole[] = {
        "<\xc2\xa0>",
        "<\xdf\xbf>",
        "<\xe0\xa0\x80>",
        "<\xed\x9f\xbf>",
        "<\xee\x80\x80>",
        "<\xef\xbf\xbf>",
        "<\xf0\x90\x80\x80>",
        "<\xf4\x8f\xbf\xbf>",
        "<\xe1\x80\xbf>",
        "<\xf1\x80\x80\xbf>",
        "<~>",
    };
    static const struct {
        const char *name, *told;
    } broken[] = {
        {"<\xc1\xbf>", "<\\xC1\\xBF>"},
        {"<\xe0\x9f\xbf>", "<\\xE0\\x9F\\xBF>"},
        {"<\xed\xa0\x80>", "<\\xED\\xA0\\x80>"},
        {"<\xf0\x8f\xbf\xbf>", "<\\xF0\\x8F\\xBF\\xBF>"},
        {"<\xf4\x90\x80\x80>", "<\\xF4\\x90\\x80\\x80>"},
        {"<\xf5\x80\x80\x80>", "<\\xF5\\x80\\x80\\x80>"},
        {"<\xc2\x7f>", "<\\xC2\\x7F>"},
        {"<\xc3\xc0>", "<\\xC3\\xC0>"},
        {"<\xe1\x80\xc0>", "<\\xE1\\x80\\xC0>"},
        {"<\xf1\x80\x80>", "<\\xF1\\x80\\x80>"},
        {"<\x1f>", "<\\x1F>"},
    };
    for (size_t index = 0; index < sizeof whole / sizeof *whole; index++) {
        CHECK(is_told(whole[index], whole[index]));
    }
    for (size_t index = 0; index < sizeof broken / sizeof *broken; index++) {
        CHECK(is_told(broken[index].name, broken[index].told));
    }
}

static void
any_bytes_in_a_path_make_a_well_formed_message(void)
{
    uint64_t state = check_seed();
    for (unsigned round = 0; round < 5000; round++) {
        char path[900];
        size_t length = 1 + (size_t)check_random_below(&state, sizeof path - 1);
        unsigned style = (unsigned)check_random_below(&state, 3);
        for (size_t at = 0; at < length; at++) {
            uint8_t byte = (uint8_t)check_random(&state);
            byte = style == 0 ? byte : style == 1 ? (uint8_t)(0xc0 | byte) : (uint8_t)(byte & 1 ? 0xe2 : 0x82);
            path[at] = (char)(byte == 0 || byte == '/' || (at == 0 && byte == '-') ? 'x' : byte);
        }
        path[length - 1] = '\0';
        if (path[0] == '\0') {
            continue;
        }
        mmg_handle handle = 0;
        mmg_error error = MMG_ERROR_INIT;
        mmg_status status = mmg_open(path, NULL, &handle, &error);
        CHECK_STATUS(status, error.os_code == ENAMETOOLONG ? MMG_E_ARGUMENT : MMG_E_NOT_FOUND);
        CHECK(is_clean_text(error.message, sizeof error.message));
        CHECK(is_clean_text(error.operation, sizeof error.operation));
        if (check_failures() != 0) {
            return;
        }
    }
}

/** A path of exactly `length` bytes that names nothing: "x/x/x/...". */
static char *
long_path(size_t length)
{
    char *path = calloc(1, length + 1);
    REQUIRE(path != NULL);
    memset(path, 'x', length);
    for (size_t at = 1; at + 1 < length; at += 2) {
        path[at] = '/';
    }
    return path;
}

static void
a_path_is_refused_from_path_max_bytes_on(void)
{
    static const size_t lengths[] = {PATH_MAX - 2, PATH_MAX - 1, PATH_MAX, PATH_MAX + 1, 100000};
    for (size_t index = 0; index < sizeof lengths / sizeof *lengths; index++) {
        char *path = long_path(lengths[index]);
        mmg_handle handle = 1;
        mmg_error error = MMG_ERROR_INIT;
        mmg_status expected = lengths[index] < PATH_MAX ? MMG_E_NOT_FOUND : MMG_E_ARGUMENT;
        CHECK_STATUS(mmg_open(path, NULL, &handle, &error), expected);
        CHECK_U64(handle, 0);
        CHECK_STATUS(error.status, expected);
        CHECK(is_clean_text(error.message, sizeof error.message));
        CHECK_STATUS(mmg_load(path, NULL, &handle, NULL), expected);
        free(path);
    }
}

static void
an_overlong_path_is_shortened_in_its_middle(void)
{
    char *path = long_path(2000);
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    memcpy(path, "BEGIN", 5);
    memcpy(path + 2000 - 3, "END", 3);
    CHECK_STATUS(mmg_open(path, NULL, &handle, &error), MMG_E_NOT_FOUND);
    CHECK(strstr(error.message, "BEGIN") != NULL);
    CHECK(strstr(error.message, "...") != NULL);
    CHECK(strstr(error.message, "END") != NULL);
    CHECK(is_clean_text(error.message, sizeof error.message));
    free(path);
}

static void
a_name_too_long_for_the_file_system_is_an_argument_error(void)
{
    char name[300];
    mmg_handle handle = 0;
    mmg_error error = MMG_ERROR_INIT;
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    CHECK_STATUS(mmg_open(check_path(name), NULL, &handle, &error), MMG_E_ARGUMENT);
    CHECK_I64(error.os_code, ENAMETOOLONG);
}

static void
an_empty_path_is_not_found(void)
{
    mmg_handle handle = 1;
    mmg_error error = MMG_ERROR_INIT;
    CHECK_STATUS(mmg_open("", NULL, &handle, &error), MMG_E_NOT_FOUND);
    CHECK_U64(handle, 0);
    CHECK_STATUS(mmg_load("", NULL, &handle, &error), MMG_E_NOT_FOUND);
}

static const struct check_case cases[] = {
    {"a message tells the cause of its own error", a_message_tells_the_cause_of_its_own_error, 0},
    {"an error names the path and the operation", an_error_names_the_path_and_the_operation, 0},
    {"success clears what an error held", success_clears_what_an_error_held, 0},
    {"undecodable bytes of a path are escaped", undecodable_bytes_of_a_path_are_escaped, 0},
    {"control characters of a path are escaped", control_characters_of_a_path_are_escaped, 0},
    {"characters at the edges of UTF-8 are told apart", characters_at_the_edges_of_utf_8_are_told_apart, 0},
    {"any bytes in a path make a well-formed message", any_bytes_in_a_path_make_a_well_formed_message, 0},
    {"a path is refused from PATH_MAX bytes on", a_path_is_refused_from_path_max_bytes_on, 0},
    {"an overlong path is shortened in its middle", an_overlong_path_is_shortened_in_its_middle, 0},
    {"a name too long for the file system is an argument error",
     a_name_too_long_for_the_file_system_is_an_argument_error, 0},
    {"an empty path is not found", an_empty_path_is_not_found, 0},
};

CHECK_MAIN(cases)
