/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for reading into memory: files from an offset, and streams to their end. The calls repeat interrupted
 * system calls. Every call may block for as long as the medium or the writer takes.
 */
#ifndef MMGI_OS_FILE_IO_H
#define MMGI_OS_FILE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Reads until it has `size` bytes, or the file ends or fails. Returns 0 or an errno. In any case stores how many bytes it has
 * read. Does not move the position of the descriptor. Async-signal-safe.
 */
int mmgi_file_read_at(int fd, uint64_t offset, void *buffer, size_t size, size_t *got);

/**
 * Returns true when the file holds these bytes at `offset`. Returns false for a file that is shorter or cannot be read. May block on a slow
 * medium.
 */
bool mmgi_file_equals(int fd, uint64_t offset, const void *bytes, size_t size);

/**
 * Returns true when two files hold the same `size` bytes at the same offset. Returns false when one of them is shorter
 * or cannot be read. May block on a slow medium.
 */
bool mmgi_files_equal(int fd, int other, uint64_t offset, size_t size);

/**
 * Drops the pages of a range from the page cache: those that lie wholly in the range, are clean, and are mapped nowhere. Begins
 * to write dirty ones. Returns 0; ENOSYS where the kernel has no such advice; or an errno. May block on the file system.
 */
int mmgi_file_evict(int fd, uint64_t offset, uint64_t length);

/** What mmgi_stream_read() should read, and its result. */
struct stream {
    int fd;
    bool positioned; /* read with pread(2) from the start of the file, so that the position of `fd` does not move */
    uint64_t skip;   /* number of bytes to skip first */
    uint64_t length; /* number of bytes to read then; 0: all to the end */
    uint64_t cap;    /* a longer stream fails with EFBIG */
    bool is_fifo;    /* `fd` is a FIFO, which may not have its first writer yet */
    bool wait_for_writer; /* wait for the first writer of a FIFO; if false, fail with EWOULDBLOCK */
    int64_t deadline_ns;  /* a moment of mmgi_clock_monotonic_ns(); 0: no deadline */
    unsigned char *data;  /* result: never NULL; the caller frees it with free(3) */
    size_t size;
};

/**
 * Reads a stream from its position to its end, also when the descriptor is non-blocking. Not async-signal-safe.
 *
 * @return 0; EFBIG when the stream is longer than the cap; ETIMEDOUT after the deadline; ENODATA when the stream ended
 *         too early for `skip` and `length`; EWOULDBLOCK for a FIFO without a writer; or the errno of read(2), poll(2)
 *         or malloc(3). On failure there is no data.
 */
int mmgi_stream_read(struct stream *stream);

#endif
