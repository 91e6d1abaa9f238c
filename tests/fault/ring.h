/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Uses io_uring by its system calls, without liburing and with one request at a time, to act as a writer or reader of a
 * file.
 */
#ifndef MMAPGUARD_TESTS_RING_H
#define MMAPGUARD_TESTS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    int fd; /* -1 when this system has no io_uring or refuses it */
    unsigned char *queues;
    void *requests;
    size_t queues_size;
    size_t requests_size;
    unsigned *submitted; /* places in `queues` */
    unsigned *order;
    unsigned *answered;
    unsigned answers; /* offset of the completions in `queues` */
    unsigned mask;
};

/** Makes a ring. When the system refuses it, `fd` is -1, and only ring_end() may be called. */
void ring_start(struct ring *ring);

/** Gives the ring back. Does nothing for a ring that was refused. */
void ring_end(struct ring *ring);

/** Writes bytes to a file. Returns the number of bytes, or minus an errno. */
int64_t ring_write(struct ring *ring, int fd, const void *bytes, size_t size, uint64_t offset);

/**
 * Makes the kernel hold the pages of some memory, so that it can store into them without using a mapping. Returns 0, or
 * minus an errno: -EOPNOTSUPP, -EFAULT or -ENOMEM when the kernel does not hold pages of this kind.
 */
int ring_pin(struct ring *ring, void *memory, size_t size);
void ring_unpin(struct ring *ring);

/**
 * Reads from a file into memory. With `is_pinned`, reads into pages that the kernel holds. Returns the number of bytes,
 * or minus an errno.
 */
int64_t ring_read(struct ring *ring, int fd, void *memory, size_t size, uint64_t offset, bool is_pinned);

#endif
