/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * /proc/meminfo tells how much memory the system has left, and the files of a control group tell how much its limit
 * leaves. Cache that the kernel can drop counts as free memory in both. The code looks at the control group of the
 * process and at all groups above it, for version 2 and for the memory controller of version 1.
 */
#include "os/linux/memory_room.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TEXT_ROOM 8192
#define PATH_ROOM 4096

/* Reads a small file of /proc or of a control group. Returns false when there is none. */
static bool
text_read(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Reads the decimal number at `text`, behind blanks. Returns `otherwise` when there is none, or when it has too many digits.
   strtoull(3) would make the library need glibc 2.38, where new headers give that name another version. */
static uint64_t
number_at(const char *text, uint64_t otherwise)
{
    uint64_t number = 0;

    text += strspn(text, " \t");
    if (*text < '0' || *text > '9')
        return otherwise;
    for (; *text >= '0' && *text <= '9'; text++) {
        if (number > (UINT64_MAX - 9) / 10)
            return otherwise;
        number = number * 10 + (uint64_t)(*text - '0');
    }
    return number;
}

/* Returns the number behind a word at the start of a line, or `otherwise` when there is no such line or no number. */
static uint64_t
number_after(const char *text, const char *word, uint64_t otherwise)
{
    size_t length = strlen(word);

    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, word, length) == 0)
            return number_at(line + length, otherwise);
    }
    return otherwise;
}

static uint64_t
room_of_system(void)
{
    char text[TEXT_ROOM];

    if (!text_read("/proc/meminfo", text, sizeof text))
        return UINT64_MAX;
    uint64_t kilobytes = number_after(text, "MemAvailable:", UINT64_MAX / 1024);
    return kilobytes * 1024;
}

/* The names of the files, which differ between the two versions of control groups. */
struct group_files {
    const char *root, *limit, *usage, *droppable;
};

static const struct group_files version_2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};
static const struct group_files version_1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                             "total_inactive_file "};

static uint64_t
number_in(const char *folder, const char *name, const char *word, uint64_t otherwise)
{
    char path[PATH_ROOM + 64], text[TEXT_ROOM];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return text_read(path, text, sizeof text) ? number_after(text, word, otherwise) : otherwise;
}

static uint64_t
room_of_group(const struct group_files *files, const char *folder)
{
    uint64_t limit = number_in(folder, files->limit, "", UINT64_MAX); /* "max" is no number */

    if (limit == UINT64_MAX)
        return UINT64_MAX;
    uint64_t used = number_in(folder, files->usage, "", 0);
    uint64_t droppable = number_in(folder, "memory.stat", files->droppable, 0);
    uint64_t kept = used > droppable ? used - droppable : 0;
    return limit > kept ? limit - kept : 0;
}

/*
 * Returns the smallest free memory of the groups from `path` up to the root. A container may see its own group as the
 * root.
 */
static uint64_t
room_of_groups(const struct group_files *files, const char *path)
{
    char folder[PATH_ROOM];
    size_t root = strlen(files->root);
    uint64_t room = UINT64_MAX;

    if (snprintf(folder, sizeof folder, "%s%.*s", files->root, (int)strcspn(path, "\n"), path) >= (int)sizeof folder)
        return room;
    for (;;) {
        uint64_t here = room_of_group(files, folder);
        room = here < room ? here : room;
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < root)
            return room;
        *slash = '\0';
    }
}

uint64_t
mmgi_memory_room(void)
{
    char text[TEXT_ROOM];
    uint64_t room = room_of_system();

    if (!text_read("/proc/self/cgroup", text, sizeof text))
        return room;
    for (const char *line = text; line != NULL && *line != '\0';) {
        /* "0::/path" is version 2; "4:cpu,memory:/path" names the controllers of version 1 (cgroups(7)). */
        const char *controllers = strchr(line, ':');
        const char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path == NULL)
            break;
        bool is_version_2 = path == controllers + 1;
        const char *memory = strstr(controllers, "memory");
        if (is_version_2 || (memory != NULL && memory < path)) {
            uint64_t groups = room_of_groups(is_version_2 ? &version_2 : &version_1, path + 1);
            room = groups < room ? groups : room;
        }
        line = strchr(path, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return room;
}
