/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tries the means of STABLE, one after another. Files that cannot change need no means: a sealed memfd, a file on a
 * read-only medium, a file with fs-verity. For other files the order depends on the size, as it was measured with
 * bench/stable/run.py. The code collects the reason why each means failed, for the error message.
 */
#include "stable/stable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "guard/fault_guard.h"
#include "os/process.h"
#include "region/backing.h"
#include "region/file_identity.h"
#include "region/source_lock.h"
#include "stable/lease.h"
#include "stable/snapshot.h"

/* The library gives a snapshot up when the file has changed this often during the copy. */
#define MAX_SNAPSHOT_ATTEMPTS 8

#define MAX_MEANS 4

/*
 * The order of the means, by size. For small files a copy in memory is the cheapest, because every other means has a fixed
 * cost. A lease and a reflink cost the same at any size; a reflink costs about three times as much, since it needs a new
 * file. A copy in memory is cheaper than a copy in a file. Beyond the last size the copy goes to a file, to spare memory.
 */
static const struct {
    uint64_t up_to; /* largest size in bytes for this order */
    uint8_t means[MAX_MEANS];
} orders[] = {
    {UINT64_C(128) << 10, {MMG_MEANS_PRIVATE_COPY, MMG_MEANS_LEASE, MMG_MEANS_REFLINK, MMG_MEANS_SNAPSHOT}},
    {UINT64_C(384) << 10, {MMG_MEANS_LEASE, MMG_MEANS_PRIVATE_COPY, MMG_MEANS_REFLINK, MMG_MEANS_SNAPSHOT}},
    {UINT64_C(32) << 20, {MMG_MEANS_LEASE, MMG_MEANS_REFLINK, MMG_MEANS_PRIVATE_COPY, MMG_MEANS_SNAPSHOT}},
    {UINT64_MAX, {MMG_MEANS_LEASE, MMG_MEANS_REFLINK, MMG_MEANS_SNAPSHOT, MMG_MEANS_PRIVATE_COPY}},
};

/* The first of the reasons in the error message. It is unused when the file cannot change by its nature. */
#define NOT_BY_NATURE "not sealed, not a read-only medium"

struct attempt {
    struct source *source;
    uint64_t length;
    uint64_t order;    /* as mmg_info.means_order */
    char reasons[240]; /* why each means failed */
    size_t used;
};

static void note(struct attempt *attempt, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
note(struct attempt *attempt, const char *format, ...)
{
    size_t room = sizeof attempt->reasons - attempt->used;
    va_list arguments;

    va_start(arguments, format);
    int n = vsnprintf(attempt->reasons + attempt->used, room, format, arguments);
    va_end(arguments);
    if (n > 0)
        attempt->used += (size_t)n < room ? (size_t)n : room - 1;
}

/* Maps a file for the region. STABLE bytes may be on a device that fails, so the mapping needs the fault guard, too. */
static mmg_status
map(struct attempt *attempt, int fd, uint32_t means, struct region **out)
{
    struct source *source = attempt->source;
    bool is_snapshot = means == MMG_MEANS_REFLINK || means == MMG_MEANS_SNAPSHOT;
    const struct map_request request = {
        .fd = fd,
        .length = attempt->length,
        .is_guarded = !(source->options->flags & MMG_FLAG_NO_FAULT_GUARD) && mmgi_guard_ensure() == MMG_OK,
        .reason = MMG_REASON_STABLE,
        .exceptions = means == MMG_MEANS_LEASE ? MMG_EXCEPT_READ_ONLY_TRUNCATION | MMG_EXCEPT_PINNED_PAGES : 0,
        .means_order = attempt->order,
        .is_snapshot = is_snapshot,
        .promise = promise_stable(means),
    };

    if (is_snapshot && (source->options->flags & MMG_FLAG_REQUIRE_LOCK) == 0)
        mmgi_source_lock_drop(source);
    return mmgi_backing_map(source, &request, out);
}

/* Asks for the size again, and works the window out again. Whatever a writer has done until now belongs to the version that
   is kept. */
static mmg_status
settle_window(struct attempt *attempt)
{
    mmg_status status = mmgi_source_refresh(attempt->source);

    return status == MMG_OK ? backing_window(attempt->source, &attempt->length) : status;
}

/* Maps the source itself, whose bytes no process can change from here on. */
static mmg_status
map_source(struct attempt *attempt, uint32_t means, struct region **out)
{
    mmg_status status = settle_window(attempt);

    return status == MMG_OK ? map(attempt, attempt->source->fd, means, out) : status;
}

/* ------------------------------------------------------------------------------------- what cannot change by nature -- */

/* Returns true for memfds and System V shared memory: files in memory that have no name. */
static bool
is_nameless_memory(const struct source *source)
{
    return source->kind == SOURCE_FILE && source->status.links == 0 &&
           (source->file_system.is_memory || source->file_system.name[0] == '\0');
}

/* Returns the means for a file that cannot change by its nature, or MMG_MEANS_NONE. */
static uint32_t
means_by_nature(const struct source *source)
{
    if (source->kind != SOURCE_FILE)
        return MMG_MEANS_NONE;
    /* Only a memfd can be sealed, and it never gets a name (fcntl(2), "File Sealing"). So only such files are asked. */
    if (is_nameless_memory(source) && mmgi_file_system_memory_is_sealed(source->fd))
        return MMG_MEANS_SEALED;
    if (source->file_system.is_read_only_medium)
        return MMG_MEANS_READ_ONLY_MEDIUM;
    /* Ask only file systems of this kernel. FUSE would forward the question to its server, which may say anything. */
    if (source->file_system.has_verity && source->status.has_verity)
        return MMG_MEANS_READ_ONLY_MEDIUM;
    return MMG_MEANS_NONE;
}

/* ----------------------------------------------------------------------------------------------------- the means -- */

/* Each of these functions tries one means. It returns false, and stores the reason, when the means cannot be used;
   otherwise `*status` is the result of the open. */

static const char *
lease_refusal(int os_code)
{
    switch (os_code) {
    case EACCES:
        return "not the owner";
    case EAGAIN:
        return "open for writing elsewhere";
    case EDQUOT:
        return "max_leases are held";
    case EINVAL:
        return "switched off, or the file system has none";
    case ENOMEM:
        return "no memory or no thread for it";
    default:
        return "refused";
    }
}

static bool
try_lease(struct attempt *attempt, mmg_status *status, struct region **out)
{
    struct source *source = attempt->source;
    struct lease *lease;

    if ((source->options->flags & MMG_FLAG_NO_LEASE) || mmgi_process_environment_says("MMAPGUARD_NO_LEASE")) {
        note(attempt, "; lease: not wanted");
        return false;
    }
    if (source->kind != SOURCE_FILE || source->is_shared || !source->file_system.has_leases) {
        note(attempt, "; lease: %s",
             source->is_shared ? "the file cannot be opened a second time" : "not on its file system");
        return false;
    }
    int os_code = mmgi_lease_begin(source, &lease);
    if (os_code != 0) {
        mmgi_lease_count_refusal();
        note(attempt, "; lease: %s", lease_refusal(os_code));
        return false;
    }
    *status = map_source(attempt, MMG_MEANS_LEASE, out);
    if (*status == MMG_OK)
        mmgi_lease_attach(lease, *out);
    else
        mmgi_lease_end(lease);
    return true;
}

static bool
try_reflink(struct attempt *attempt, mmg_status *status, struct region **out)
{
    struct source *source = attempt->source;
    struct file_status status_of_clone;
    int clone, os_code = EINVAL;

    /* The times are asked before the file is cloned. A write in between then shows as a change, and never goes unnoticed. */
    if (source->kind == SOURCE_FILE && source->file_system.may_reflink &&
        (*status = mmgi_source_refresh(source)) != MMG_OK)
        return true;
    if (source->kind == SOURCE_FILE && source->file_system.may_reflink)
        os_code = mmgi_snapshot_reflink(source->fd, &clone);
    if (os_code != 0) {
        note(attempt, "; reflink: %s",
             os_code == EACCES || os_code == EROFS ? "directory not writable" : "not possible");
        return false;
    }
    /* The clone shows one moment of the file, so the size of the clone counts, and not an earlier or later size. */
    *status = MMG_OK;
    if (mmgi_file_status(clone, &status_of_clone) == 0) {
        source->size = status_of_clone.size;
        *status = backing_window(source, &attempt->length);
    }
    if (*status == MMG_OK)
        *status = map(attempt, clone, MMG_MEANS_REFLINK, out);
    mmgi_file_close(clone);
    return true;
}

/* Returns false, and stores the reason, when the window is larger than the caller allows for a copy. */
static bool
is_within_cap(struct attempt *attempt, const char *means)
{
    if (attempt->length <= attempt->source->options->max_snapshot_bytes)
        return true;
    note(attempt, "; %s: larger than max_snapshot_bytes", means);
    return false;
}

static bool
try_copy(struct attempt *attempt, mmg_status *status, struct region **out)
{
    const mmg_options *options = attempt->source->options;

    if (options->backing == MMG_BACKING_MAP) {
        note(attempt, "; copy: %s", attempt->source->adoption != NULL ? "not in place" : "a mapping was asked for");
        return false;
    }
    if (!is_within_cap(attempt, "copy"))
        return false;
    if (!mmgi_backing_has_memory(attempt->length)) {
        note(attempt, "; copy: no memory to spare");
        return false;
    }
    *status = mmgi_backing_copy(attempt->source, attempt->length, MMG_REASON_STABLE, out);
    if (*status == MMG_E_UNSTABLE) {
        note(attempt, "; copy: changed during every attempt");
        return false;
    }
    if (*status == MMG_OK)
        mmgi_snapshot_count(attempt->length);
    return true;
}

/* Returns how many bytes the file has in the last page of an adopted window behind the window. The owner reads them, too. */
static size_t
rest_of_page(const struct attempt *attempt)
{
    const struct source *source = attempt->source;
    const uint64_t page = mmgi_map_page_size(), end = source->options->offset + attempt->length;
    const uint64_t rest = (page - end % page) % page;

    if (source->adoption == NULL || end >= source->size)
        return 0;
    return (size_t)(rest < source->size - end ? rest : source->size - end);
}

/* Takes one full snapshot. Returns false when no file has room for it. Sets `*must_repeat` when the file has changed during
   the copy. */
static bool
snapshot_once(struct attempt *attempt, mmg_status *status, bool *must_repeat, struct region **out)
{
    struct source *source = attempt->source;
    uint64_t lead = source->options->offset % mmgi_map_page_size();
    struct snapshot_order order = {.fd = source->fd,
                                   .from = source->options->offset - lead,
                                   .length = (size_t)(lead + attempt->length) + rest_of_page(attempt),
                                   .cap = MMG_NO_LIMIT};
    struct snapshot snapshot;

    *must_repeat = false;
    mmgi_snapshot_take(&order, &snapshot);
    if (snapshot.fd < 0)
        return false;
    const struct file_copy copy = {.fd = snapshot.fd};
    *must_repeat = !mmgi_copy_is_one_version(source, source->options->offset, (size_t)attempt->length, &copy);
    if (!*must_repeat)
        *status = map(attempt, snapshot.fd, MMG_MEANS_SNAPSHOT, out);
    mmgi_snapshot_release(&snapshot);
    return true;
}

static bool
try_snapshot(struct attempt *attempt, mmg_status *status, struct region **out)
{
    if (!is_within_cap(attempt, "snapshot"))
        return false;
    for (int i = 0; i < MAX_SNAPSHOT_ATTEMPTS; i++) {
        bool must_repeat;
        if ((*status = settle_window(attempt)) != MMG_OK)
            return true;
        if (!snapshot_once(attempt, status, &must_repeat, out)) {
            note(attempt, "; snapshot: no room in a file");
            return false;
        }
        if (!must_repeat)
            return true;
    }
    note(attempt, "; snapshot: changed during every attempt");
    return false;
}

/* ------------------------------------------------------------------------------------------------------- the choice -- */

static bool
try_means(struct attempt *attempt, uint32_t means, mmg_status *status, struct region **out)
{
    switch (means) {
    case MMG_MEANS_PRIVATE_COPY:
        return try_copy(attempt, status, out);
    case MMG_MEANS_LEASE:
        return try_lease(attempt, status, out);
    case MMG_MEANS_REFLINK:
        return try_reflink(attempt, status, out);
    default:
        return try_snapshot(attempt, status, out);
    }
}

static const uint8_t *
order_for(uint64_t length)
{
    size_t i = 0;

    while (length > orders[i].up_to)
        i++;
    return orders[i].means;
}

/* Returns true when the process had no room for a mapping, and a copy in memory would do. */
static bool
wants_copy(const struct source *source, mmg_status status)
{
    return status == MMG_E_LIMIT && source->options->backing != MMG_BACKING_MAP && source->adoption == NULL;
}

/* `no_mapping` is MMG_OK, or the reason why there can be no mapping. Then only a copy in memory is left to try. */
static mmg_status
try_in_order(struct attempt *attempt, mmg_status no_mapping, struct region **out)
{
    const uint8_t *order = order_for(attempt->length);
    mmg_status status = MMG_E_UNSTABLE;

    for (unsigned i = 0; i < MAX_MEANS; i++)
        attempt->order |= (uint64_t)order[i] << (4 * i);
    for (unsigned i = 0; i < MAX_MEANS; i++) {
        if ((no_mapping != MMG_OK && order[i] != MMG_MEANS_PRIVATE_COPY) || !try_means(attempt, order[i], &status, out))
            continue;
        bool is_at_limit = wants_copy(attempt->source, status);
        if (status != MMG_E_NOT_MAPPABLE && !is_at_limit)
            return status;
        note(attempt, is_at_limit ? "; no room for a mapping" : "; its file system does not map files");
        if (is_at_limit && no_mapping == MMG_OK)
            no_mapping = MMG_E_LIMIT;
    }
    return mmgi_error_tell_own(attempt->source->report, no_mapping != MMG_OK ? no_mapping : MMG_E_UNSTABLE, "stable",
                               attempt->reasons);
}

/* Returns true when the caller takes no mapping without the fault guard, and the guard cannot be put in place. */
static bool
is_without_required_guard(const struct source *source)
{
    return (source->options->flags & MMG_FLAG_REQUIRE_GUARD) != 0 && mmgi_guard_ensure() != MMG_OK;
}

mmg_status
mmgi_stable_open(struct source *source, uint64_t length, struct region **out)
{
    struct attempt attempt = {.source = source, .length = length, .reasons = NOT_BY_NATURE};
    uint32_t means = means_by_nature(source);

    attempt.used = sizeof NOT_BY_NATURE - 1;
    if (is_without_required_guard(source)) {
        note(&attempt, "; no mapping without the fault guard");
        return try_in_order(&attempt, MMG_E_GUARD, out);
    }
    if (means == MMG_MEANS_NONE)
        return try_in_order(&attempt, MMG_OK, out);
    mmg_status status = map_source(&attempt, means, out);
    return wants_copy(source, status) ? try_in_order(&attempt, MMG_E_LIMIT, out) : status;
}
