/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads the list character by character, by system calls without the C library. A handler may do so on a small stack.
 */
#include "os/linux/map_text.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Returns the next character, or -1 at the end of the list or after a failure. */
static int
next_char(struct map_text *reader)
{
    if (reader->at == reader->filled) {
        long got;
        do
            got = syscall(SYS_read, reader->fd, reader->text, (size_t)MAP_TEXT_SIZE);
        while (got < 0 && errno == EINTR);
        reader->has_failed = got < 0;
        if (got <= 0)
            return -1;
        reader->filled = (size_t)got;
        reader->at = 0;
    }
    return (unsigned char)reader->text[reader->at++];
}

/* Reads a number, and drops the first character behind it. */
static uint64_t
next_number(struct map_text *reader, unsigned base)
{
    uint64_t number = 0;

    for (;;) {
        int c = next_char(reader);
        unsigned digit = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                         : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                                : 16;
        if (digit >= base)
            return number;
        number = number * base + digit;
    }
}

/*
 * Reads the rest of a line into `path`, without the spaces at its start. When `path` is NULL, drops the rest of the
 * line. The kernel writes a line feed in a path as "\012".
 */
static void
next_path(struct map_text *reader, char *path)
{
    size_t used = 0;
    int c;

    while ((c = next_char(reader)) >= 0 && c != '\n') {
        if (path == NULL || (used == 0 && c == ' ') || used + 1 >= MAP_PATH_SIZE)
            continue;
        path[used++] = (char)c;
        if (used >= 4 && memcmp(path + used - 4, "\\012", 4) == 0) {
            used -= 3;
            path[used - 1] = '\n';
        }
    }
    if (path != NULL)
        path[used] = '\0';
}

/*
 * Returns the address, or the last one where a pointer is too small: under an emulator of a processor with 32 bits the list
 * has the addresses of the emulator. No mapping of this process is found in such a list.
 */
static uintptr_t
address_of(uint64_t number)
{
    uintptr_t address = (uintptr_t)number;

    return address == number ? address : UINTPTR_MAX;
}

bool
mmgi_map_text_next(struct map_text *reader, uintptr_t wanted, char *path, struct map_area *area)
{
    uint64_t start = next_number(reader, 16);
    uint64_t end = next_number(reader, 16);
    unsigned major, minor;

    if (end == 0)
        return false;
    *area = (struct map_area){.start = address_of(start), .end = address_of(end), .is_from_list = true};
    area->access |= next_char(reader) == 'r' ? MAP_ACCESS_READ : 0;
    area->access |= next_char(reader) == 'w' ? MAP_ACCESS_WRITE : 0;
    area->access |= next_char(reader) == 'x' ? MAP_ACCESS_EXECUTE : 0;
    area->is_shared = next_char(reader) == 's';
    next_char(reader);
    area->offset = next_number(reader, 16);
    major = (unsigned)next_number(reader, 16);
    minor = (unsigned)next_number(reader, 16);
    area->device = (uint64_t)makedev(major, minor);
    /* The inode ends with a space, or with the line when the area is memory without a name. */
    uint64_t inode = 0;
    int c;
    while ((c = next_char(reader)) >= '0' && c <= '9')
        inode = inode * 10 + (unsigned)(c - '0');
    area->inode = inode;
    if (wanted < start || wanted >= end)
        path = NULL;
    if (c == ' ')
        next_path(reader, path);
    else if (path != NULL)
        path[0] = '\0';
    return true;
}
