/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "storm_hands.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

void
storm_writer_start(struct storm_writer *writer, const struct storm *storm)
{
    *writer = (struct storm_writer){.storm = storm, .descriptor = -1};
    ring_start(&writer->ring);
    for (unsigned version = 0; version < STORM_VERSIONS; version++) {
        writer->sources[version] = -1;
    }
}

void
storm_writer_end(struct storm_writer *writer)
{
    ring_end(&writer->ring);
    for (unsigned version = 0; version < STORM_VERSIONS; version++) {
        if (writer->sources[version] >= 0) {
            close(writer->sources[version]);
        }
    }
}

int
storm_writer_open(struct storm_writer *writer)
{
    if (writer->descriptor < 0) {
        writer->descriptor = open(writer->storm->path, O_RDWR | O_CLOEXEC);
    }
    return writer->descriptor < 0 ? errno : 0;
}

void
storm_writer_close(struct storm_writer *writer)
{
    if (writer->descriptor >= 0) {
        close(writer->descriptor);
    }
    writer->descriptor = -1;
}

/* --------------------------------------------------------------------------------------------------------- bytes -- */

int
storm_write_version(const struct storm *storm, int descriptor, unsigned version, uint64_t from, uint64_t to)
{
    while (from < to) {
        ssize_t written = pwrite(descriptor, storm->versions[version] + from, to - from, (off_t)from);
        if (written <= 0) {
            return written < 0 ? errno : EIO;
        }
        from += (uint64_t)written;
    }
    return 0;
}

/** Returns the descriptor of a file in memory with the bytes of a version, or -1. */
static int
source_of(struct storm_writer *writer, unsigned version)
{
    int *source = &writer->sources[version];
    if (*source < 0) {
        *source = memfd_create("storm", MFD_CLOEXEC);
        if (*source >= 0 && storm_write_version(writer->storm, *source, version, 0, STORM_MOST) != 0) {
            close(*source);
            *source = -1;
        }
    }
    return *source;
}

static int
write_by_ring(struct storm_writer *writer, unsigned version, uint64_t from, uint64_t to)
{
    while (from < to) {
        const uint8_t *bytes = writer->storm->versions[version] + from;
        int64_t written = ring_write(&writer->ring, writer->descriptor, bytes, to - from, from);
        if (written <= 0) {
            return written < 0 ? (int)-written : EIO;
        }
        from += (uint64_t)written;
    }
    return 0;
}

/**
 * Makes io_uring read into pages of the file. Where the kernel can hold such pages, as those of tmpfs, it holds them.
 */
static int
read_by_ring(struct storm_writer *writer, unsigned version, uint8_t *pages, uint64_t from, uint64_t to)
{
    int source = source_of(writer, version);
    int error = source >= 0 ? 0 : ENOSYS;
    bool is_pinned = ring_pin(&writer->ring, pages + from, to - from) == 0;
    while (error == 0 && from < to) {
        int64_t got = ring_read(&writer->ring, source, pages + from, to - from, from, is_pinned);
        error = got > 0 ? 0 : got < 0 ? (int)-got : EIO;
        from += got > 0 ? (uint64_t)got : 0;
    }
    if (is_pinned) {
        ring_unpin(&writer->ring);
    }
    return error;
}

/** Stores bytes into a mapping of the file. The file is long enough already. */
static int
store(struct storm_writer *writer, const struct storm_step *step)
{
    uint8_t *pages = mmap(NULL, step->to, PROT_READ | PROT_WRITE, MAP_SHARED, writer->descriptor, 0);
    int error = 0;
    if (pages == MAP_FAILED) {
        return errno;
    }
    if (step->hand == STORM_BY_MAPPING) {
        memcpy(pages + step->from, writer->storm->versions[step->version] + step->from, step->to - step->from);
    } else {
        error = read_by_ring(writer, step->version, pages, step->from, step->to);
    }
    munmap(pages, step->to);
    return error;
}

static int
write_bytes(struct storm_writer *writer, const struct storm_step *step)
{
    switch (step->hand) {
    case STORM_BY_MAPPING:
    case STORM_BY_PAGES:
        if (step->kind == STORM_APPEND && ftruncate(writer->descriptor, (off_t)step->to) != 0) {
            return errno;
        }
        return store(writer, step);
    case STORM_BY_RING:
        return write_by_ring(writer, step->version, step->from, step->to);
    default:
        return storm_write_version(writer->storm, writer->descriptor, step->version, step->from, step->to);
    }
}

/* --------------------------------------------------------------------------------------------------------- sizes -- */

static int
result_of(int result)
{
    return result == 0 ? 0 : errno;
}

static int
open_truncating(const char *path, int access)
{
    int descriptor = open(path, access | O_TRUNC | O_CLOEXEC);
    if (descriptor < 0) {
        return errno;
    }
    close(descriptor);
    return 0;
}

static int
truncate_file(struct storm_writer *writer, const struct storm_step *step)
{
    const char *path = writer->storm->path;
    switch (step->hand) {
    case STORM_BY_PATH:
        return result_of(truncate(path, (off_t)step->from));
    case STORM_BY_OPENING:
        return open_truncating(path, O_WRONLY);
    case STORM_BY_READ_ONLY_OPENING:
        return open_truncating(path, O_RDONLY);
    default:
        return result_of(ftruncate(writer->descriptor, (off_t)step->from));
    }
}

static int
extend_file(struct storm_writer *writer, const struct storm_step *step)
{
    return step->hand == STORM_BY_ALLOCATION
               ? result_of(fallocate(writer->descriptor, 0, (off_t)step->from, (off_t)(step->to - step->from)))
               : result_of(ftruncate(writer->descriptor, (off_t)step->to));
}

static int
punch_file(struct storm_writer *writer, const struct storm_step *step)
{
    int mode = step->hand == STORM_BY_ALLOCATION ? FALLOC_FL_ZERO_RANGE : FALLOC_FL_PUNCH_HOLE;
    return result_of(
        fallocate(writer->descriptor, mode | FALLOC_FL_KEEP_SIZE, (off_t)step->from, (off_t)(step->to - step->from)));
}

static int
replace_file(const struct storm *storm)
{
    int descriptor = open(storm->spare, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (descriptor < 0) {
        return errno;
    }
    int error = storm_write_version(storm, descriptor, STORM_REPLACED, 0, STORM_SIZE);
    close(descriptor);
    return error != 0 ? error : result_of(rename(storm->spare, storm->path));
}

/* --------------------------------------------------------------------------------------------------------- steps -- */

bool
storm_goes_by_path(const struct storm_step *step)
{
    return step->hand == STORM_BY_PATH || step->hand == STORM_BY_OPENING;
}

static int
try_step(struct storm_writer *writer, const struct storm_step *step)
{
    const struct storm *storm = writer->storm;
    switch (step->kind) {
    case STORM_TRUNCATE:
        return truncate_file(writer, step);
    case STORM_EXTEND:
        return extend_file(writer, step);
    case STORM_APPEND:
    case STORM_REWRITE:
        return write_bytes(writer, step);
    case STORM_PUNCH:
        return punch_file(writer, step);
    case STORM_REPLACE:
        return replace_file(storm);
    case STORM_UNLINK:
        return unlink(storm->path) == 0 || errno == ENOENT ? 0 : errno;
    }
    return EINVAL;
}

int
storm_carry_out(struct storm_writer *writer, const struct storm_step *step)
{
    struct storm_shared *shared = writer->storm->shared;
    struct storm_step plain = *step;
    bool needs_ring = step->hand == STORM_BY_RING || step->hand == STORM_BY_PAGES;
    int error = needs_ring && writer->ring.fd < 0 ? ENOSYS : try_step(writer, step);
    if (error == 0) {
        shared->by_hand[step->hand]++;
        return 0;
    }
    /* NFS refuses with EACCES to cut a file that is opened read-only. */
    bool is_lacking = error == ENOSYS || error == EOPNOTSUPP || error == EINVAL || error == ENODEV || error == EACCES;
    if (step->hand == STORM_BY_CALL || !is_lacking) {
        return error;
    }
    shared->is_lacking[step->hand] = true;
    plain.hand = STORM_BY_CALL;
    error = storm_writer_open(writer);
    error = error != 0 ? error : try_step(writer, &plain);
    shared->by_hand[STORM_BY_CALL] += error == 0;
    return error;
}
