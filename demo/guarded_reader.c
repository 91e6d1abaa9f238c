/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A reader with mmapguard. It hashes the bytes in place, and when another program cuts the file, it learns of the loss
 * and of its offset. Its twin without the library is plain_reader.c.
 *
 *   guarded-reader [--map] FILE [LENGTH [MILLISECONDS]]
 *
 * hashes the first LENGTH bytes (0: all of them) once; with MILLISECONDS again and again, each round taking at least
 * that long, until it is stopped or bytes are lost. With --map the file is mapped even where the library would copy it.
 * The exit code is 0, 2 when the file cannot be opened, 3 when bytes were lost.
 */
#include "progress.h"
#include "sha256.h"

#include <inttypes.h>
#include <mmapguard.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Hash the whole region through spans. The digest counts only if every unpin, and the check at the end, return MMG_OK.
 */
static mmg_status
hash_region(mmg_handle region, uint64_t size, unsigned int milliseconds, char hex[SHA256_HEX_SIZE])
{
    struct sha256 hash;
    sha256_start(&hash);
    struct progress progress;
    progress_start(&progress, size, milliseconds);

    for (uint64_t offset = 0; offset < size;) {
        mmg_span span = MMG_SPAN_INIT;
        mmg_status status = mmg_pin(region, offset, progress_next(&progress, offset), &span);
        if (status != MMG_OK)
            return status;
        sha256_add(&hash, span.data, span.size); /* no copy: these are the bytes of the file */
        offset += span.size;
        status = mmg_unpin(&span);
        if (status != MMG_OK)
            return status;
        progress_at(&progress, offset);
    }
    sha256_end(&hash, hex);
    return mmg_check(region);
}

int
main(int argc, char **argv)
{
    mmg_options options = MMG_OPTIONS_INIT;
    if (argc > 1 && strcmp(argv[1], "--map") == 0) {
        options.backing = MMG_BACKING_MAP;
        argc--, argv++;
    }
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: guarded-reader [--map] FILE [LENGTH [MILLISECONDS]]\n");
        return 2;
    }
    options.length = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    const unsigned int milliseconds = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 10) : 0;

    mmg_handle region = 0;
    mmg_error error = MMG_ERROR_INIT;
    if (mmg_open(argv[1], &options, &region, &error) != MMG_OK) {
        fprintf(stderr, "guarded-reader: %s\n", error.message);
        return 2;
    }
    mmg_info info = MMG_INFO_INIT;
    mmg_info_get(region, &info);

    mmg_status status = MMG_OK;
    do {
        char hex[SHA256_HEX_SIZE];
        status = hash_region(region, info.size, milliseconds, hex);
        if (status == MMG_OK) {
            printf("digest %s\n", hex);
            fflush(stdout);
        }
    } while (milliseconds > 0 && status == MMG_OK);

    if (status != MMG_OK) {
        mmg_info_get(region, &info);
        printf("lost %s %" PRIu64 " %" PRIu64 "\n", mmg_status_name(status), info.fault_offset, info.faults);
    }
    mmg_close(region, 0);
    return status == MMG_OK ? EXIT_SUCCESS : 3;
}
