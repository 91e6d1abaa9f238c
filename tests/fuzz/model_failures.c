/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Faults that a host hands in, errors of the memory and of the disk, and streams. Each but the first has a region of its
 * own, because the model knows of no other loss than a cut.
 */
#undef _FILE_OFFSET_BITS /* with the macro, pread would become pread64 */
#undef _TIME_BITS        /* which the C library allows only with the other one */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "model_parts.h"

/* --------------------------------------------------------------------------------------------------- faults -- */

static siginfo_t
fault_at(const uint8_t *address, int code)
{
    siginfo_t siginfo;
    memset(&siginfo, 0, sizeof siginfo);
    siginfo.si_signo = SIGBUS;
    siginfo.si_code = code;
    siginfo.si_addr = (void *)(uintptr_t)address;
    return siginfo;
}

/** Returns a contained region that has lost bytes, and of which the model knows the address, or NULL. */
static struct region *
some_contained_region(void)
{
    size_t start = (size_t)below(REGIONS);
    for (size_t step = 0; step < REGIONS; step++) {
        struct region *region = &model.regions[(start + step) % REGIONS];
        if (region->used && region->page != 0 && region->contained && region->pins > 0 && region->base != NULL &&
            bytes_left(region) < region->size) {
            return region;
        }
    }
    return NULL;
}

/** Hands in the fault that the kernel reports when a page behind the end of the file is touched, or another signal. */
void
step_handle_fault(void)
{
    struct region *region = some_contained_region();
    model.doing = "mmg_handle_fault";
    if (region == NULL) {
        return;
    }
    const uint64_t missing = first_missing_page(region);
    const uint64_t left = bytes_left(region);
    const uint64_t at = left + below(region->size - left);
    const uint64_t page = (lead(region) + at) / region->page;
    if (page < missing || page >= region->zeroed) {
        return; /* the kernel reports no fault there */
    }
    siginfo_t siginfo = fault_at(region->base + at, BUS_ADRERR);
    describe_range(region->handle, region, at, 1);
    must(mmg_handle_fault(SIGSEGV, &siginfo, NULL) == 0, "a SIGSEGV was handled as a fault");
    must(mmg_handle_fault((int32_t)below(SIGBUS), &siginfo, NULL) == 0, "another signal was handled as a fault");
    must(mmg_handle_fault(SIGBUS + 1 + (int32_t)below(60), &siginfo, NULL) == 0,
         "another signal was handled as a fault");
    siginfo.si_code = BUS_ADRALN;
    must(mmg_handle_fault(SIGBUS, &siginfo, NULL) == 0, "an alignment error was handled as a fault");
    sync_losses(region, false);
    siginfo.si_code = BUS_ADRERR;
    must(mmg_handle_fault(SIGBUS, &siginfo, NULL) == 1, "a fault in a region was not contained");
    learn_loss(region);
    region->zeroed = missing;
    region->faults++;
    model.faults++;
    sync_losses(region, false);
}

/** Opens a region of its own on a file with bytes, mapped or copied. Returns 0 when there is none. */
static mmg_handle
open_own(uint32_t backing, struct inode **inode)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 0;
    *inode = model.names[below(FILES)];
    options.backing = backing;
    options.lock = MMG_LOCK_NONE;
    if ((*inode)->size == 0) {
        return 0;
    }
    must(mmg_open_fd((*inode)->descriptor, &options, &handle, NULL) == MMG_OK, "a file cannot be opened");
    model.opened++;
    return handle;
}

/** A memory error costs its page. The other bytes stay as they are. */
void
step_memory_error(void)
{
    struct inode *inode;
    mmg_span span = MMG_SPAN_INIT;
    mmg_handle handle = open_own(MMG_BACKING_MAP, &inode);
    model.doing = "(memory error)";
    model.details[0] = '\0';
    if (handle == 0) {
        return;
    }
    must(mmg_pin(handle, 0, MMG_TO_END, &span) == MMG_OK, "a new region cannot be pinned");
    const uint64_t page = below((span.size + model.page - 1) / model.page);
    const uint64_t start = page * model.page;
    const uint64_t end = start + model.page < span.size ? start + model.page : span.size;
    siginfo_t siginfo = fault_at(span.data + start + below(end - start), BUS_MCEERR_AR);
    siginfo.si_addr_lsb = (short)__builtin_ctzll(model.page);
    must(mmg_handle_fault(SIGBUS, &siginfo, NULL) == 1, "a memory error was not contained");
    must(mmg_check(handle) == MMG_E_POISONED, "a memory error was not told");
    for (uint64_t at = 0; at < span.size; at += at + 97 < span.size ? 97 : 1) {
        const uint8_t byte = ((const volatile uint8_t *)span.data)[at];
        must(byte == (at >= start && at < end ? 0 : inode->bytes[at]), "a byte beside a memory error is wrong");
    }
    must(mmg_unpin(&span) == MMG_E_POISONED, "a memory error was not told at the end of a pin");
    must(mmg_close(handle, 0) == MMG_OK, "a live handle cannot be closed");
}

/* ----------------------------------------------------------------------------------------------- read errors -- */

/*
 * How many reads by position of this thread fail before one succeeds. The library reads files with no other call. The
 * library's own threads read settings of the kernel meanwhile.
 */
static _Thread_local int failing_reads;

static ssize_t
read_at(int fd, void *to, size_t size, int64_t offset)
{
    if (failing_reads > 0) {
        failing_reads--;
        errno = EIO;
        return -1;
    }
#ifdef __LP64__
    return syscall(SYS_pread64, fd, to, size, offset);
#else /* the halves of the offset are passed in different ways */
    struct iovec one = {to, size};
#ifdef __GLIBC__
    return preadv64(fd, &one, 1, offset);
#else
    return preadv(fd, &one, 1, offset);
#endif
#endif
}

ssize_t
pread(int fd, void *to, size_t size, off_t offset)
{
    return read_at(fd, to, size, offset);
}

#ifdef __GLIBC__
ssize_t
pread64(int fd, void *to, size_t size, off64_t offset)
{
    return read_at(fd, to, size, offset);
}
#endif

/** The disk fails while a file is copied, or while a region is read. The next read is whole. */
void
step_read_error(void)
{
    struct inode *inode;
    mmg_handle handle = open_own(MMG_BACKING_MAP, &inode);
    mmg_handle copy = 4711;
    mmg_options options = MMG_OPTIONS_INIT;
    uint8_t buffer[512];
    uint64_t got = 77;
    model.doing = "(read error)";
    model.details[0] = '\0';
    if (handle == 0) {
        return;
    }
    const uint64_t at = below(inode->size);
    const uint64_t want = inode->size - at < sizeof buffer ? inode->size - at : sizeof buffer;
    failing_reads = INT_MAX;
    must(mmg_read(handle, at, buffer, sizeof buffer, &got) == MMG_E_IO, "a read error was not told");
    must_equal(got, 0, "the bytes that a failed read has read");
    options.backing = MMG_BACKING_COPY;
    options.lock = MMG_LOCK_NONE;
    must(mmg_open_fd(inode->descriptor, &options, &copy, NULL) == MMG_E_IO && copy == 0, "a failed copy was given out");
    failing_reads = 0;
    must(mmg_read(handle, at, buffer, sizeof buffer, &got) == MMG_OK, "a read after an error failed");
    must_equal(got, want, "the bytes of a read after an error");
    must(memcmp(buffer, inode->bytes + at, (size_t)want) == 0, "the bytes of a read after an error are wrong");
    must(mmg_check(handle) == MMG_OK, "a read error became a loss");
    must(mmg_close(handle, 0) == MMG_OK, "a live handle cannot be closed");
}

/* --------------------------------------------------------------------------------------------------- streams -- */

/** A pipe is read to its end, up to a cap, and with a window. */
void
step_stream(void)
{
    static uint8_t bytes[4096];
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_info info = MMG_INFO_INIT;
    mmg_handle handle = 4711;
    struct expected expected = {.count = 0};
    int ends[2];
    const uint64_t size = below(sizeof bytes + 1);
    model.doing = "mmg_read_fd";
    model.details[0] = '\0';
    memset(bytes, (int)draw(1), sizeof bytes);
    must(pipe(ends) == 0, "pipe");
    must(write(ends[1], bytes, (size_t)size) == (ssize_t)size && close(ends[1]) == 0, "a pipe cannot be filled");
    options.max_bytes = one_in(2) ? 0 : 1 + below(2 * sizeof bytes);
    options.offset = one_in(2) ? 0 : below(size + 2);
    options.guarantee = one_in(2) ? MMG_GUARANTEE_STABLE : 0;
    options.backing = one_in(8) ? MMG_BACKING_MAP : 0;
    options.flags = one_in(8) ? MMG_FLAG_REJECT_EMPTY : 0;
    const uint64_t length = options.offset > size ? 0 : size - options.offset;
    if (options.backing == MMG_BACKING_MAP) {
        expect(&expected, MMG_E_NOT_MAPPABLE);
    } else if (options.max_bytes != 0 && length > options.max_bytes) {
        expect(&expected, MMG_E_TOO_BIG);
    } else if (options.offset > size) {
        expect(&expected, MMG_E_RANGE);
    } else if (length == 0 && options.flags != 0) {
        expect(&expected, MMG_E_EMPTY);
    }
    mmg_status status = mmg_read_fd(ends[0], &options, &handle, NULL);
    must_be(status, &expected);
    close(ends[0]);
    if (status != MMG_OK) {
        must(handle == 0, "a refused stream has a handle");
        return;
    }
    model.opened++;
    mmg_span span = MMG_SPAN_INIT;
    must(mmg_info_get(handle, &info) == MMG_OK && info.size == length, "a stream has another size");
    must(info.guarantee == MMG_GUARANTEE_STABLE && info.means == MMG_MEANS_PRIVATE_COPY, "a stream is not stable");
    must(mmg_pin(handle, 0, MMG_TO_END, &span) == MMG_OK && span.size == length, "a stream cannot be pinned");
    must(memcmp(span.data, bytes, (size_t)length) == 0, "the bytes of a stream are wrong");
    must(mmg_unpin(&span) == MMG_OK && mmg_close(handle, MMG_CLOSE_STRICT) == MMG_OK, "a stream cannot be closed");
}
