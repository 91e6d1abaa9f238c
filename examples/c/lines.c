/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Count the lines of a file without copying a byte of it: `lines [FILE]`.
 *
 * README.md shows this program; a test compares the two.
 */
#include <mmapguard.h>
#include <stdio.h>

int
main(int argc, char **argv)
{
    const char *path = argc > 1 ? argv[1] : "big.bin";
    mmg_handle file;
    mmg_span bytes;
    mmg_error error = MMG_ERROR_INIT;
    unsigned long lines = 0;

    if (mmg_open(path, NULL, &file, &error) != MMG_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    if (mmg_pin(file, 0, MMG_TO_END, &bytes) != MMG_OK)
        return 1;
    for (uint64_t i = 0; i < bytes.size; i++)
        if (bytes.data[i] == '\n')
            lines++;
    mmg_unpin(&bytes);
    if (mmg_check(file) != MMG_OK) {
        fprintf(stderr, "%s was cut short while it was read\n", path);
        return 1;
    }
    printf("%lu lines\n", lines);
    mmg_close(file, 0);
    return 0;
}
