/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Makes so many pairs of pin and unpin, and does nothing else, for `valgrind --tool=callgrind`: the difference between
 * two runs is the exact number of instructions of the pairs.
 */
#include <mmapguard.h>
#include <stdio.h>
#include <stdlib.h>

int
main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: mmapguard-pin-pairs FILE PAIRS\n");
        return 2;
    }
    const unsigned long pairs = strtoul(argv[2], NULL, 10);
    mmg_handle region = 0;
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    options.backing = MMG_BACKING_MAP;
    if (mmg_open(argv[1], &options, &region, &error) != MMG_OK) {
        fprintf(stderr, "mmapguard-pin-pairs: %s\n", error.message);
        return 2;
    }
    for (unsigned long i = 0; i < pairs; i++) {
        mmg_span span;
        if (mmg_pin(region, 0, 1, &span) != MMG_OK || mmg_unpin(&span) != MMG_OK)
            return 1;
    }
    return mmg_close(region, 0) == MMG_OK ? EXIT_SUCCESS : 1;
}
