/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The target of libFuzzer for paths. An input is a path, of any bytes and length. What the library says about the path must
 * be well-formed UTF-8 without control characters, and must end.
 */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mmapguard.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LONGEST 16384

static char folder[] = "/tmp/mmapguard-paths-XXXXXX";

static void
must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void
leave_folder(void)
{
    must(chdir("/") == 0 && rmdir(folder) == 0, "a file was made");
}

/** Relative paths lead into an empty folder. */
int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    must(mkdtemp(folder) != NULL && chdir(folder) == 0, "no folder");
    atexit(leave_folder);
    return 0;
}

/** Returns the length of a character of UTF-8, or 0 where there is none, by the table of the standard. */
static size_t
character(const uint8_t *at)
{
    static const struct {
        uint8_t first_low, first_high, second_low, second_high;
        size_t length;
    } forms[] = {{0x20, 0x7e, 0, 0xff, 1},    {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
                 {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                 {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t form = 0; form < sizeof forms / sizeof *forms; form++) {
        if (at[0] < forms[form].first_low || at[0] > forms[form].first_high) {
            continue;
        }
        size_t length = forms[form].length;
        bool is_whole = length == 1 || (at[1] >= forms[form].second_low && at[1] <= forms[form].second_high);
        for (size_t next = 2; is_whole && next < length; next++) {
            is_whole = at[next] >= 0x80 && at[next] <= 0xbf;
        }
        return is_whole && !(at[0] == 0xc2 && at[1] < 0xa0) ? length : 0; /* U+0080 to U+009F are control characters */
    }
    return 0;
}

static void
judge_text(const char *text, size_t room)
{
    must(memchr(text, '\0', room) != NULL, "a text does not end");
    for (const uint8_t *at = (const uint8_t *)text; *at != '\0';) {
        const size_t length = character(at);
        must(length > 0, "a text has what is no character");
        at += length;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[LONGEST + 1];
    mmg_options options = MMG_OPTIONS_INIT;
    const size_t length = size < LONGEST ? size : LONGEST;
    memcpy(path, data, length);
    path[length] = '\0';
    if (path[0] == '/') { /* no file outside the folder: a device, or a FIFO, may do anything */
        path[0] = '_';
    }
    if (strncmp(path, "..", 2) == 0 || strstr(path, "/..") != NULL || strcmp(path, "-") == 0) {
        return 0;
    }
    options.flags = MMG_FLAG_REGULAR_ONLY;
    for (int call = 0; call < 2; call++) {
        mmg_handle handle = 4711;
        mmg_error error = MMG_ERROR_INIT;
        mmg_status status = call == 0 ? mmg_open(path, &options, &handle, &error)
                                      : mmg_load(path, &options, &handle, &error);
        must(status != MMG_OK && handle == 0, "a file that is not there was opened");
        must(error.status == status, "the error has another status");
        must((strlen(path) >= PATH_MAX) <= (status == MMG_E_ARGUMENT), "a path that is too long was taken");
        judge_text(error.message, sizeof error.message);
        judge_text(error.operation, sizeof error.operation);
    }
    return 0;
}
