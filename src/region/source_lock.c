/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * By default the library takes a lock only on a file system whose locks are advisory, local, and answered by this kernel.
 * CIFS makes a lock mandatory for other processes, NFS and FUSE ask a server that may never answer, and the host does not
 * see a lock on 9p. Many regions of one file share a lock (shared_lock.c).
 */
#include "region/source_lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "base/status.h"
#include "os/file_lock.h"
#include "os/process.h"
#include "region/region.h"
#include "region/shared_lock.h"

/* Returns what MMAPGUARD_LOCK says to use in place of MMG_LOCK_AUTO. The function reads the variable once, so that an open
   does not search the environment. */
static uint32_t
auto_by_environment(void)
{
    static _Atomic uint32_t known = UINT32_MAX;
    uint32_t lock = atomic_load_explicit(
        &known, memory_order_relaxed); /* threads that do this at the same time find the same value */

    if (lock != UINT32_MAX)
        return lock;
    const char *word = mmgi_process_environment("MMAPGUARD_LOCK");
    lock = MMG_LOCK_AUTO;
    if (word != NULL && strcmp(word, "none") == 0)
        lock = MMG_LOCK_NONE;
    else if (word != NULL && strcmp(word, "shared") == 0)
        lock = MMG_LOCK_SHARED;
    atomic_store_explicit(&known, lock, memory_order_relaxed);
    return lock;
}

/* Returns why MMG_LOCK_AUTO takes no lock on a file system, or MMG_LOCKING_HELD when it takes one. */
static uint32_t
reason_against(enum file_system_lock lock)
{
    switch (lock) {
    case FILE_SYSTEM_LOCK_ADVISORY:
        return MMG_LOCKING_HELD;
    case FILE_SYSTEM_LOCK_MANDATORY:
        return MMG_LOCKING_MANDATORY;
    case FILE_SYSTEM_LOCK_HANGS:
        return MMG_LOCKING_COULD_HANG;
    default:
        return MMG_LOCKING_NOT_LOCAL;
    }
}

/* Returns the lock to try for. For MMG_LOCK_NONE it stores the reason in `source->lock_reason`. */
static inline uint32_t
lock_wanted(struct source *source)
{
    const mmg_options *options = source->options;
    bool is_required = (options->flags & MMG_FLAG_REQUIRE_LOCK) != 0;
    uint32_t lock = options->lock;

    if (lock == MMG_LOCK_AUTO && is_required)
        return MMG_LOCK_SHARED;
    if (lock == MMG_LOCK_AUTO)
        lock = auto_by_environment();
    source->lock_reason = MMG_LOCKING_ASKED;
    if (lock != MMG_LOCK_AUTO)
        return lock;
    source->lock_reason = reason_against(source->file_system.lock);
    return source->lock_reason == MMG_LOCKING_HELD ? MMG_LOCK_SHARED : MMG_LOCK_NONE;
}

static const char *
lock_call(uint32_t lock)
{
    return lock == MMG_LOCK_OFD ? "fcntl" : "flock";
}

static mmg_status
lock_is_missing(struct source *source, uint32_t lock, int os_code, uint32_t reason, const char *detail)
{
    source->lock = MMG_LOCK_NONE;
    source->lock_error = os_code;
    source->lock_reason = reason;
    if (source->options->flags & MMG_FLAG_REQUIRE_LOCK)
        return mmgi_error_tell(source->report, MMG_E_UNSUPPORTED, lock_call(lock), os_code, 0, detail);
    return MMG_OK;
}

mmg_status
mmgi_source_lock_none(struct source *source)
{
    const uint32_t lock = source->options->lock;

    return lock_is_missing(source, lock, 0, lock == MMG_LOCK_NONE ? MMG_LOCKING_ASKED : MMG_LOCKING_NO_NEED,
                           "a stream has no lock");
}

/* Returns true when the regions of a file may share its lock. For a small file sharing is not worthwhile: nearly always it is
   copied, and gives its lock back at once. */
static bool
is_worth_sharing(const struct source *source)
{
    return source->kind == SOURCE_FILE && source->size > LARGEST_SMALL_FILE &&
           source->file_system.lock == FILE_SYSTEM_LOCK_ADVISORY;
}

/* Waits for a lock if the options ask for that, and stores the result in the source. `os_code` is the result of the first
   attempt. */
static inline mmg_status
lock_conclude(struct source *source, uint32_t lock, int os_code)
{
    const mmg_options *options = source->options;

    if (os_code == EWOULDBLOCK && options->lock_wait_ms > 0)
        os_code = mmgi_lock_wait(source->fd, lock, options->lock_wait_ms);
    if (os_code == EWOULDBLOCK)
        return mmgi_error_tell(source->report, MMG_E_WOULD_BLOCK, lock_call(lock), os_code, 0, "is locked elsewhere");
    if (os_code != 0)
        return lock_is_missing(source, lock, os_code, MMG_LOCKING_MISSING, "the file system has no such lock");
    source->lock = lock;
    source->lock_reason = MMG_LOCKING_HELD;
    return MMG_OK;
}

bool
mmgi_source_locks_first(const struct source *source)
{
    const mmg_options *options = source->options;
    bool is_sure = options->lock != MMG_LOCK_NONE &&
                   (options->lock != MMG_LOCK_AUTO || (options->flags & MMG_FLAG_REQUIRE_LOCK) != 0);

    return is_sure && !source->is_shared && mmgi_shared_lock_is_needless();
}

mmg_status
mmgi_source_lock_first(struct source *source)
{
    const uint32_t lock = lock_wanted(source);

    return lock_conclude(source, lock, mmgi_lock_try(source->fd, lock));
}

void
mmgi_source_lock_count(struct source *source)
{
    if (source->lock != MMG_LOCK_NONE && is_worth_sharing(source))
        mmgi_shared_lock_count(source->status.device, source->status.inode, &source->lock_share);
}

mmg_status
mmgi_source_lock(struct source *source)
{
    uint32_t lock = lock_wanted(source);

    if (lock == MMG_LOCK_NONE)
        return MMG_OK;
    if (source->is_shared)
        return lock_is_missing(
            source, lock, 0, MMG_LOCKING_NOT_OURS,
            "the file cannot be opened a second time, and a lock on the descriptor would be the caller's");
    int os_code = is_worth_sharing(source) ? mmgi_shared_lock_take(source->fd, lock, source->status.device,
                                                                   source->status.inode, &source->lock_share)
                                           : mmgi_lock_try(source->fd, lock);
    const bool has_waited = os_code != 0;
    mmg_status status = lock_conclude(source, lock, os_code);
    /* From now on cooperating writers do not change the size. Without a lock nothing is gained by a second look, and for
       STABLE a status from before the copy is needed. */
    if (status != MMG_OK || source->lock == MMG_LOCK_NONE || source->options->guarantee == MMG_GUARANTEE_STABLE)
        return status;
    /* Nearly every small file is copied, and after the copy fstat(2) is called in any case. */
    source->is_early = !has_waited && source->kind == SOURCE_FILE && source->size > 0 &&
                       source->size <= mmgi_region_copy_threshold(source->options);
    return source->is_early ? MMG_OK : mmgi_source_refresh(source);
}

void
mmgi_source_lock_drop(struct source *source)
{
    mmgi_shared_lock_drop(&source->lock_share, source->lock, source->fd, true);
    if (source->lock != MMG_LOCK_NONE)
        source->lock_reason = MMG_LOCKING_NO_NEED;
    source->lock = MMG_LOCK_NONE;
}
