/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * io_uring by its system calls, one request at a time: what a writer that uses it does to a file, without liburing.
 */
#ifndef MMAPGUARD_TESTS_RING_H
#define MMAPGUARD_TESTS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    int fd; /* -1: this system has no io_uring, or refuses it */
    unsigned char *queues;
    void *requests;
    size_t queues_size;
    size_t requests_size;
    unsigned *submitted; /* places in `queues` */
    unsigned *order;
    unsigned *answered;
    unsigned answers; /* where the answers begin in `queues` */
    unsigned mask;
};

/** Sets a ring up. Where that is refused, `fd` is -1 and the other functions must not be called. */
void ring_start(struct ring *ring);

/** Gives the ring back. Does nothing for a ring that was refused. */
void ring_end(struct ring *ring);

/** Writes bytes to a file. Returns the number of bytes, or minus an errno. */
int64_t ring_write(struct ring *ring, int fd, const void *bytes, size_t size, uint64_t offset);

/**
 * Has the kernel hold the pages of some memory, so that it can store into them without asking a mapping. Returns 0, or
 * minus an errno: -EOPNOTSUPP, -EFAULT or -ENOMEM when the pages are of a kind that the kernel does not hold.
 */
int ring_pin(struct ring *ring, void *memory, size_t size);
void ring_unpin(struct ring *ring);

/**
 * Reads from a file into memory; with `is_pinned` into pages that the kernel holds. Returns the number of bytes, or
 * minus an errno.
 */
int64_t ring_read(struct ring *ring, int fd, void *memory, size_t size, uint64_t offset, bool is_pinned);

#endif
