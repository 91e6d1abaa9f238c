/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The three ways in which bytes come to be held, each with all that can go wrong below it.
 */
#include "region/backing.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/vfs.h>

#include "os/file_io.h"
#include "guard/registry.h"
#include "base/status.h"
#include "region/file_identity.h"

/* How often a file may change below a copy before we give up on it. */
#define COPY_ATTEMPTS 16
#define HUGETLBFS_MAGIC_NUMBER 0x958458f6UL /* statfs(2) */

static mmg_status
tell_no_memory(const struct source *source)
{
    return mmgi_error_tell(source->report, MMG_E_NO_MEMORY, "malloc", ENOMEM, 0, NULL);
}

mmg_status
mmgi_backing_window(const struct source *source, uint64_t *length)
{
    const mmg_options *options = source->options;

    if (options->offset > source->size)
        return mmgi_error_tell(source->report, MMG_E_RANGE, "window", 0, options->offset,
                               "the window starts behind the end of the file");
    uint64_t rest = source->size - options->offset;
    if (options->length > rest)
        return mmgi_error_tell(source->report, MMG_E_RANGE, "window", 0, source->size,
                               "the window ends behind the end of the file");
    *length = options->length > 0 ? options->length : rest;
    return MMG_OK;
}

/* ------------------------------------------------------------------------------------------------------ streams -- */

static mmg_status
stream_failed(const struct source *source, int os_code)
{
    switch (os_code) {
    case EFBIG:
        return mmgi_error_tell(source->report, MMG_E_TOO_BIG, "read", 0, 0,
                               "there is more to read than max_bytes allows");
    case ENODATA:
        return mmgi_error_tell(source->report, MMG_E_RANGE, "read", 0, 0, "ended before the window did");
    case EWOULDBLOCK:
        return mmgi_error_tell(source->report, MMG_E_WOULD_BLOCK, "read", os_code, 0, "no writer has the FIFO open");
    default:
        return mmgi_error_tell_os(source->report, "read", os_code);
    }
}

mmg_status
mmgi_backing_stream(struct source *source, uint32_t reason, struct region **out)
{
    const mmg_options *options = source->options;
    bool is_file = reason == MMG_REASON_VIRTUAL;
    struct stream stream = {
        .fd = source->fd,
        .positioned = is_file,
        .skip = options->offset,
        .length = options->length,
        .cap = options->max_bytes,
        .is_fifo = source->path != NULL && S_ISFIFO(source->status.st_mode),
        .wait_for_writer = (options->flags & MMG_FLAG_FIFO_WAIT) != 0,
    };
    int os_code = mmgi_stream_read(&stream);
    if (os_code != 0)
        return stream_failed(source, os_code);
    struct region *region = mmgi_region_new(source, 0);
    if (region == NULL) {
        free(stream.data);
        return tell_no_memory(source);
    }
    region->stream = stream.data;
    region->data = stream.data;
    region->size = stream.size;
    region->heap_bytes += stream.size;
    region->reason = is_file && stream.size == 0 ? MMG_REASON_EMPTY : reason;
    if (!is_file)
        region->identity.size = stream.size + options->offset;
    *out = region;
    return MMG_OK;
}

/* ------------------------------------------------------------------------------------------------------- copies -- */

/* What became of one attempt. */
struct attempt {
    bool again;      /* the file moved below the copy: try anew */
    bool seen_short; /* an attempt found less than the size says */
};

static mmg_status
copy_judge(struct source *source, struct region *region, size_t got, int os_code, struct attempt *attempt)
{
    const mmg_options *options = source->options;
    uint64_t claimed = source->size;

    if (os_code != 0)
        return mmgi_error_tell(source->report, mmgi_status_from_errno(os_code), "read", os_code, options->offset + got,
                               NULL);
    if (got == region->size) {
        attempt->again = options->guarantee == MMG_GUARANTEE_STABLE &&
                         !mmgi_copy_is_one_version(source, options->offset, region->data, got);
        return MMG_OK;
    }
    mmg_status status = mmgi_source_refresh(source);
    /* Short twice, and the size is still said to be the same: it is a size that the file does not have (/sys). */
    if (attempt->seen_short && source->size == claimed && options->length == 0) {
        region->size = got;
        region->reason = MMG_REASON_VIRTUAL;
    } else {
        attempt->seen_short = true;
        attempt->again = true;
    }
    return status;
}

static mmg_status
copy_once(struct source *source, uint32_t reason, struct attempt *attempt, struct region **out)
{
    uint64_t length = 0;
    size_t got = 0;
    mmg_status status = mmgi_backing_window(source, &length);

    attempt->again = false;
    if (status != MMG_OK)
        return status;
    struct region *region = mmgi_region_new(source, length);
    if (region == NULL)
        return tell_no_memory(source);
    region->reason = reason;
    /* The casts cannot lose: mmgi_region_new() has found room for so many bytes, and they are the region's own. */
    int os_code = mmgi_file_read_at(source->fd, source->options->offset, (unsigned char *)region->data, (size_t)length,
                                    &got);
    status = copy_judge(source, region, got, os_code, attempt);
    if (status == MMG_OK && !attempt->again)
        *out = region;
    else
        mmgi_region_discard(region);
    return status;
}

mmg_status
mmgi_backing_copy(struct source *source, uint32_t reason, struct region **out)
{
    struct attempt attempt = {.again = false};

    for (int i = 0; i < COPY_ATTEMPTS; i++) {
        mmg_status status = copy_once(source, reason, &attempt, out);
        if (status == MMG_OK && !attempt.again)
            return MMG_OK;
        if (status == MMG_E_RANGE && i > 0) /* the window was there at first */
            return mmgi_error_tell(source->report, MMG_E_TRUNCATED, "read", 0, source->size,
                                   "shrank while it was read");
        if (status != MMG_OK)
            return status;
    }
    if (source->options->guarantee == MMG_GUARANTEE_STABLE)
        return mmgi_error_tell(source->report, MMG_E_UNSTABLE, "copy", 0, 0, "changed during every attempt to copy it");
    return mmgi_error_tell(source->report, MMG_E_TRUNCATED, "read", 0, source->size,
                           "kept shrinking while it was read");
}

/* ----------------------------------------------------------------------------------------------------- mappings -- */

/* The page size of mappings of this file. Only hugetlbfs has another than the system; its block size is that. */
static size_t
page_size_of(const struct source *source)
{
    size_t page = mmgi_map_page_size();
    struct statfs file_system;

    if (source->status.st_blksize > (blksize_t)page && fstatfs(source->fd, &file_system) == 0 &&
        (unsigned long)file_system.f_type == HUGETLBFS_MAGIC_NUMBER)
        return (size_t)source->status.st_blksize; /* positive and a power of two, by the file system's nature */
    return page;
}

static mmg_status
map_failed(const struct source *source, int os_code)
{
    if (os_code == ENOMEM || os_code == EAGAIN) /* mmap(2): more than vm.max_map_count, or RLIMIT_AS */
        return mmgi_error_tell(source->report, MMG_E_LIMIT, "mmap", os_code, 0, NULL);
    if (mmgi_map_is_refusal(os_code))
        return mmgi_error_tell(source->report, MMG_E_NOT_MAPPABLE, "mmap", os_code, 0,
                               "its file system does not map files");
    return mmgi_error_tell_os(source->report, "mmap", os_code);
}

static mmg_status
region_map(struct source *source, struct region *region, uint64_t length)
{
    const mmg_options *options = source->options;
    int fd = atomic_load_explicit(&region->content, memory_order_relaxed); /* still this thread's alone */
    size_t page = page_size_of(source);
    uint64_t file_offset = region->offset;
    size_t lead = (size_t)(file_offset % page);

    if (length > SIZE_MAX / 2 - page)
        return mmgi_error_tell(source->report, MMG_E_TOO_BIG, "mmap", 0, 0, "larger than the address space");
    int os_code = mmgi_map_file(fd, file_offset - lead, ((size_t)length + lead + page - 1) / page * page, page,
                                (options->flags & MMG_FLAG_POPULATE) != 0, &region->mapping);
    if (os_code != 0)
        return map_failed(source, os_code);
    region->data = region->mapping.base + lead;
    region->size = length;
    region->backing = MMG_BACKING_MAP;
    struct registration registration = {.start = region->mapping.base,
                                        .length = region->mapping.length,
                                        .page = page,
                                        .lead = lead,
                                        .size = length,
                                        .file_offset = file_offset - lead,
                                        .fd = fd,
                                        .is_device = region->is_device};
    region->number = mmgi_registry_add(&registration);
    if (region->number == 0)
        return tell_no_memory(source);
    region->object.user_tag = region->number;
    if (options->access != MMG_ADVICE_NORMAL)
        mmgi_map_advise(&region->mapping, region->data, (size_t)length,
                        options->access); /* a hint: what fails is no loss */
    return MMG_OK;
}

mmg_status
mmgi_backing_map(struct source *source, int fd, uint64_t length, struct region **out)
{
    struct region *region = mmgi_region_new(source, 0);

    if (region == NULL)
        return tell_no_memory(source);
    /* Relaxed stores: nobody else knows of the region yet. */
    atomic_store_explicit(&region->content, fd, memory_order_relaxed);
    mmg_status status = region_map(source, region, length);
    if (status == MMG_OK) {
        *out = region;
        return MMG_OK;
    }
    atomic_store_explicit(&region->content, -1, memory_order_relaxed); /* stays the caller's */
    mmgi_region_discard(region);
    return status;
}

void
mmgi_backing_keep_source(struct source *source, struct region *region)
{
    region->lock = source->lock;
    region->fd = mmgi_source_keep(source);
}
