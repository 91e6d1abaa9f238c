/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program that uses the library. It maps a file as STABLE, which needs the thread of the library, and prints its
 * first line.
 */
#include <mmapguard.h>
#include <stdio.h>

int
main(int argc, char **argv)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle file = 0;
    mmg_span span = MMG_SPAN_INIT;
    uint64_t end = 0;

    options.guarantee = MMG_GUARANTEE_STABLE;
    options.backing = MMG_BACKING_MAP;
    if (argc != 2 || mmg_open(argv[1], &options, &file, &error) != MMG_OK ||
        mmg_find(file, 0, MMG_TO_END, "\n", 1, &end) != MMG_OK || mmg_pin(file, 0, end, &span) != MMG_OK) {
        fprintf(stderr, "consumer: %s\n", error.message);
        return 1;
    }
    printf("%s %.*s\n", mmg_version(), (int)span.size, (const char *)span.data);
    return mmg_unpin(&span) == MMG_OK && mmg_close(file, 0) == MMG_OK ? 0 : 1;
}
