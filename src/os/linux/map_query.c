/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds what is mapped at an address, by PROCMAP_QUERY (Linux 6.11) or by reading the list in /proc line by line. The
 * code makes system calls without the C library, whose functions may be intercepted and are cancellation points. It
 * uses the folder of the thread in /proc, since the list of the process is empty once the first thread has ended.
 */
#include "os/map_query.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "os/linux/ioctl_compat.h"
#include "os/linux/map_text.h"
#include "os/map.h"

#define LIST "/proc/thread-self/maps"
/* An entry of 64 bits for each page, at the place of the page's number. */
#define PAGES "/proc/thread-self/pagemap"
#define ENTRY_IS_PRESENT (UINT64_C(1) << 63)
#define ENTRY_IS_SWAPPED (UINT64_C(1) << 62)
#define ENTRY_IS_OF_FILE (UINT64_C(1) << 61) /* or of memory that is shared */

/* The same as struct procmap_query of linux/fs.h, which the headers of older kernels do not have. */
struct query {
    uint64_t size, flags, address;
    uint64_t start, end, access, page, offset;
    uint64_t inode;
    uint32_t device_major, device_minor;
    uint32_t name_size, build_id_size;
    uint64_t name, build_id;
};
_Static_assert(sizeof(struct query) == 104, "the layout of struct procmap_query");

#define QUERY_REQUEST _IOWR('f', 17, struct query)
#define QUERY_EXECUTABLE 0x04u /* the same bit as MAP_ACCESS_EXECUTE; 0x01 and 0x02 stand for reading and writing */
#define QUERY_SHARED 0x08u
#define QUERY_OR_NEXT 0x10u
#define QUERY_FILE_BACKED 0x20u

/* So many neighbours of an area are looked at on each side. A loaded object has fewer segments. */
#define MAX_NEIGHBOURS 8

static int
open_once(const char *path, int *fd)
{
    long got;

    do
        got = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    while (got < 0 && errno == EINTR);
    *fd = (int)got; /* a descriptor is an int */
    return got < 0 ? errno : 0;
}

/*
 * Opens a file of /proc. Returns 0 or an errno. When the process has no descriptor left, the function raises the limit for
 * a moment, up to the hard limit.
 */
static int
list_open(const char *path, int *fd)
{
    struct {
        uint64_t soft, hard; /* in the order of prlimit64(2) */
    } limit, most;
    int os_code = open_once(path, fd);

    if (os_code != EMFILE || syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) != 0 || limit.soft >= limit.hard)
        return os_code;
    most.soft = most.hard = limit.hard;
    if (syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &most, NULL) != 0)
        return os_code;
    os_code = open_once(path, fd);
    syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL);
    return os_code;
}

static void
list_close(int fd)
{
    syscall(SYS_close, fd);
}

/*
 * Finds the area at an address, or with QUERY_OR_NEXT the next area of the kind that the flags name. Returns 0 or an
 * errno.
 */
static int
query(int fd, uintptr_t address, uint64_t flags, char *path, struct map_area *area)
{
    struct query q = {.size = sizeof q, .flags = flags, .address = address};

    if (path != NULL) {
        path[0] = '\0';
        q.name = (uintptr_t)path;
        q.name_size = MAP_PATH_SIZE;
    }
    if (syscall(SYS_ioctl, fd, QUERY_REQUEST, &q) != 0)
        return errno;
    *area = (struct map_area){
        .start = (uintptr_t)q.start, /* addresses of this process, so the casts keep every value */
        .end = (uintptr_t)q.end,
        .offset = q.offset,
        .device = (uint64_t)makedev(q.device_major, q.device_minor),
        .inode = q.inode,
        .access = (unsigned)q.access & (MAP_ACCESS_READ | MAP_ACCESS_WRITE | MAP_ACCESS_EXECUTE),
        .is_shared = (q.access & QUERY_SHARED) != 0,
    };
    return 0;
}

/* Returns true when an errno of query() means that the kernel or a sandbox does not know the request. */
static bool
is_unknown(int os_code)
{
    return os_code != 0 && os_code != ENOENT;
}

/* ------------------------------------------------------------------------------------------- the list as text -- */

/* Finds the area at an address in the list. Returns 0, ENOENT, or EIO when the list cannot be read. */
static int
find_in_list(int fd, uintptr_t address, char *path, char *text, struct map_area *area)
{
    struct map_text reader = {.fd = fd, .text = text};

    while (mmgi_map_text_next(&reader, address, path, area))
        if (address >= area->start && address < area->end)
            return 0;
        else if (area->start > address)
            return ENOENT; /* the list is sorted by address */
    return reader.has_failed ? EIO : ENOENT;
}

/* Finds the next wanted area in the list, and then its path in a second reading. Returns 0, ENOENT or EIO. */
static int
next_in_list(int fd, uintptr_t address, bool (*is_wanted)(const struct map_area *), char *path, char *text,
             struct map_area *area)
{
    struct map_text reader = {.fd = fd, .text = text};

    while (mmgi_map_text_next(&reader, 0, NULL, area))
        if (area->end > address && area->inode != 0 && is_wanted(area)) {
            lseek(fd, 0, SEEK_SET);
            return find_in_list(fd, area->start, path, text, area);
        }
    return reader.has_failed ? EIO : ENOENT;
}

/* ----------------------------------------------------------------------------------------------- the contract -- */

int
mmgi_map_list_open(int *list)
{
    int os_code = list_open(LIST, list);

    return os_code == ENOENT ? ENOSYS : os_code; /* there is no file system at /proc */
}

void
mmgi_map_list_close(int list)
{
    list_close(list);
}

int
mmgi_map_list_find(int list, uintptr_t address, char *path, char *text, struct map_area *area)
{
    int os_code = query(list, address, 0, path, area);

    if (!is_unknown(os_code))
        return os_code;
    lseek(list, 0, SEEK_SET); /* an earlier call may have read from the list */
    return find_in_list(list, address, path, text, area);
}

int
mmgi_map_list_next(int list, uintptr_t address, bool (*is_wanted)(const struct map_area *), char *path, char *text,
                   struct map_area *area)
{
    int os_code;

    while ((os_code = query(list, address, QUERY_OR_NEXT | QUERY_FILE_BACKED, NULL, area)) == 0) {
        if (is_wanted(area))
            return query(list, area->start, 0, path, area);
        address = area->end;
    }
    if (!is_unknown(os_code))
        return os_code;
    lseek(list, 0, SEEK_SET);
    return next_in_list(list, address, is_wanted, path, text, area);
}

int
mmgi_map_find(uintptr_t address, char *path, char *text, struct map_area *area)
{
    int list, os_code = mmgi_map_list_open(&list);

    if (os_code != 0)
        return os_code;
    os_code = mmgi_map_list_find(list, address, path, text, area);
    list_close(list);
    return os_code;
}

static bool
is_same_file(const struct map_area *one, const struct map_area *other)
{
    return one->inode == other->inode && one->device == other->device;
}

static bool
is_code_of(const struct map_area *code, const struct map_area *area)
{
    return (code->access & MAP_ACCESS_EXECUTE) != 0 && is_same_file(code, area);
}

/*
 * Returns true when code of the same file is mapped beside an area. The search stops on each side at the first area of
 * another file.
 */
static bool
has_code_beside(int fd, const struct map_area *area)
{
    struct map_area next = *area;

    for (int i = 0; i < MAX_NEIGHBOURS && next.start > 0 && query(fd, next.start - 1, 0, NULL, &next) == 0; i++)
        if (!is_same_file(&next, area))
            break;
        else if (is_code_of(&next, area))
            return true;
    next = *area;
    for (int i = 0; i < MAX_NEIGHBOURS && query(fd, next.end, 0, NULL, &next) == 0; i++)
        if (!is_same_file(&next, area))
            break;
        else if (is_code_of(&next, area))
            return true;
    return false;
}

static bool
has_code_anywhere(int fd, const struct map_area *area)
{
    struct map_area next = {.end = 0};

    while (query(fd, next.end, QUERY_EXECUTABLE | QUERY_FILE_BACKED | QUERY_OR_NEXT, NULL, &next) == 0)
        if (is_code_of(&next, area))
            return true;
    return false;
}

/*
 * Returns true when code of the same file is mapped anywhere. Finding the neighbours would cost as much, since it takes
 * the whole list, too.
 */
static bool
has_code_in_list(int fd, const struct map_area *area, char *text)
{
    struct map_text reader = {.fd = fd, .text = text};
    struct map_area next;

    while (mmgi_map_text_next(&reader, 0, NULL, &next))
        if (is_code_of(&next, area))
            return true;
    return false;
}

bool
mmgi_map_is_loaded(int list, const struct map_area *area, bool everywhere, char *text)
{
    if (!area->is_from_list)
        return everywhere ? has_code_anywhere(list, area) : has_code_beside(list, area);
    lseek(list, 0, SEEK_SET);
    return has_code_in_list(list, area, text);
}

/*
 * Finds out whether a page of a range shows no byte of a file. Returns 0, or an errno when the kernel does not tell of every
 * page up to the first such page.
 */
static int
find_copy(uintptr_t from, uintptr_t to, char *text, bool *found)
{
    const size_t page = mmgi_map_page_size(), most = MAP_TEXT_SIZE / sizeof(uint64_t);
    int fd, os_code = list_open(PAGES, &fd);

    *found = false;
    if (os_code != 0)
        return os_code;
    lseek(fd, (off_t)(from / page * sizeof(uint64_t)), SEEK_SET); /* pread(2) is a cancellation point */
    while (from < to && os_code == 0 && !*found) {
        const size_t pages = (to - from) / page < most ? (to - from) / page : most;
        const long size = (long)(pages * sizeof(uint64_t)), got = syscall(SYS_read, fd, text, (size_t)size);
        for (long at = 0; at + (long)sizeof(uint64_t) <= got; at += (long)sizeof(uint64_t)) {
            uint64_t entry;
            memcpy(&entry, text + at, sizeof entry);
            *found |= (entry & (ENTRY_IS_PRESENT | ENTRY_IS_SWAPPED)) != 0 && (entry & ENTRY_IS_OF_FILE) == 0;
        }
        if (got < size || size == 0)
            os_code = EIO; /* the range has a part of a page, or the kernel tells nothing of it */
        from += pages * page;
    }
    list_close(fd);
    return os_code;
}

bool
mmgi_map_has_copies(uintptr_t from, uintptr_t to, char *text)
{
    bool found;

    find_copy(from, to, text, &found);
    return found;
}

bool
mmgi_map_has_no_copies(uintptr_t from, uintptr_t to, char *text)
{
    bool found;

    return find_copy(from, to, text, &found) == 0 && !found;
}

bool
mmgi_map_query_is_known(void)
{
    struct map_area area;
    int fd;

    if (list_open(LIST, &fd) != 0)
        return false;
    int os_code = query(fd, (uintptr_t)&area, 0, NULL, &area);
    list_close(fd);
    return os_code == 0;
}
