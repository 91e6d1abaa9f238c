/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Snapshots: the bytes of a file, put where no writer of the file can reach them.
 */
#ifndef MMGI_STABLE_SNAPSHOT_H
#define MMGI_STABLE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What to secure, and how far to go for it. */
struct snapshot_order {
    int fd;                              /* the file */
    uint64_t from;                       /* first byte, a multiple of the page size */
    size_t length;                       /* bytes; the file has that many there */
    uint64_t cap;                        /* copy at most so many bytes; a reflink copies none */
    bool in_file;                        /* a file or nothing: not into memory */
    bool (*may_continue)(void *context); /* asked before every piece; false: stop with what there is. NULL: always */
    void *context;
};

struct snapshot {
    uint32_t means;        /* MMG_MEANS_REFLINK or _SNAPSHOT */
    int fd;                /* an unlinked file with the bytes at the same offsets, the caller's; -1: in memory */
    unsigned char *memory; /* read-only, `memory_length` bytes of whole pages, the caller's; NULL: in a file */
    size_t memory_length;
    size_t secured;    /* bytes that are there: `length`, or fewer if cap, space or time ran out */
    int os_code;       /* then: EFBIG, ENOSPC, ENOMEM, EIO ...; ECANCELED: `proceed` said no */
    int reflink_error; /* why it is no reflink; 0 if it is one */
};

/** Take a snapshot: by reflink, else by copying into an unlinked file beside the source, in TMPDIR, or into memory. */
void mmgi_snapshot_take(const struct snapshot_order *order, struct snapshot *snapshot);

/** Only the reflink: 0 or an errno. It holds the whole file, whatever the order's window. */
int mmgi_snapshot_reflink(int fd, int *clone);

/** Give back what the snapshot holds. */
void mmgi_snapshot_release(struct snapshot *snapshot);

#endif
