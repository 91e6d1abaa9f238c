/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads a stream, copies a file, or maps it, and handles every failure that can happen on the way.
 */
#include "region/backing.h"

#include <errno.h>
#include <stdlib.h>

#include "os/clock.h"
#include "os/file_io.h"
#include "os/snapshot_file.h"
#include "guard/registry.h"
#include "base/status.h"
#include "region/adoption.h"
#include "region/create.h"
#include "region/file_identity.h"

/* The library gives a copy up when the file has changed this often while it was copied. */
#define MAX_COPY_ATTEMPTS 16
/* Without a demand for STABLE, the library keeps such a copy, and mmg_verify() reports it. A small file is copied so often
   before. */
#define MAX_CONTAINED_ATTEMPTS 3

/* Before a copy of this size or more the code asks the kernel how much memory is left. For smaller copies the question would
   cost more than the copy. */
#define MIN_SIZE_TO_ASK (UINT64_C(4) << 20)

static mmg_status
tell_no_memory(const struct source *source)
{
    return mmgi_error_tell(source->report, MMG_E_NO_MEMORY, "malloc", ENOMEM, 0, NULL);
}

mmg_status
mmgi_backing_tell_range(const struct source *source)
{
    const mmg_options *options = source->options;

    if (options->offset > source->size)
        return mmgi_error_tell(source->report, MMG_E_RANGE, "window", 0, options->offset,
                               "the window starts behind the end of the file");
    return mmgi_error_tell(source->report, MMG_E_RANGE, "window", 0, source->size,
                           "the window ends behind the end of the file");
}

bool
mmgi_backing_has_memory(uint64_t length)
{
    return length < MIN_SIZE_TO_ASK || length <= mmgi_snapshot_file_memory_room();
}

/* Returns true when a copy keeps the lock of its file until it is closed, which a caller may require. */
static bool
copy_keeps_lock(const struct source *source)
{
    return (source->options->flags & MMG_FLAG_REQUIRE_LOCK) != 0;
}

/* ------------------------------------------------------------------------------------------------------ streams -- */

static mmg_status
stream_failed(const struct source *source, int os_code)
{
    switch (os_code) {
    case EFBIG:
        return mmgi_error_tell_own(source->report, MMG_E_TOO_BIG, "read",
                                   "there is more to read than max_bytes allows");
    case ENODATA:
        return mmgi_error_tell_own(source->report, MMG_E_RANGE, "read", "ended before the window did");
    case ETIMEDOUT:
        return mmgi_error_tell(source->report, MMG_E_WOULD_BLOCK, "read", os_code, 0,
                               "has not ended within stream_wait_ms");
    case EWOULDBLOCK:
        return mmgi_error_tell(source->report, MMG_E_WOULD_BLOCK, "read", os_code, 0, "no writer has the FIFO open");
    default:
        return mmgi_error_tell_os(source->report, "read", os_code);
    }
}

/*
 * Finds out whether a file of size 0 that had bytes is a virtual file, whose size is always 0. Stores false in
 * `*is_virtual` when it has a size now. Another process has then filled it. In `*is_mixed` the function stores whether the
 * file was written to meanwhile.
 */
static mmg_status
virtual_compare(struct source *source, bool *is_virtual, bool *is_mixed)
{
    const struct file_status before = source->status;
    mmg_status status = mmgi_source_refresh(source);

    *is_virtual = source->size == 0;
    *is_mixed = !file_same_content(&before, &source->status);
    if (status == MMG_OK && *is_virtual && *is_mixed && source->options->guarantee == MMG_GUARANTEE_STABLE)
        return mmgi_error_tell_own(source->report, MMG_E_UNSTABLE, "read", "changed while it was read");
    return status;
}

mmg_status
mmgi_backing_stream(struct source *source, uint32_t reason, struct region **out)
{
    const mmg_options *options = source->options;
    bool is_virtual = true, is_mixed = false;
    mmg_status status = MMG_OK;
    bool is_file = reason == MMG_REASON_VIRTUAL;
    struct region_memory memory;
    struct stream stream = {
        .fd = source->fd,
        .positioned = is_file,
        .skip = options->offset,
        .length = options->length,
        .cap = options->max_bytes,
        .is_fifo = source->path != NULL && source->status.kind == FILE_KIND_FIFO,
        .wait_for_writer = (options->flags & MMG_FLAG_FIFO_WAIT) != 0,
        .deadline_ns = options->stream_wait_ms == 0
                           ? 0
                           : mmgi_clock_monotonic_ns() + (int64_t)options->stream_wait_ms * 1000000,
    };
    int os_code = mmgi_stream_read(&stream);

    if (os_code != 0)
        return stream_failed(source, os_code);
    if (is_file && stream.size > 0 && !source->file_system.is_kernel)
        status = virtual_compare(source, &is_virtual, &is_mixed);
    if (status != MMG_OK || !is_virtual) {
        free(stream.data);
        return status;
    }
    if (!mmgi_region_reserve(source, 0, &memory)) {
        free(stream.data);
        return tell_no_memory(source);
    }
    if (!is_file)
        source->size = stream.size + options->offset;
    const bool keeps_lock = is_file && copy_keeps_lock(source);
    *out = region_create(&(struct region_spec){
        .source = source,
        .memory = &memory,
        .data = stream.data,
        .size = stream.size,
        .stream = stream.data,
        .content = -1,
        .keeps_source = keeps_lock,
        .is_mixed = is_mixed,
        .reason = is_file && stream.size == 0 ? MMG_REASON_EMPTY : reason,
        .promise = promise_stable(MMG_MEANS_PRIVATE_COPY),
    });
    if (keeps_lock)
        mmgi_source_keep(source);
    return MMG_OK;
}

/* ------------------------------------------------------------------------------------------------------- copies -- */

/* One attempt to copy a file, and its result. */
struct copy_attempt {
    struct region_memory memory;
    uint64_t length;       /* of the window */
    size_t got;            /* bytes that were read */
    uint32_t reason;       /* MMG_REASON_... */
    unsigned changes;      /* how often the file was written to during an attempt */
    bool must_repeat;      /* the file changed during the copy */
    bool is_mixed;         /* the file changed during this copy, which is kept all the same */
    bool is_outgrown;      /* the file was small and is not any more */
    bool was_short_before; /* an earlier attempt found fewer bytes than the size of the file */
};

/*
 * Finds out whether a whole copy may mix two versions of the file, or has zeros that never were in the file: the kernel
 * clears the rest of the last page while a reader of that page is on its way. A copy for STABLE is of one version. Another
 * copy may be kept, and mmg_verify() then tells.
 */
static mmg_status
copy_compare(struct source *source, struct copy_attempt *attempt)
{
    struct file_status now;
    bool is_same;

    if (source->options->guarantee == MMG_GUARANTEE_STABLE) {
        struct file_copy copy = {.bytes = attempt->memory.bytes};
        attempt->must_repeat = !mmgi_copy_is_one_version(source, source->options->offset, attempt->got, &copy);
        return MMG_OK;
    }
    if (source->kind != SOURCE_FILE || attempt->got == 0)
        return MMG_OK;
    int os_code = mmgi_file_status_again(source->fd, &source->status, &now, &is_same);
    if (os_code != 0)
        return mmgi_error_tell_os(source->report, "fstat", os_code);
    source->is_early = false;
    if (is_same)
        return MMG_OK;
    attempt->changes++;
    attempt->must_repeat = attempt->changes < MAX_CONTAINED_ATTEMPTS && attempt->length <= LARGEST_SMALL_FILE;
    attempt->is_mixed = !attempt->must_repeat;
    if (attempt->must_repeat) { /* else mmg_changed() compares with what the file was when the copy began */
        source->status = now;
        source->size = now.size;
    }
    return MMG_OK;
}

static mmg_status
copy_judge(struct source *source, int os_code, struct copy_attempt *attempt)
{
    const mmg_options *options = source->options;
    uint64_t claimed = source->size;

    if (os_code != 0)
        return mmgi_error_tell(source->report, mmgi_status_from_errno(os_code), "read", os_code,
                               options->offset + attempt->got, NULL);
    if (attempt->got == attempt->length)
        return copy_compare(source, attempt);
    mmg_status status = mmgi_source_refresh(source);
    /* Two attempts found fewer bytes, and the file system still reports the same size: the file does not have that size, as
       files of /sys do not. */
    if (attempt->was_short_before && source->size == claimed && options->length == 0) {
        attempt->reason = MMG_REASON_VIRTUAL;
    } else {
        attempt->was_short_before = true;
        attempt->must_repeat = true;
    }
    return status;
}

/* Works out the window of an attempt that is not the first, since the file may have another size now. */
static mmg_status
copy_window(const struct source *source, struct copy_attempt *attempt)
{
    const mmg_options *options = source->options;
    mmg_status status = backing_window(source, &attempt->length);

    if (status != MMG_OK)
        return status;
    attempt->is_outgrown = attempt->reason == MMG_REASON_SMALL && attempt->length > mmgi_region_copy_threshold(options);
    if (!attempt->is_outgrown && attempt->length > options->max_bytes)
        return mmgi_error_tell_own(source->report, MMG_E_TOO_BIG, "copy", "larger than max_bytes allows");
    return MMG_OK;
}

static mmg_status
copy_once(struct source *source, struct copy_attempt *attempt, struct region **out)
{
    mmg_status status = attempt->must_repeat ? copy_window(source, attempt) : MMG_OK;

    attempt->must_repeat = false;
    if (status != MMG_OK || attempt->is_outgrown)
        return status;
    if (!mmgi_region_reserve(source, attempt->length, &attempt->memory))
        return tell_no_memory(source);
    /* The cast cannot lose bits, since there is memory for so many bytes. */
    int os_code = mmgi_file_read_at(source->fd, source->options->offset, attempt->memory.bytes, (size_t)attempt->length,
                                    &attempt->got);
    status = copy_judge(source, os_code, attempt);
    if (status != MMG_OK || attempt->must_repeat) {
        mmgi_region_unreserve(&attempt->memory);
        return status;
    }
    const bool keeps_lock = copy_keeps_lock(source);
    *out = region_create(&(struct region_spec){
        .source = source,
        .memory = &attempt->memory,
        .data = attempt->memory.bytes,
        .size = attempt->got,
        .content = -1,
        .keeps_source = keeps_lock,
        .is_mixed = attempt->is_mixed,
        .reason = attempt->reason,
        .promise = promise_stable(MMG_MEANS_PRIVATE_COPY),
    });
    if (keeps_lock)
        mmgi_source_keep(source);
    return MMG_OK;
}

mmg_status
mmgi_backing_copy(struct source *source, uint64_t length, uint32_t reason, struct region **out)
{
    struct copy_attempt attempt = {.length = length, .reason = reason};

    for (int i = 0; i < MAX_COPY_ATTEMPTS; i++) {
        mmg_status status = copy_once(source, &attempt, out);
        if (status == MMG_OK && !attempt.must_repeat)
            return MMG_OK;
        if (status == MMG_E_RANGE &&
            i > 0) /* at the first attempt the file had such a window, so the file was cut since */
            return mmgi_error_tell(source->report, MMG_E_TRUNCATED, "read", 0, source->size,
                                   "shrank while it was read");
        if (status != MMG_OK)
            return status;
    }
    if (source->options->guarantee == MMG_GUARANTEE_STABLE)
        return mmgi_error_tell_own(source->report, MMG_E_UNSTABLE, "copy", "changed during every attempt to copy it");
    return mmgi_error_tell(source->report, MMG_E_TRUNCATED, "read", 0, source->size,
                           "kept shrinking while it was read");
}

/* ----------------------------------------------------------------------------------------------------- mappings -- */

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

/* Registers a mapping with the guard. Returns its number in the registry, or 0 when there is no memory. */
static uint32_t
mapping_register(const struct source *source, const struct map_request *request, const struct mapping *mapping,
                 size_t lead, const struct mapping_owner *owner)
{
    struct registration registration = {
        .start = mapping->base,
        .length = mapping->length,
        .page = mapping->page,
        .lead = lead,
        .size = request->length,
        .file_offset = source->options->offset - lead,
        .fd = request->is_snapshot ? -1 : request->fd,
        .traits = (source->kind == SOURCE_DEVICE ? MAPPING_IS_DEVICE : 0) | source_lock_trait(source),
        .owner = owner,
        .changed = source->status.changed.seconds * INT64_C(1000000000) + source->status.changed.nanoseconds};

    if (!request->is_snapshot) {
        registration.traits |= source->file_system.is_stacked ? MAPPING_IS_STACKED : 0;
        registration.device = source->status.device;
        registration.inode = source->status.inode;
    }

    return mmgi_registry_add(&registration);
}

mmg_status
mmgi_backing_map(struct source *source, const struct map_request *request, struct region **out)
{
    const mmg_options *options = source->options;
    size_t page = file_page_size(source->fd, &source->status, mmgi_map_page_size());
    size_t lead = (size_t)options->offset & (page - 1); /* a page is a power of two */
    struct region_memory memory;
    struct mapping mapping;

    if (source->adoption != NULL)
        return mmgi_adoption_take(source, request, out);
    if (request->length > SIZE_MAX / 2 - page)
        return mmgi_error_tell_own(source->report, MMG_E_TOO_BIG, "mmap", "larger than the address space");
    if (!mmgi_region_reserve(source, 0, &memory))
        return tell_no_memory(source);
    int os_code = mmgi_map_file(request->fd, options->offset - lead,
                                ((size_t)request->length + lead + page - 1) & ~(page - 1), page,
                                (options->flags & MMG_FLAG_POPULATE) != 0, &mapping);
    if (os_code != 0) {
        mmgi_region_unreserve(&memory);
        return map_failed(source, os_code);
    }
    uint32_t number = mapping_register(source, request, &mapping, lead, &memory.region->owner);
    if (number == 0) {
        mmgi_map_release(&mapping);
        mmgi_region_unreserve(&memory);
        return tell_no_memory(source);
    }
    mapping.is_sequential = options->access == MMG_ADVICE_SEQUENTIAL;
    *out = region_create(&(struct region_spec){
        .source = source,
        .memory = &memory,
        .data = mapping.base + lead,
        .size = request->length,
        .mapping = &mapping,
        .number = number,
        .content = request->is_snapshot || source->file_system.is_stacked ? -1 : request->fd,
        .keeps_source = true,
        .is_guarded = request->is_guarded,
        .reason = mapping.is_private ? MMG_REASON_MAP_PRIVATE : request->reason,
        .exceptions = request->exceptions,
        .means_order = request->means_order,
        .promise = request->promise,
    });
    mmgi_source_keep(source);
    if (options->access != MMG_ADVICE_NORMAL) /* the advice is a hint, so a refusal of the kernel is no failure */
        mmgi_map_advise(&mapping, (*out)->data, (size_t)request->length, options->access);
    return MMG_OK;
}
