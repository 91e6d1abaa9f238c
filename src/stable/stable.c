/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The means of being stable, tried in the order of their cost: what cannot change anyway (a sealed memfd, a read-only
 * medium, fs-verity), a lease, a reflink, a full snapshot. Why each of them failed is remembered for the error.
 */
#include "stable/stable.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/vfs.h>

#include "region/backing.h"
#include "region/source_lock.h"
#include "guard/fault_guard.h"
#include "stable/lease.h"
#include "os/process.h"
#include "os/linux/ioctl_compat.h"
#include "stable/snapshot.h"
#include "region/file_identity.h"

/* How often a file may change below a snapshot before we give up on it. */
#define SNAPSHOT_ATTEMPTS 8

#ifndef FS_VERITY_FL
#define FS_VERITY_FL 0x00100000 /* Linux 5.4 */
#endif

/* File system types, statfs(2). Media that nobody can write: */
static const unsigned long read_only_media[] = {
    0x73717368, /* squashfs */
    0xE0F5E1E2, /* erofs */
    0x9660,     /* iso9660 */
    0x28cd3d45, /* cramfs */
};
/*
 * Local ones whose every writer passes through this kernel, so that a lease holds them all. Not overlayfs: a writable mapping
 * there belongs to the file below, and once its descriptor is closed the overlay's file counts no writer, and has a lease to
 * give while it is being written to.
 */
static const unsigned long lease_holders[] = {
    0xEF53,     /* ext2, ext3, ext4 */
    0x58465342, /* xfs */
    0x9123683E, /* btrfs */
    0x01021994, /* tmpfs */
    0xF2F52010, /* f2fs */
    0xCA451A4E, /* bcachefs */
    0x4d44,     /* vfat */
    0x2011BAB0, /* exfat */
};
#define TMPFS_TYPE 0x01021994UL
/* Those that have fs-verity. What others say of themselves (FUSE passes the question on to its server) is not asked. */
static const unsigned long verity_keepers[] = {
    0xEF53,     /* ext4 */
    0xF2F52010, /* f2fs */
    0x9123683E, /* btrfs */
};

/* The first of the reasons; of no account where one of the first means holds. */
#define NOT_BY_NATURE "not sealed, not a read-only medium"

struct trial {
    struct source *source;
    uint64_t length;
    unsigned long file_system; /* its type; 0: not to be found out */
    bool is_guarded;
    char reasons[176]; /* why not, means by means */
    size_t used;
};

static bool
is_among(unsigned long type, const unsigned long *types, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (types[i] == type)
            return true;
    return false;
}
#define IS_AMONG(type, list) is_among((type), (list), sizeof(list) / sizeof((list)[0]))

static void note(struct trial *trial, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
note(struct trial *trial, const char *format, ...)
{
    size_t room = sizeof trial->reasons - trial->used;
    va_list arguments;

    va_start(arguments, format);
    int n = vsnprintf(trial->reasons + trial->used, room, format, arguments);
    va_end(arguments);
    if (n > 0)
        trial->used += (size_t)n < room ? (size_t)n : room - 1;
}

/* Map the source itself, by a means that keeps its bytes as they are. */
static mmg_status
map_source(struct trial *trial, uint32_t means, struct region **out)
{
    struct source *source = trial->source;
    mmg_status status = mmgi_source_refresh(source);

    /* Asked again: only now does the size stand still. */
    if (status == MMG_OK)
        status = mmgi_backing_window(source, &trial->length);
    if (status != MMG_OK)
        return status;
    const struct map_request request = {.fd = source->fd,
                                        .length = trial->length,
                                        .is_guarded = trial->is_guarded,
                                        .reason = MMG_REASON_STABLE,
                                        .promise = mmgi_promise_stable(means)};
    return mmgi_backing_map(source, &request, out);
}

/* ----------------------------------------------------------------------------------------------------- the means -- */

/* Memfds and System V shared memory: files of tmpfs without a name, whose first descriptor the kernel counts as no writer. */
static bool
is_memory(const struct trial *trial)
{
    return trial->file_system == TMPFS_TYPE && trial->source->status.links == 0;
}

static bool
is_sealed(const struct trial *trial)
{
    const int needed = F_SEAL_SHRINK | F_SEAL_WRITE;

    /* Only a memfd can be sealed, and it never gets a name (fcntl(2), "File Sealing"); others need not be asked. */
    if (!is_memory(trial))
        return false;
    int seals = fcntl(trial->source->fd, F_GET_SEALS);
    return seals >= 0 && (seals & needed) == needed;
}

static bool
has_verity(const struct trial *trial)
{
    int flags = 0;

    return IS_AMONG(trial->file_system, verity_keepers) &&
           ioctl(trial->source->fd, IOCTL_REQUEST(FS_IOC_GETFLAGS), &flags) == 0 && (flags & FS_VERITY_FL) != 0;
}

static const char *
lease_refusal(int os_code)
{
    switch (os_code) {
    case EACCES:
        return "not the owner";
    case EAGAIN:
        return "open for writing elsewhere";
    case EINVAL:
        return "switched off, or not for this file";
    default:
        return "not to be had";
    }
}

/* `*status` tells how it went once a lease was taken. */
static bool
try_lease(struct trial *trial, mmg_status *status, struct region **out)
{
    struct source *source = trial->source;
    struct lease *lease;

    if ((source->options->flags & MMG_FLAG_NO_LEASE) || mmgi_process_environment_says("MMAPGUARD_NO_LEASE")) {
        note(trial, "; lease: not wanted");
        return false;
    }
    if (source->kind != SOURCE_FILE || source->is_shared || !IS_AMONG(trial->file_system, lease_holders)) {
        note(trial, "; lease: %s",
             source->is_shared ? "the descriptor cannot be opened anew" : "not on its file system");
        return false;
    }
    if (is_memory(trial)) {
        note(trial, "; lease: not for a file in memory");
        return false;
    }
    int os_code = mmgi_lease_begin(source->fd, source->options->max_snapshot_bytes, &lease);
    if (os_code != 0) {
        note(trial, "; lease: %s", lease_refusal(os_code));
        return false;
    }
    *status = map_source(trial, MMG_MEANS_LEASE, out);
    if (*status == MMG_OK)
        mmgi_lease_attach(lease, *out);
    else
        mmgi_lease_end(lease);
    return true;
}

/* Map a snapshot. The file is kept only for mmg_changed(). */
static mmg_status
map_snapshot(struct trial *trial, struct snapshot *snapshot, struct region **out)
{
    const struct map_request request = {.fd = snapshot->fd,
                                        .length = trial->length,
                                        .is_guarded = trial->is_guarded,
                                        .reason = MMG_REASON_STABLE,
                                        .promise = mmgi_promise_stable(snapshot->means)};

    mmgi_source_lock_drop(trial->source);
    mmg_status status = mmgi_backing_map(trial->source, &request, out);
    if (status == MMG_OK)
        snapshot->fd = -1; /* the region's now */
    return status;
}

static bool
try_reflink(struct trial *trial, mmg_status *status, struct region **out)
{
    struct source *source = trial->source;
    struct snapshot snapshot = {.means = MMG_MEANS_REFLINK, .fd = -1};
    struct file_status clone;
    int os_code = EINVAL;

    /* Looked at before it is cloned: what changes in between makes it a changed file, not an unchanged one. */
    if (source->kind == SOURCE_FILE && (*status = mmgi_source_refresh(source)) != MMG_OK)
        return true;
    if (source->kind == SOURCE_FILE)
        os_code = mmgi_snapshot_reflink(source->fd, &snapshot.fd);

    if (os_code != 0) {
        note(trial, "; reflink: %s", os_code == EACCES || os_code == EROFS ? "directory not writable" : "not possible");
        return false;
    }
    /* The clone is of one moment, and its size counts, not what the file's was or is. */
    *status = MMG_OK;
    if (mmgi_file_status(snapshot.fd, &clone) == 0) {
        source->size = clone.size;
        *status = mmgi_backing_window(source, &trial->length);
    }
    if (*status == MMG_OK)
        *status = map_snapshot(trial, &snapshot, out);
    mmgi_snapshot_release(&snapshot);
    return true;
}

/* Where no file can be made to hold the bytes, memory can, unless the caller will have a mapping. */
static mmg_status
copy_to_heap(struct trial *trial, struct region **out)
{
    if (trial->source->options->backing == MMG_BACKING_MAP) {
        note(trial, "; snapshot: no room in a file");
        return mmgi_error_tell(trial->source->report, MMG_E_UNSTABLE, "stable", 0, 0, trial->reasons);
    }
    return mmgi_backing_copy(trial->source, trial->length, MMG_REASON_STABLE, out);
}

/* One full snapshot. `*again`: the file changed meanwhile. */
static mmg_status
copy_snapshot(struct trial *trial, bool *again, struct region **out)
{
    struct source *source = trial->source;
    uint64_t page = mmgi_map_page_size();
    uint64_t lead = source->options->offset % page;
    struct snapshot_order order = {.fd = source->fd,
                                   .from = source->options->offset - lead,
                                   .length = (size_t)(lead + trial->length),
                                   .cap = MMG_NO_LIMIT,
                                   .in_file = true};
    struct snapshot snapshot;

    *again = false;
    mmgi_snapshot_take(&order, &snapshot);
    if (snapshot.fd < 0)
        return copy_to_heap(trial, out);
    const struct file_copy copy = {.fd = snapshot.fd};
    mmg_status status = MMG_OK;
    *again = !mmgi_copy_is_one_version(source, source->options->offset, (size_t)trial->length, &copy);
    if (!*again)
        status = map_snapshot(trial, &snapshot, out);
    mmgi_snapshot_release(&snapshot);
    return status;
}

static mmg_status
full_snapshot(struct trial *trial, struct region **out)
{
    struct source *source = trial->source;

    if (trial->length > source->options->max_snapshot_bytes) {
        note(trial, "; snapshot: larger than max_snapshot_bytes");
        return mmgi_error_tell(source->report, MMG_E_UNSTABLE, "stable", 0, 0, trial->reasons);
    }
    for (int i = 0; i < SNAPSHOT_ATTEMPTS; i++) {
        bool again;
        mmg_status status = copy_snapshot(trial, &again, out);
        if (!again)
            return status;
        status = mmgi_source_refresh(source);
        if (status == MMG_OK)
            status = mmgi_backing_window(source, &trial->length);
        if (status != MMG_OK)
            return status;
    }
    note(trial, "; snapshot: changed during every attempt");
    return mmgi_error_tell(source->report, MMG_E_UNSTABLE, "stable", 0, 0, trial->reasons);
}

mmg_status
mmgi_stable_open(struct source *source, uint64_t length, struct region **out)
{
    struct trial trial = {.source = source, .length = length, .reasons = NOT_BY_NATURE};
    struct statfs file_system;
    mmg_status status;

    /* Stable or not, a device may fail to deliver a page; where the guard is not wanted or not to be had, that
       kills. */
    if (!(source->options->flags & MMG_FLAG_NO_FAULT_GUARD))
        trial.is_guarded = mmgi_guard_ensure() == MMG_OK;
    if (source->kind == SOURCE_FILE && fstatfs(source->fd, &file_system) == 0)
        trial.file_system = (unsigned long)file_system.f_type & 0xFFFFFFFFUL; /* the types are 32 bits wide */
    trial.used = sizeof NOT_BY_NATURE - 1;
    if (is_sealed(&trial))
        status = map_source(&trial, MMG_MEANS_SEALED, out);
    else if (IS_AMONG(trial.file_system, read_only_media))
        status = map_source(&trial, MMG_MEANS_READ_ONLY_MEDIUM, out);
    else if (try_lease(&trial, &status, out))
        ;
    else if (has_verity(&trial))
        status = map_source(&trial, MMG_MEANS_READ_ONLY_MEDIUM, out);
    else if (!try_reflink(&trial, &status, out))
        status = full_snapshot(&trial, out);
    /* What cannot be mapped can be copied. */
    return status == MMG_E_NOT_MAPPABLE && trial.length <= source->options->max_snapshot_bytes
               ? copy_to_heap(&trial, out)
               : status;
}
