/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds the name in /proc/self/mountinfo, by the number of the mount, or by statmount(2) where there is no /proc.
 */
#include "os/linux/mount_name.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers from the headers of Linux 5.8 and 6.8, which older headers do not have. They never change. */
#define MOUNT_WANTED 0x00001000u /* STATX_MNT_ID */
#define STATMOUNT_NUMBER 457
#define STATMOUNT_FS_TYPE_WANTED UINT64_C(0x20)

struct statx_buffer {
    uint32_t mask;
    uint8_t others[140];
    uint64_t mount;
    uint8_t spare[104];
};
_Static_assert(sizeof(struct statx_buffer) == 256 && offsetof(struct statx_buffer, mount) == 144,
               "the layout of struct statx, which older C libraries lack");

struct mount_request {
    uint32_t size, spare;
    uint64_t mount, wanted;
};

struct mount_answer {
    uint32_t size, options;
    uint64_t mask;
    uint32_t device_major, device_minor;
    uint64_t magic;
    uint32_t flags, type; /* `type`: where the name starts in `text` */
    uint64_t others[59];
    char text[256];
};
_Static_assert(offsetof(struct mount_answer, text) == 512, "the layout of struct statmount");

/* Returns the number, in the mount table, of the mount through which a descriptor was opened; 0: not known. */
static uint64_t
mount_of(int fd)
{
    struct statx_buffer found = {.mask = 0};

#ifdef SYS_statx
    if (syscall(SYS_statx, fd, "", 0x1000 /* AT_EMPTY_PATH */, MOUNT_WANTED, &found) != 0)
        return 0;
#else
    (void)fd;
#endif
    return found.mask & MOUNT_WANTED ? found.mount : 0;
}

static bool
name_from_mount_call(uint64_t unique, char *name, size_t size)
{
    struct mount_request request = {.size = sizeof request, .mount = unique, .wanted = STATMOUNT_FS_TYPE_WANTED};
    struct mount_answer answer = {.size = 0};

    if (syscall(STATMOUNT_NUMBER, &request, &answer, sizeof answer, 0) != 0 ||
        (answer.mask & STATMOUNT_FS_TYPE_WANTED) == 0 || answer.type >= sizeof answer.text)
        return false;
    answer.text[sizeof answer.text - 1] = '\0';
    strncpy(name, answer.text + answer.type, size - 1);
    return true;
}

/* The position of a reader within a line of mountinfo (proc(5)). */
struct table_reader {
    enum {
        IN_NUMBER,
        BEFORE_NAME,
        IN_NAME,
        BEHIND
    } part;
    uint64_t number; /* the first field of the line, which is the number of the mount */
    size_t matched;  /* how many characters of " - ", which comes before the name, have matched */
    size_t used;     /* the number of characters of the name so far */
};

/* Takes one character of the table. Returns true when the name of the wanted mount is complete. */
static bool
table_step(struct table_reader *reader, char c, uint64_t mount, char *name, size_t size)
{
    static const char mark[] = " - ";

    if (c == '\n') {
        bool is_complete = reader->part == IN_NAME;
        *reader = (struct table_reader){.part = IN_NUMBER};
        return is_complete;
    }
    switch (reader->part) {
    case IN_NUMBER:
        if (c >= '0' && c <= '9')
            reader->number = reader->number * 10 + (uint64_t)(c - '0');
        else
            reader->part = reader->number == mount ? BEFORE_NAME : BEHIND;
        return false;
    case BEFORE_NAME:
        reader->matched = c == mark[reader->matched] ? reader->matched + 1 : c == ' ';
        if (reader->matched == sizeof mark - 1)
            reader->part = IN_NAME;
        return false;
    case IN_NAME:
        if (c == ' ')
            return true;
        if (reader->used < size - 1)
            name[reader->used++] = c;
        name[reader->used] = '\0';
        return false;
    default:
        return false;
    }
}

static bool
name_from_table(uint64_t mount, char *name, size_t size)
{
    struct table_reader reader = {.part = IN_NUMBER};
    int table = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    bool found = false;
    char block[4096];
    ssize_t n;

    if (table < 0)
        return false;
    while (!found && (n = read(table, block, sizeof block)) > 0)
        for (ssize_t i = 0; i < n && !found; i++)
            found = table_step(&reader, block[i], mount, name, size);
    close(table);
    return found;
}

bool
mmgi_mount_name(int fd, uint64_t unique, char *name, size_t size)
{
    uint64_t mount = mount_of(fd);

    memset(name, 0, size);
    return (mount != 0 && name_from_table(mount, name, size)) ||
           (unique != 0 && name_from_mount_call(unique, name, size));
}
