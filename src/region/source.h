/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A source is where bytes come from: a path is opened or a descriptor taken, locked, and classified.
 */
#ifndef MMGI_REGION_SOURCE_H
#define MMGI_REGION_SOURCE_H

#include <stdbool.h>

#include "base/error.h"
#include "mmapguard.h"
#include "os/file.h"
#include "os/file_system.h"
#include "region/shared_lock.h"

enum source_kind {
    SOURCE_FILE,   /* a regular file */
    SOURCE_DEVICE, /* a block device */
    SOURCE_STREAM  /* read to its end: FIFO, pipe, socket, terminal, other character device */
};

struct source {
    const mmg_options *options;
    const struct report *report;
    const char *path; /* NULL for a descriptor */
    int fd;
    bool is_owned;  /* closed by mmgi_source_close() */
    bool is_shared; /* a duplicate: position and locks are somebody else's too */
    enum source_kind kind;
    struct file_system file_system;
    uint32_t lock;        /* MMG_LOCK_...: the one that is held */
    uint32_t lock_reason; /* MMG_LOCKING_...: why it is that one */
    int lock_error;       /* the kernel's answer when the file system has no such lock */
    struct lock_share lock_share;
    struct file_status status; /* as it was once the lock was held */
    uint64_t size;             /* of a file or device */
};

/** Open a path. On success mmgi_source_close() is owed. */
mmg_status mmgi_source_open_path(const char *path, struct source *source);

/** Take a descriptor, which stays the caller's. On success mmgi_source_close() is owed. */
mmg_status mmgi_source_open_fd(int fd, struct source *source);

/** Take a descriptor as a stream, whatever it is. On success mmgi_source_close() is owed. */
mmg_status mmgi_source_open_stream(int fd, struct source *source);

/** Ask the size and times again. */
mmg_status mmgi_source_refresh(struct source *source);

/** Give descriptor and lock back, unless mmgi_source_keep() was called. */
void mmgi_source_close(struct source *source);

/** The descriptor and its lock have become somebody else's: mmgi_source_close() leaves them alone. */
void mmgi_source_keep(struct source *source);

#endif
