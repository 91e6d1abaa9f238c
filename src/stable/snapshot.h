/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A snapshot holds bytes of a file in a place that no writer of the file can change.
 */
#ifndef MMGI_STABLE_SNAPSHOT_H
#define MMGI_STABLE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Which bytes to secure, and by what effort. */
struct snapshot_order {
    int fd;                      /* the file to read from */
    const unsigned char *mapped; /* where the bytes are mapped, if the file has no descriptor any more; else NULL */
    uint64_t from;               /* offset of the first byte, a multiple of the page size */
    size_t length;               /* number of bytes, which the file has there */
    uint64_t cap;                /* copy at most so many bytes; a reflink copies none */
    bool with_reflink;           /* try a reflink first */
    bool with_memory;            /* copy to memory when no file system has room */
    bool (*may_continue)(
        void *
            context); /* called before every piece; when it returns false, the copy stops with the bytes copied so far. NULL: never stop */
    void *context;
};

struct snapshot {
    uint32_t means;        /* MMG_MEANS_REFLINK or _SNAPSHOT */
    int fd;                /* a file without a name that holds the bytes at the same offsets, or -1 */
    unsigned char *memory; /* read-only pages that hold the bytes from `from` on, or NULL */
    size_t memory_length;
    size_t
        secured; /* number of bytes secured: `length`, or fewer when the cap, the space or the time did not suffice */
    int os_code; /* why fewer: EFBIG, ENOSPC, ENOMEM, EIO or another errno; ECANCELED when `may_continue` returned false */
    int reflink_error; /* the errno of the reflink that failed; 0 when the snapshot is a reflink */
};

/** Takes a snapshot: a reflink, or else a copy in a file beside the source, in a file in TMPDIR, or in memory. */
void mmgi_snapshot_take(const struct snapshot_order *order, struct snapshot *snapshot);

/** Takes a reflink of the whole file. Returns 0 or an errno. */
int mmgi_snapshot_reflink(int fd, int *clone);

/** Gives back the descriptor and the memory of a snapshot. Mappings of the file or of the memory stay valid. */
void mmgi_snapshot_release(struct snapshot *snapshot);

/** Counts a snapshot, and the bytes that were copied for it. mmg_stats_get() shows both. */
void mmgi_snapshot_count(uint64_t bytes);
uint64_t mmgi_snapshot_bytes(void);
uint64_t mmgi_snapshot_number(void);

#endif
