/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads files and streams into memory. The buffer for a stream doubles when it is full. For a large buffer realloc(3)
 * moves pages and does not copy bytes (mremap), and pages that were not written to take no memory. So the peak of
 * memory stays near the size of the data.
 */
#include "os/file_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "os/clock.h"

#define FIRST_CAPACITY ((size_t)64 << 10)
/* One read(2) of Linux returns at most so many bytes. */
#define MAX_TRANSFER ((size_t)0x7FFFF000)

/* Reads on after a first pread(2) has returned `n`, and not `size`. */
static __attribute__((noinline)) int
read_rest(int fd, uint64_t offset, unsigned char *buffer, size_t size, size_t *got, ssize_t n)
{
    *got = 0;
    while (n != 0) {
        if (n > 0)
            *got += (size_t)n;
        else if (errno != EINTR)
            return errno;
        if (*got == size)
            return 0;
        n = pread(fd, buffer + *got, size - *got, (off_t)(offset + *got));
    }
    return 0;
}

int
mmgi_file_read_at(int fd, uint64_t offset, void *buffer, size_t size, size_t *got)
{
    /* Of more than MAX_TRANSFER bytes the kernel reads the first ones. */
    ssize_t n = size > 0 ? pread(fd, buffer, size, (off_t)offset) : 0;

    if (n != (ssize_t)size) /* no memory has more bytes than a ssize_t counts */
        return read_rest(fd, offset, buffer, size, got, n);
    *got = size;
    return 0;
}

bool
mmgi_file_equals(int fd, uint64_t offset, const void *bytes, size_t size)
{
    unsigned char block[8192];
    const unsigned char *expected = bytes;

    while (size > 0) {
        size_t want = size < sizeof block ? size : sizeof block, got;
        if (mmgi_file_read_at(fd, offset, block, want, &got) != 0 || got != want || memcmp(block, expected, want) != 0)
            return false;
        offset += want;
        expected += want;
        size -= want;
    }
    return true;
}

bool
mmgi_files_equal(int fd, int other, uint64_t offset, size_t size)
{
    unsigned char block[8192];

    while (size > 0) {
        size_t want = size < sizeof block ? size : sizeof block, got;
        if (mmgi_file_read_at(other, offset, block, want, &got) != 0 || got != want ||
            !mmgi_file_equals(fd, offset, block, want))
            return false;
        offset += want;
        size -= want;
    }
    return true;
}

/* Polls the stream without waiting. Returns the events, or 0 with errno set. */
static short
stream_poll(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    int n;

    do
        n = poll(&entry, 1, 0);
    while (n < 0 && errno == EINTR);
    return n < 0 ? 0 : entry.revents;
}

/* Waits until the stream has an event. Returns 0, ETIMEDOUT after the deadline, or the errno of poll(2). */
static int
stream_wait(const struct stream *stream)
{
    struct pollfd entry = {.fd = stream->fd, .events = POLLIN};

    for (;;) {
        int timeout = -1;
        if (stream->deadline_ns != 0) {
            int64_t left = stream->deadline_ns - mmgi_clock_monotonic_ns();
            if (left <= 0)
                return ETIMEDOUT;
            timeout = left / 1000000 < INT_MAX ? (int)(left / 1000000) + 1 : INT_MAX; /* poll(2) takes an int */
        }
        int n = poll(&entry, 1, timeout);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return errno;
    }
}

/*
 * Finds out whether a read that returned nothing was at the end of the stream. It was, unless no writer has opened the FIFO
 * yet: Linux reports POLLHUP only after a writer has come and gone (pipe(7)).
 */
static int
stream_at_end(const struct stream *stream, uint64_t read_so_far, bool *at_end)
{
    *at_end = true;
    if (!stream->is_fifo || read_so_far > 0)
        return 0;
    if (stream_poll(stream->fd) != 0)
        return 0;
    if (!stream->wait_for_writer)
        return EWOULDBLOCK;
    *at_end = false;
    return stream_wait(stream);
}

/* Reads up to `want` bytes by one read(2), and waits where the descriptor does not block. Stores 0 in `*got` at the end. */
static int
stream_read(struct stream *stream, void *buffer, size_t want, uint64_t read_so_far, size_t *got)
{
    for (;;) {
        size_t amount = want < MAX_TRANSFER ? want : MAX_TRANSFER;
        /* With a deadline, wait for an event before the read, since read(2) itself could wait for ever. */
        int wait_code = stream->deadline_ns != 0 && !stream->positioned ? stream_wait(stream) : 0;
        if (wait_code != 0) {
            *got = 0;
            return wait_code;
        }
        ssize_t n = stream->positioned ? pread(stream->fd, buffer, amount, (off_t)read_so_far)
                                       : read(stream->fd, buffer, amount);
        if (n > 0) {
            *got = (size_t)n;
            return 0;
        }
        if (n < 0 && errno == ESPIPE && stream->positioned) {
            stream->positioned = false; /* some drivers and FUSE servers allow reading in order only */
            continue;
        }
        bool at_end = false;
        int os_code = n == 0 ? stream_at_end(stream, read_so_far, &at_end) : errno;
        *got = 0;
        if (n == 0 && (os_code != 0 || at_end))
            return os_code;
        if (os_code == EAGAIN || os_code == EWOULDBLOCK) {
            os_code = stream_wait(stream);
            if (os_code != 0)
                return os_code;
        } else if (n < 0 && os_code != EINTR) {
            return os_code;
        }
    }
}

static int
stream_skip(struct stream *stream, uint64_t *read_so_far)
{
    unsigned char scratch[4096];

    while (*read_so_far < stream->skip) {
        uint64_t left = stream->skip - *read_so_far;
        size_t got;
        int os_code = stream_read(stream, scratch, left < sizeof scratch ? (size_t)left : sizeof scratch, *read_so_far,
                                  &got);
        if (os_code != 0 || got == 0)
            return os_code != 0 ? os_code : ENODATA;
        *read_so_far += got;
    }
    return 0;
}

static int
buffer_grow(struct stream *stream, size_t *capacity, uint64_t limit)
{
    uint64_t wanted = *capacity < limit / 2 ? (uint64_t)*capacity * 2 : limit;
    if (wanted > SIZE_MAX / 2)
        return ENOMEM;
    unsigned char *larger = realloc(stream->data, (size_t)wanted);
    if (larger == NULL)
        return ENOMEM;
    stream->data = larger;
    *capacity = (size_t)wanted;
    return 0;
}

static int
stream_fill(struct stream *stream, uint64_t read_so_far)
{
    /* When the stream is read to its end, the limit is one byte above the cap, to find out whether the stream is
       longer. */
    bool to_end = stream->length == 0;
    uint64_t limit = to_end ? stream->cap + (stream->cap < UINT64_MAX) : stream->length;
    size_t capacity = limit < FIRST_CAPACITY ? (size_t)limit : FIRST_CAPACITY;

    if (!to_end && stream->length > stream->cap)
        return EFBIG;
    stream->data = malloc(capacity > 0 ? capacity : 1);
    if (stream->data == NULL)
        return ENOMEM;
    while (stream->size < limit) {
        size_t got;
        int os_code = stream->size == capacity ? buffer_grow(stream, &capacity, limit) : 0;
        if (os_code == 0)
            os_code = stream_read(stream, stream->data + stream->size, capacity - stream->size,
                                  read_so_far + stream->size, &got);
        if (os_code != 0)
            return os_code;
        if (got == 0)
            break;
        stream->size += got;
    }
    if (!to_end)
        return stream->size < stream->length ? ENODATA : 0;
    return stream->size > stream->cap ? EFBIG : 0;
}

int
mmgi_stream_read(struct stream *stream)
{
    uint64_t read_so_far = 0;

    stream->data = NULL;
    stream->size = 0;
    int os_code = stream_skip(stream, &read_so_far);
    if (os_code == 0)
        os_code = stream_fill(stream, read_so_far);
    if (os_code != 0) {
        free(stream->data);
        stream->data = NULL;
        stream->size = 0;
        return os_code;
    }
    /* Give the unused end of the buffer back. If realloc(3) fails, the data stay as they are. */
    unsigned char *fitted = realloc(stream->data, stream->size > 0 ? stream->size : 1);
    if (fitted != NULL)
        stream->data = fitted;
    return 0;
}

int
mmgi_file_evict(int fd, uint64_t offset, uint64_t length)
{
    int os_code;

    do
        os_code = posix_fadvise(fd, (off_t)offset, (off_t)length, POSIX_FADV_DONTNEED); /* returns the errno itself */
    while (os_code == EINTR);
    return os_code;
}
