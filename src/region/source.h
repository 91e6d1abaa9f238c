/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A source is a file or a stream from which a region gets its bytes. These functions open a path or take a descriptor, lock
 * it, and find out its kind.
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
    SOURCE_STREAM  /* a FIFO, pipe, socket, terminal or other character device, which is read to its end */
};

struct adoption;

struct source {
    const mmg_options *options;
    const struct report *report;
    const char *path; /* NULL for a descriptor */
    int fd;
    bool is_owned;  /* mmgi_source_close() closes the descriptor */
    bool is_shared; /* the descriptor is a duplicate, so the caller has the same position and locks */
    enum source_kind kind;
    struct file_system file_system;
    uint32_t lock;        /* MMG_LOCK_...: the lock that is held */
    uint32_t lock_reason; /* MMG_LOCKING_...: why there is that lock, or none */
    int lock_error;       /* the errno of the lock call when the file system has no such lock */
    struct lock_share lock_share;
    struct file_status status;       /* the status of the file, asked under the lock unless is_early */
    const struct adoption *adoption; /* the mapping that is to be the region; NULL when one is to be made */
    uint64_t size;                   /* size of the file or device */
    bool is_early; /* size and status are from before the lock; a copy finds out whether they still hold */
};

/** Prepares a source for one of the next three calls, which set the other members before anything reads them. */
static inline void
source_prepare(struct source *source, const mmg_options *options, const struct report *report)
{
    /* Each member is set on its own. Clearing the whole struct first would cost every open 20 instructions more. */
    source->options = options;
    source->report = report;
    source->is_owned = false;
    source->file_system = (struct file_system){.name = ""}; /* a stream has none */
    source->lock = MMG_LOCK_NONE;
    source->lock_reason = MMG_LOCKING_ASKED;
    source->lock_error = 0;
    source->lock_share = (struct lock_share){.lock = NULL};
    source->adoption = NULL;
    source->size = 0;
    source->is_early = false;
}

/** Opens a path. After a success the caller must call mmgi_source_close(). */
mmg_status mmgi_source_open_path(const char *path, struct source *source);

/** Takes a descriptor, which stays the caller's. After a success the caller must call mmgi_source_close(). */
mmg_status mmgi_source_open_fd(int fd, struct source *source);

/** Takes a descriptor as a stream, whatever kind it is. After a success the caller must call mmgi_source_close(). */
mmg_status mmgi_source_open_stream(int fd, struct source *source);

/** Asks for the size and the times again. Afterwards they are not early. */
mmg_status mmgi_source_refresh(struct source *source);

/** Gives the descriptor and the lock back, unless mmgi_source_keep() was called. */
void mmgi_source_close(struct source *source);

/** Says that a region owns the descriptor and the lock now, so that mmgi_source_close() does not give them back. */
void mmgi_source_keep(struct source *source);

#endif
