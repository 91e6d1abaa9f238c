/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The files of the soak. Each page is filled with one byte, which depends on the file and the page.
 */
#include "soak.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void
soak_fail(const char *what, ...)
{
    va_list arguments;

    fflush(stdout);
    fputs("\nsoak: ", stderr);
    va_start(arguments, what);
    vfprintf(stderr, what, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    _exit(1);
}

uint64_t
soak_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

unsigned char
soak_byte(const struct soak *soak, unsigned file, unsigned page)
{
    (void)soak;
    return (unsigned char)(1 + (file * 31 + page * 7) % 255);
}

static void
file_write(struct soak *soak, unsigned number)
{
    struct soak_file *file = &soak->files[number];
    unsigned char bytes[65536];

    if (soak->page > sizeof bytes)
        soak_fail("pages of %zu bytes are too large", soak->page);
    for (unsigned page = 0; page < PAGES; page++) {
        memset(bytes, soak_byte(soak, number, page), soak->page);
        if (pwrite(file->fd, bytes, soak->page, (off_t)(page * soak->page)) != (ssize_t)soak->page)
            soak_fail("%s cannot be written", file->path);
    }
}

static void
file_map(struct soak *soak, struct soak_file *file)
{
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        soak_fail("%s cannot be opened", file->path);
    for (unsigned i = 0; i < MAPPINGS_OF_FILE; i++) {
        if (file->mappings[i] != NULL)
            munmap((void *)(uintptr_t)file->mappings[i], PAGES * soak->page);
        file->mappings[i] = mmap(NULL, PAGES * soak->page, PROT_READ, i % 2 == 0 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
        if (file->mappings[i] == MAP_FAILED)
            soak_fail("%s cannot be mapped", file->path);
    }
    close(fd);
}

void
soak_renew(struct soak *soak, unsigned number)
{
    file_write(soak, number);
    file_map(soak, &soak->files[number]);
}

void
soak_begin(struct soak *soak, const char *folder)
{
    struct stat status;

    soak->page = (size_t)sysconf(_SC_PAGESIZE);
    for (unsigned number = 0; number < FILES; number++) {
        struct soak_file *file = &soak->files[number];
        snprintf(file->path, sizeof file->path, "%.80s/%u", folder, number);
        file->fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (file->fd < 0 || fstat(file->fd, &status) != 0)
            soak_fail("%s cannot be made", file->path);
        file->device = status.st_dev;
        file->inode = status.st_ino;
        pthread_rwlock_init(&file->lock, NULL);
        soak_renew(soak, number);
    }
}

void
soak_end(struct soak *soak)
{
    for (unsigned number = 0; number < FILES; number++) {
        struct soak_file *file = &soak->files[number];
        for (unsigned i = 0; i < MAPPINGS_OF_FILE; i++)
            munmap((void *)(uintptr_t)file->mappings[i], PAGES * soak->page);
        close(file->fd);
        unlink(file->path);
        pthread_rwlock_destroy(&file->lock);
    }
}
