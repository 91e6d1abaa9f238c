/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads the bytes of a region through the kernel: from the file, or out of the mapping where only the mapping has the right
 * bytes.
 */
#include <errno.h>
#include <string.h>

#include "base/status.h"
#include "guard/registry.h"
#include "os/file.h"
#include "os/file_io.h"
#include "os/map.h"
#include "region/region.h"

/* A read that was short, because the file was cut and has grown again, is repeated this often. */
#define MAX_READ_ATTEMPTS 16

/* Returns true when the bytes are in the mapping of a file that can still be cut. */
static bool
reads_mapping(const struct region *region, int content)
{
    return content < 0 && region->number != 0 && region->fd >= 0 && !region->is_kept;
}

/* Returns true when the kernel can store a byte at a place, which it does. */
static bool
is_writable(void *place)
{
    static const unsigned char byte;
    size_t done;

    return mmgi_map_copy_out(&byte, place, 1, &done) != EFAULT;
}

/* Asks the file of a mapping for its size. Returns 0 or an errno; EBADF when the host has closed the descriptor. A copy-up of
   a stacked file system changes device and inode, so they cannot be compared there. */
static int
file_of_mapping(const struct region *region, struct file_status *status)
{
    return region->is_stacked ? mmgi_file_status(region->fd, status) : mmgi_region_names(region, region->fd, status);
}

/* Returns true when a byte of the mapping is behind the end of the file. */
static bool
is_behind_end(const struct region *region, const unsigned char *byte)
{
    struct file_status status;

    return file_of_mapping(region, &status) == 0 && status.size <= region->offset + (uint64_t)(byte - region->data);
}

/*
 * Returns true when a byte of the mapping that could not be read was behind the end of a file that was cut: it still is, or it
 * can be read again, since the file has grown. The size is asked once more at the end, since another process may have cut the
 * file a second time. On a failing device a second attempt to read may take long, so there is one only.
 */
static bool
was_cut(const struct region *region, const unsigned char *byte)
{
    return is_behind_end(region, byte) || mmgi_map_is_readable(byte) || is_behind_end(region, byte);
}

/*
 * Lets the kernel copy bytes out of the mapping. The kernel stops at a page that is gone. In a sandbox that forbids this
 * system call, memcpy() copies, and the fault guard contains faults. What the last page of a cut file shows behind its end
 * are zeros, so the size is looked at after the copy.
 */
static mmg_status
read_mapping(const struct region *region, uint64_t offset, void *buffer, size_t want, size_t *done)
{
    struct file_status status;
    int os_code = mmgi_map_copy_out(region->data + offset, buffer, want, done);

    if (os_code != 0 && os_code != EFAULT) {
        memcpy(buffer, region->data + offset, want);
        *done = want;
        os_code = 0;
    }
    if (reads_mapping(region, -1) && file_of_mapping(region, &status) == 0 &&
        status.size < region->offset + offset + want &&
        (os_code != 0 || mmgi_region_tail_is_lost(region, status.size))) {
        const uint64_t left = status.size > region->offset + offset ? status.size - region->offset - offset : 0;
        *done = left < *done ? (size_t)left : *done;
        return MMG_E_TRUNCATED;
    }
    if (os_code == 0)
        return MMG_OK;
    /* The kernel does not say which side failed. */
    if (!is_writable((unsigned char *)buffer + *done))
        return mmgi_region_failed(region, EFAULT);
    return reads_mapping(region, -1) && was_cut(region, region->data + offset + *done) ? MMG_E_TRUNCATED : MMG_E_IO;
}

/*
 * Returns the status for a read that failed on the right descriptor. Any error of a file server counts as a failure of
 * the medium.
 */
static mmg_status
read_failed(const struct region *region, int os_code)
{
    mmg_status status = mmgi_region_failed(region, os_code);

    return status == MMG_E_SYSTEM && os_code != EFAULT ? MMG_E_IO : status; /* EFAULT means the caller's buffer */
}

/*
 * Reads from the region's file. The host may close the descriptor at any moment and get its number for another file. So
 * the function checks the descriptor before and after the read, and bytes of another file never count as those of the
 * region. When bytes are missing, the size of the file tells why, as it does for a fault: a read that fails inside the
 * file is a failure of the medium, unless the file was cut and has grown again meanwhile.
 */
static mmg_status
read_file(const struct region *region, int fd, uint64_t offset, void *buffer, size_t want, size_t *done)
{
    const uint64_t start = region->offset + offset;
    struct file_time seen = region->identity.changed;
    struct file_status now;
    int named = mmgi_region_names(region, fd, &now);

    *done = 0;
    if (named != 0)
        return mmgi_region_failed(region, named);
    for (int i = 0; i < MAX_READ_ATTEMPTS; i++) {
        int os_code = mmgi_file_read_at(fd, start, buffer, want, done);
        named = mmgi_region_names(region, fd, &now);
        if (named == EBADF || (named != 0 && os_code == 0)) {
            *done = 0;
            return mmgi_region_failed(region, named);
        }
        if (os_code != 0)
            return read_failed(region, os_code);
        if (*done == want)
            return MMG_OK;
        if (!region->is_device && now.size < start + want)
            return MMG_E_TRUNCATED;
        if (file_time_equals(now.changed, seen))
            break;
        seen = now.changed;
    }
    return MMG_E_IO;
}

/* Copies `want` bytes from the place where they are now: the heap, the mapping, or a file. */
static mmg_status
read_content(const struct region *region, int content, uint64_t offset, void *buffer, size_t want, size_t *done)
{
    *done = want;
    if (want == 0)
        return MMG_OK;
    if (content >= 0)
        return read_file(region, content, offset, buffer, want, done);
    if (region->mapping.base != NULL)
        return read_mapping(region, offset, buffer, want, done);
    memcpy(buffer, region->data + offset, want);
    return MMG_OK;
}

mmg_status
mmgi_region_read(const struct region *region, uint64_t offset, void *buffer, uint64_t size, uint64_t *got)
{
    uint64_t rest = region->size - offset;
    size_t want = (size_t)(size < rest
                               ? size
                               : rest); /* the cast cannot lose bits: `want` is at most the size of the region */
    size_t done;
    int content;
    mmg_status status;

    *got = 0;
    do { /* repeat when a lease broke meanwhile: then a snapshot took the place of the file before any writer got in */
        content = atomic_load(&region->content);
        status = read_content(region, content, offset, buffer, want, &done);
    } while (content != atomic_load(&region->content));
    /* This comes after the read, so a loss that happened during the read is recorded by now. */
    mmg_status loss = registry_loss_within(region->number, offset, want);
    /* A STABLE region never returns bytes that were lost once, although the file may hold other bytes there now. A mapping
       shows zeros in the place of lost pages. For any other region the read has just shown that the bytes are there again. */
    if (loss == MMG_E_UNSTABLE || (loss != MMG_OK && region->is_kept))
        return loss;
    if (loss != MMG_OK && reads_mapping(region, content)) {
        struct losses losses;
        mmgi_registry_losses(region->number, &losses);
        const uint64_t true_bytes = losses.first_offset > offset ? losses.first_offset - offset : 0;
        *got = true_bytes < done ? true_bytes : done;
        return loss;
    }
    *got = done;
    return status;
}
