/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A reader like that of most programs: open, fstat, mmap, use the bytes. It is correct, and yet it dies of SIGBUS when
 * another program cuts the file. Its twin with mmapguard is guarded_reader.c.
 *
 *   plain-reader FILE [MILLISECONDS]
 *
 * hashes the file once; with MILLISECONDS again and again, each round taking at least that long, until it is stopped.
 */
#include "progress.h"
#include "sha256.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int
fail(const char *path, const char *operation)
{
    fprintf(stderr, "plain-reader: %s: %s: %s\n", path, operation, strerror(errno));
    return 2;
}

int
main(int argc, char **argv)
{
    if (argc < 2 || argc > 3) {
        fprintf(stderr, "usage: plain-reader FILE [MILLISECONDS]\n");
        return 2;
    }
    const char *path = argv[1];
    const unsigned int milliseconds = argc == 3 ? (unsigned int)strtoul(argv[2], NULL, 10) : 0;

    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(path, "open");
    struct stat facts;
    if (fstat(fd, &facts) != 0)
        return fail(path, "fstat");
    const size_t size = (size_t)facts.st_size;
    const uint8_t *bytes = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED)
        return fail(path, "mmap");
    close(fd);

    for (;;) {
        struct sha256 hash;
        sha256_start(&hash);
        struct progress progress;
        progress_start(&progress, size, milliseconds);
        for (uint64_t offset = 0; offset < size;) {
            const uint64_t block = progress_next(&progress, offset);
            sha256_add(&hash, bytes + offset, block);
            offset += block;
            progress_at(&progress, offset);
        }
        char hex[SHA256_HEX_SIZE];
        sha256_end(&hash, hex);
        printf("digest %s\n", hex);
        fflush(stdout);
        if (milliseconds == 0)
            break;
    }

    munmap((void *)bytes, size);
    return EXIT_SUCCESS;
}
