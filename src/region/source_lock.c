/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The lock comes before the size of a file is asked, so that the size is one that a cooperating writer keeps. What turns
 * out to be a stream needs no lock and loses it again.
 */
#include "region/source_lock.h"

#include <errno.h>
#include <stddef.h>

#include "base/status.h"
#include "os/file_lock.h"

static const char *
lock_call(const struct source *source)
{
    return source->options->lock == MMG_LOCK_OFD ? "fcntl" : "flock";
}

/* Waits for a lock that was not to be had, does without it, or fails, as the options say. */
static mmg_status
lock_resolve(struct source *source, int os_code)
{
    const mmg_options *options = source->options;

    if (os_code == EWOULDBLOCK && options->lock_wait_ms > 0) {
        os_code = mmgi_lock_wait(source->fd, options->lock, options->lock_wait_ms);
        if (os_code == 0)
            source->lock = options->lock;
    }
    if (os_code == 0)
        return mmgi_source_refresh(source); /* who held the lock may have changed the file */
    if (os_code == EWOULDBLOCK)
        return mmgi_error_tell(source->report, MMG_E_WOULD_BLOCK, lock_call(source), os_code, 0, "is locked elsewhere");
    if (!mmgi_lock_is_missing(os_code))
        return mmgi_error_tell_os(source->report, lock_call(source), os_code);
    source->lock_error = os_code;
    if (options->flags & MMG_FLAG_REQUIRE_LOCK)
        return mmgi_error_tell(source->report, MMG_E_UNSUPPORTED, lock_call(source), os_code, 0,
                               "the file system has no such lock");
    return MMG_OK;
}

int
mmgi_source_lock_try(struct source *source)
{
    const uint32_t wanted = source->options->lock;

    source->lock = MMG_LOCK_NONE;
    source->lock_error = 0;
    if (wanted == MMG_LOCK_NONE || source->is_shared)
        return 0;
    int os_code = mmgi_lock_try(source->fd, wanted);
    if (os_code == 0)
        source->lock = wanted;
    return os_code;
}

void
mmgi_source_lock_drop(struct source *source)
{
    if (source->lock != MMG_LOCK_NONE)
        mmgi_lock_drop(source->fd, source->lock);
    source->lock = MMG_LOCK_NONE;
}

mmg_status
mmgi_source_lock_finish(struct source *source, int os_code)
{
    const mmg_options *options = source->options;

    if (source->kind == SOURCE_STREAM) {
        mmgi_source_lock_drop(source);
        return MMG_OK;
    }
    if (options->lock != MMG_LOCK_NONE && source->is_shared && (options->flags & MMG_FLAG_REQUIRE_LOCK))
        return mmgi_error_tell(source->report, MMG_E_UNSUPPORTED, lock_call(source), 0, 0,
                               "the descriptor cannot be opened anew, and a lock on it would be the caller's");
    return os_code == 0 ? MMG_OK : lock_resolve(source, os_code);
}
