/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A snapshot is a reflink where the file system has reflinks: it takes about a millisecond, and shows the file as it was at
 * one moment. Elsewhere the code copies the bytes piece by piece. Between two pieces the caller can stop the copy, or do
 * other work.
 */
#include "stable/snapshot.h"

#include <errno.h>
#include <stdatomic.h>

#include "base/probes.h"
#include "mmapguard.h"
#include "os/file.h"
#include "os/file_io.h"
#include "os/map.h"
#include "os/snapshot_file.h"

/* The size of a piece: between two pieces the keeper looks at the clock, and for other writers that wait. */
#define PIECE ((size_t)4 << 20)

static _Atomic uint64_t bytes_copied, snapshots;

void
mmgi_snapshot_count(uint64_t bytes)
{
    /* Relaxed: statistics, and no other access depends on them. */
    atomic_fetch_add_explicit(&bytes_copied, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&snapshots, 1, memory_order_relaxed);
    PROBE_SNAPSHOT(bytes);
}

uint64_t
mmgi_snapshot_bytes(void)
{
    return atomic_load_explicit(&bytes_copied, memory_order_relaxed);
}

uint64_t
mmgi_snapshot_number(void)
{
    return atomic_load_explicit(&snapshots, memory_order_relaxed);
}

int
mmgi_snapshot_reflink(int fd, int *clone)
{
    struct file_status status;
    int target;
    int os_code = mmgi_file_status(fd, &status);

    if (os_code == 0)
        os_code = mmgi_snapshot_file_beside(fd, status.size, 0, &target);
    if (os_code != 0)
        return os_code;
    os_code = mmgi_snapshot_file_clone(fd, target);
    if (os_code != 0) {
        mmgi_file_close(target);
        return os_code;
    }
    mmgi_snapshot_count(0);
    *clone = target;
    return 0;
}

/* Copies one piece to the file of the snapshot, or to its memory. */
static int
copy_piece(const struct snapshot_order *order, const struct snapshot *snapshot, size_t at, size_t size)
{
    size_t got;

    if (order->mapped != NULL) {
        int failure = mmgi_map_copy_out(order->mapped + at, snapshot->memory + at, size, &got);
        return failure == EFAULT ? EIO : failure;
    }
    if (snapshot->fd >= 0)
        return mmgi_snapshot_file_copy(order->fd, snapshot->fd, order->from + at, size);
    int os_code = mmgi_file_read_at(order->fd, order->from + at, snapshot->memory + at, size, &got);
    return os_code == 0 && got < size ? EIO : os_code;
}

/* Copies piece by piece until all bytes are copied. Returns 0, or an errno when it has to stop before. */
static int
copy_pieces(const struct snapshot_order *order, size_t length, struct snapshot *snapshot)
{
    while (snapshot->secured < length) {
        size_t size = length - snapshot->secured < PIECE ? length - snapshot->secured : PIECE;
        if (order->may_continue != NULL && !order->may_continue(order->context))
            return ECANCELED;
        int os_code = copy_piece(order, snapshot, snapshot->secured, size);
        if (os_code != 0)
            return os_code;
        snapshot->secured += size;
    }
    return 0;
}

enum place {
    BESIDE,
    IN_TMPDIR,
    IN_MEMORY
};

static int
memory_open(const struct snapshot_order *order, size_t length, struct snapshot *snapshot)
{
    if (!order->with_memory)
        return ENOTSUP;
    if (length > mmgi_snapshot_file_memory_room())
        return ENOMEM;
    snapshot->memory = mmgi_map_shared_memory(length, &snapshot->memory_length);
    return snapshot->memory == NULL ? ENOMEM : 0;
}

/* Makes room in one place. In a file, the bytes have the same offsets as in the source; the part before them is a hole, which
   takes no room. */
static int
place_open(const struct snapshot_order *order, enum place place, size_t length, struct snapshot *snapshot)
{
    switch (place) {
    case BESIDE:
        return mmgi_snapshot_file_beside(order->fd, order->from + length, length, &snapshot->fd);
    case IN_TMPDIR:
        return mmgi_snapshot_file_in_tmpdir(order->from + length, length, &snapshot->fd);
    default:
        return memory_open(order, length, snapshot);
    }
}

/* Copies into one place. Returns true when a copy in another place would not get further. */
static bool
copy_to(const struct snapshot_order *order, enum place place, size_t length, struct snapshot *snapshot)
{
    int os_code = place_open(order, place, length, snapshot);

    if (os_code != 0) {
        snapshot->fd = -1;
        if (os_code != ENOTSUP && snapshot->os_code != ENOSPC)
            snapshot->os_code = os_code; /* a full disk is a better reason than what came after it */
        return false;
    }
    os_code = copy_pieces(order, length, snapshot);
    snapshot->os_code = os_code;
    if (os_code != 0 && os_code != ECANCELED) {
        mmgi_snapshot_release(snapshot);
        snapshot->secured = 0;
        return os_code == EIO; /* the source cannot be read, so another place is of no use */
    }
    mmgi_snapshot_count(snapshot->secured);
    return true;
}

/* Stores how many bytes a clone has secured. The clone has the size of the file at that moment, which may be less than the
   order asks for. */
static void
secured_by_clone(const struct snapshot_order *order, struct snapshot *snapshot)
{
    struct file_status status;
    uint64_t size = mmgi_file_status(snapshot->fd, &status) == 0 ? status.size : 0;
    uint64_t there = size > order->from ? size - order->from : 0;

    snapshot->secured = there < order->length ? (size_t)there : order->length;
    if (there < order->length)
        snapshot->os_code = EIO;
}

void
mmgi_snapshot_take(const struct snapshot_order *order, struct snapshot *snapshot)
{
    size_t length = order->length < order->cap ? order->length : (size_t)order->cap;

    *snapshot = (struct snapshot){.fd = -1, .means = MMG_MEANS_REFLINK, .reflink_error = EOPNOTSUPP};
    if (order->with_reflink)
        snapshot->reflink_error = mmgi_snapshot_reflink(order->fd, &snapshot->fd);
    if (snapshot->reflink_error == 0) {
        secured_by_clone(order, snapshot);
        return;
    }
    snapshot->means = MMG_MEANS_SNAPSHOT;
    for (enum place place = order->mapped == NULL ? BESIDE : IN_MEMORY; place <= IN_MEMORY; place++)
        if (copy_to(order, place, length, snapshot))
            break;
    if (length < order->length && snapshot->os_code == 0)
        snapshot->os_code = EFBIG;
}

void
mmgi_snapshot_release(struct snapshot *snapshot)
{
    if (snapshot->fd >= 0)
        mmgi_file_close(snapshot->fd);
    if (snapshot->memory != NULL)
        mmgi_map_memory_release(snapshot->memory, snapshot->memory_length);
    snapshot->fd = -1;
    snapshot->memory = NULL;
}
