/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Look at one part of a file, however large the file is: `window FILE OFFSET LENGTH WORD`.
 *
 * The program prints where in the window the word is, and the 16 bytes that follow it. Only the window is mapped. OFFSET may be any
 * byte, since the library aligns the mapping by itself.
 */
#include <inttypes.h>
#include <string.h>

#include "errors.h"

int
main(int argc, char **argv)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle window;
    uint64_t place, got;
    char after[17] = "";

    if (argc != 5) {
        fprintf(stderr, "usage: window FILE OFFSET LENGTH WORD\n");
        return 2;
    }
    options.offset = strtoull(argv[2], NULL, 0);
    options.length = strtoull(argv[3], NULL, 0);
    options.access = MMG_ADVICE_SEQUENTIAL;

    must_open(mmg_open(argv[1], &options, &window, &error), &error);
    must(mmg_find(window, 0, MMG_TO_END, argv[4], strlen(argv[4]), &place), "search");
    if (place == MMG_NOT_FOUND) {
        printf("not found\n");
    } else {
        /* mmg_read() copies through the kernel: it returns a status where a byte is gone, and never raises a signal. */
        must(mmg_read(window, place + strlen(argv[4]), after, sizeof after - 1, &got), "read");
        printf("at %" PRIu64 ", followed by '%.*s'\n", options.offset + place, (int)got, after);
    }
    must(mmg_close(window, 0), "close");
    return 0;
}
