/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A snapshot holds bytes of a file where no writer of the file can reach them.
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
    bool with_reflink;                   /* try a reflink first */
    bool with_memory;                    /* memory will do when no file system has room */
    bool (*may_continue)(void *context); /* asked before every piece; false: stop with what there is. NULL: always */
    void *context;
};

struct snapshot {
    uint32_t means;        /* MMG_MEANS_REFLINK or _SNAPSHOT */
    int fd;                /* a file without a name that holds the bytes at the same offsets; -1: there is none */
    unsigned char *memory; /* read-only pages that hold the bytes from `from` on; NULL: there are none */
    size_t memory_length;
    size_t secured;    /* bytes that are there: `length`, or fewer when cap, space or time ran out */
    int os_code;       /* why fewer: EFBIG, ENOSPC, ENOMEM, EIO ...; ECANCELED: `may_continue` said no */
    int reflink_error; /* why it is no reflink; 0 if it is one */
};

/** Takes a snapshot: by reflink, else by copying into a file beside the source, in TMPDIR, or in memory. */
void mmgi_snapshot_take(const struct snapshot_order *order, struct snapshot *snapshot);

/** Takes a reflink of the whole file. Returns 0 or an errno. */
int mmgi_snapshot_reflink(int fd, int *clone);

/** Gives back the descriptor and the memory of a snapshot. Mappings of either stay. */
void mmgi_snapshot_release(struct snapshot *snapshot);

/** Counts bytes that were copied for STABLE, and snapshots; both are shown by mmg_stats_get(). */
void mmgi_snapshot_count(uint64_t bytes);
uint64_t mmgi_snapshot_bytes(void);
uint64_t mmgi_snapshot_number(void);

#endif
