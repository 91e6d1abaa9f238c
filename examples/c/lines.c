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

    mmg_status status = mmg_unpin(&bytes); /* were all these bytes there? */
    if (status == MMG_OK)
        status = mmg_verify(file); /* and did nobody write to the file? */
    if (status == MMG_OK)
        printf("%lu lines\n", lines);
    else
        fprintf(stderr, "%s: %s\n", path, mmg_status_message(status));
    return mmg_close(file, 0) != MMG_OK || status != MMG_OK;
}
