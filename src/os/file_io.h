/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contract for reading into memory: files at an offset, and streams to their end. Interrupted calls are repeated.
 * Every call may block for as long as the medium or the writer takes.
 */
#ifndef MMGI_OS_FILE_IO_H
#define MMGI_OS_FILE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Reads until `size` bytes are there, or the file ends or fails. Returns 0 or an errno, and stores in any case how many
 * bytes there are. The position of the descriptor stays. Async-signal-safe.
 */
int mmgi_file_read_at(int fd, uint64_t offset, void *buffer, size_t size, size_t *got);

/**
 * Returns true when the file holds these bytes at `offset`. An unreadable or shorter file does not. May block on a slow
 * medium.
 */
bool mmgi_file_equals(int fd, uint64_t offset, const void *bytes, size_t size);

/** Returns true when two files hold the same `size` bytes at the same offset; otherwise as mmgi_file_equals(). */
bool mmgi_files_equal(int fd, int other, uint64_t offset, size_t size);

/** What mmgi_stream_read() reads, and what it found. */
struct stream {
    int fd;
    bool positioned;      /* read with pread(2) from the start of the file; the position of `fd` stays */
    uint64_t skip;        /* bytes to leave out first */
    uint64_t length;      /* then read this many and stop; 0: to the end */
    uint64_t cap;         /* more than this many bytes is EFBIG */
    bool is_fifo;         /* no writer yet is not the end */
    bool wait_for_writer; /* of a FIFO; else EWOULDBLOCK */
    int64_t deadline_ns;  /* of mmgi_clock_monotonic_ns(); 0: wait as long as it takes */
    unsigned char *data;  /* result, for free(); not NULL */
    size_t size;
};

/**
 * Reads a stream from its position to its end, also when the descriptor does not block. Not async-signal-safe.
 *
 * @return 0; EFBIG over the cap; ETIMEDOUT after the deadline; ENODATA when it ended before `skip`, or before `length`; EWOULDBLOCK for a FIFO
 *   without a writer; or the errno of read(2), poll(2) or malloc(3). Unless 0, there is no data.
 */
int mmgi_stream_read(struct stream *stream);

#endif
