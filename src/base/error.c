/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An mmg_error has numbers for programs and a sentence for people. A path is bytes and the message is UTF-8, so bytes
 * that are no UTF-8 and control characters are written as \xNN. A path that is too long loses its middle, since both
 * ends of a path help to recognise it.
 */
/* Selects the strerror_r(3) of POSIX, which returns a number. The one of GNU returns a string. */
#undef _GNU_SOURCE
#define _POSIX_C_SOURCE 200809L
#include "base/error.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/struct_size.h"
#include "base/status.h"

/*
 * Room for the path within the message. The rest has room for the longest detail and the longest text of strerror(3).
 */
#define PATH_ROOM 256

/*
 * Returns the length of the well-formed UTF-8 sequence at `s` (Unicode 15, table 3-7), or 0. A NUL ends every sequence.
 */
static size_t
utf8_length(const unsigned char *s)
{
    unsigned char low = 0x80, high = 0xBF;
    size_t length;

    if (s[0] < 0x80)
        return 1;
    if (s[0] >= 0xC2 && s[0] <= 0xDF)
        length = 2;
    else if (s[0] >= 0xE0 && s[0] <= 0xEF)
        length = 3;
    else if (s[0] >= 0xF0 && s[0] <= 0xF4)
        length = 4;
    else
        return 0;
    if (s[0] == 0xE0)
        low = 0xA0; /* a lower byte would be an overlong form */
    if (s[0] == 0xED)
        high = 0x9F; /* a higher byte would be a surrogate */
    if (s[0] == 0xF0)
        low = 0x90;
    if (s[0] == 0xF4)
        high = 0x8F; /* a higher byte would be beyond U+10FFFF */
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xBF)
            return 0;
    return length;
}

/* Writes one character of a path to `out` so that it can be printed. Returns its length and moves `*path` on. */
static size_t
path_character(const char **path, char out[5])
{
    const unsigned char *s = (const unsigned char *)*path; /* unsigned, as the comparisons in utf8_length() need it */
    size_t length = utf8_length(s);

    /* U+0080 to U+009F are control characters, too: a terminal takes U+009B for the start of a command. Both of their bytes
       are written as numbers, since the second byte alone is no UTF-8. */
    bool is_control = s[0] < 0x20 || s[0] == 0x7F || (length == 2 && s[0] == 0xC2 && s[1] < 0xA0);
    if (length == 0 || is_control) {
        *path += 1;
        return (size_t)snprintf(out, 5, "\\x%02X", s[0]);
    }
    memcpy(out, s, length);
    *path += length;
    return length;
}

static void
path_print(const char *path, char out[PATH_ROOM])
{
    /* Twice this much of a long path is kept: its beginning and its end. */
    const size_t half = PATH_ROOM / 2 - 4;
    size_t total = strlen(path), used = 0;
    char character[5];
    bool shortened = false;

    for (const char *p = path; *p != '\0';) {
        const char *next = p;
        size_t length = path_character(&next, character);
        if (used + length > half && !shortened && total - (size_t)(p - path) > half / 4) {
            /* A byte may take four characters, so only the last quarter of the room is sure to fit. Skip on to the first byte of
               a character there. */
            memcpy(out + used, "...", 3);
            used += 3;
            p = path + total - half / 4;
            while (((unsigned char)*p & 0xC0) == 0x80)
                p++;
            shortened = true;
            continue;
        }
        memcpy(out + used, character, length);
        used += length;
        p = next;
    }
    out[used] = '\0';
}

mmg_status
mmgi_error_tell(const struct report *report, mmg_status status, const char *operation, int os_code, uint64_t offset,
                const char *detail)
{
    char subject[PATH_ROOM + 2], path[PATH_ROOM];

    if (report->caller_error == NULL)
        return status;
    mmg_error error = MMG_ERROR_INIT;
    error.status = status;
    error.os_code = os_code;
    error.offset = offset;
    snprintf(error.operation, sizeof error.operation, "%s", operation);
    if (report->path != NULL) {
        path_print(report->path, path);
        snprintf(subject, sizeof subject, "'%s'", path);
    } else {
        snprintf(subject, sizeof subject, "descriptor %d", report->descriptor);
    }
    char text[80] = "";
    if (os_code != 0 && strerror_r(os_code, text, sizeof text) != 0)
        snprintf(text, sizeof text, "error %d", os_code);
    if (detail == NULL) /* the text of the system says at least as much as ours */
        snprintf(error.message, sizeof error.message, "%s: %s: %s", subject, operation,
                 os_code != 0 ? text : mmg_status_message(status));
    else
        snprintf(error.message, sizeof error.message, "%s: %s: %s%s%s%s", subject, operation, detail,
                 os_code != 0 ? " (" : "", text, os_code != 0 ? ")" : "");
    mmgi_struct_write(report->caller_error, &error, sizeof error);
    return status;
}

mmg_status
mmgi_error_tell_own(const struct report *report, mmg_status status, const char *operation, const char *detail)
{
    return mmgi_error_tell(report, status, operation, 0, 0, detail);
}

mmg_status
mmgi_error_tell_os(const struct report *report, const char *operation, int os_code)
{
    return mmgi_error_tell(report, mmgi_status_from_errno(os_code), operation, os_code, 0, NULL);
}
