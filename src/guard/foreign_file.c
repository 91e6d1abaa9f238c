/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * To find the end of the file, the code asks for the size of the file at its path, if that path still names the same
 * file and the mapping agrees. Otherwise it searches the mapping, by halves, for the first page that cannot be read.
 */
#include "guard/foreign_file.h"

#include <errno.h>
#include <string.h>

#include "mmapguard.h"
#include "os/map.h"

bool
mmgi_foreign_is_readable(uintptr_t address)
{
    return mmgi_map_is_readable((const unsigned char *)address);
}

bool
mmgi_foreign_is_missing(uintptr_t address)
{
    unsigned char byte;
    size_t copied;

    return mmgi_map_copy_out((const unsigned char *)address, &byte, 1, &copied) == EFAULT;
}

bool
mmgi_foreign_is_in_scope(const struct foreign *f, uint32_t flags)
{
    const struct map_area *area = &f->area;
    const char *path = f->scratch->path;

    if (area->inode == 0 || path[0] != '/' ||
        (area->access & (MAP_ACCESS_READ | MAP_ACCESS_EXECUTE)) != MAP_ACCESS_READ)
        return false;
    if (area->is_shared && (area->access & MAP_ACCESS_WRITE) != 0 && !(flags & MMG_PROCESS_SHARED_WRITABLE))
        return false;
    return strncmp(path, "/dev/", 5) != 0 || strncmp(path, "/dev/shm/", 9) == 0;
}

/* Returns true when the name stands for memory that no file system has under a path, such as a memfd. */
static bool
is_nameless_memory(const char *path)
{
    return strncmp(path, "/memfd:", 7) == 0 || strncmp(path, "/SYSV", 5) == 0 ||
           strncmp(path, "/anon_hugepage", 14) == 0;
}

bool
mmgi_foreign_look_at_file(struct foreign *f, enum file_medium *medium)
{
    struct file_status status;
    const char *path = f->scratch->path;

    f->device = f->area.device;
    f->inode = f->area.inode;
    *medium = FILE_MEDIUM_DISK;
    if (mmgi_file_status_of_path(path, false, &status) != 0 || status.inode != f->area.inode)
        return !is_nameless_memory(path); /* the path does not exist any more, or names another file */
    /* The device number may differ where a file system gives each subvolume a number of its own (btrfs). So the inode
       alone decides for a regular file. */
    if (status.kind != FILE_KIND_REGULAR)
        return status.device != f->area.device;
    f->is_named = true;
    f->file_size = status.size;
    f->changed = status.changed;
    f->device = status.device;
    *medium = mmgi_file_medium(path);
    return *medium != FILE_MEDIUM_HUGE;
}

bool
mmgi_foreign_file_has_changed(const struct foreign *f)
{
    struct file_status now;

    return f->is_named && (mmgi_file_status_of_path(f->scratch->path, false, &now) != 0 || now.inode != f->area.inode ||
                           now.size != f->file_size || now.changed.seconds != f->changed.seconds ||
                           now.changed.nanoseconds != f->changed.nanoseconds);
}

/*
 * Returns the first page of an area that cannot be read. The caller knows that the page at `fault` cannot be read, nor
 * any page behind it.
 */
static uintptr_t
end_by_halves(const struct foreign *f)
{
    uintptr_t low = f->area.start, high = f->fault;

    while (low < high) {
        uintptr_t middle = low + (high - low) / 2 / f->page * f->page;
        if (mmgi_foreign_is_missing(middle))
            high = middle;
        else
            low = middle + f->page;
    }
    return high;
}

bool
mmgi_foreign_find_end(const struct foreign *f, uintptr_t *end, uintptr_t *tail)
{
    const struct map_area *area = &f->area;

    if (f->is_named) {
        uint64_t present = f->file_size > area->offset ? f->file_size - area->offset : 0;
        if (present > f->fault - area->start) /* the page lies inside the file */
            return false;
        *end = area->start + (uintptr_t)present; /* fits: it is below the fault */
        *tail = area->start + ((uintptr_t)present + f->page - 1) / f->page * f->page;
        /* On a stacked file system the path may lead to another file than the mapping. So the last page of the mapping
           must fail, too, before the size is believed. */
        if (!mmgi_foreign_is_readable(area->end - 1))
            return true;
        return false;
    }
    /* If the last page or the next page can be read, this is a failure of the medium and not the end of the file. */
    if (!mmgi_foreign_is_missing(area->end - 1) ||
        (f->fault + f->page < area->end && !mmgi_foreign_is_missing(f->fault + f->page)))
        return false;
    *tail = end_by_halves(f);
    *end = *tail;
    return true;
}
