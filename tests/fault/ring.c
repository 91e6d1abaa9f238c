/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(SYS_io_uring_setup) && defined(__has_include)
#if __has_include(<linux/io_uring.h>)
#include <linux/io_uring.h>
#define HAS_RING 1
#endif
#endif

#ifdef HAS_RING

#define ENTRIES 4U

void
ring_start(struct ring *ring)
{
    struct io_uring_params params = {0};
    *ring = (struct ring){.fd = -1};
    int fd = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
    if (fd < 0) {
        return;
    }
    /* Since Linux 5.4 both queues are in one mapping, and older kernels do not have these requests. */
    size_t order = params.sq_off.array + params.sq_entries * sizeof(unsigned);
    size_t answers = params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe);
    ring->queues_size = order > answers ? order : answers;
    ring->requests_size = params.sq_entries * sizeof(struct io_uring_sqe);
    ring->queues = mmap(NULL, ring->queues_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)IORING_OFF_SQ_RING);
    ring->requests = mmap(NULL, ring->requests_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)IORING_OFF_SQES);
    if (!(params.features & IORING_FEAT_SINGLE_MMAP) || ring->queues == MAP_FAILED || ring->requests == MAP_FAILED) {
        close(fd);
        return;
    }
    ring->submitted = (unsigned *)(void *)(ring->queues + params.sq_off.tail);
    ring->order = (unsigned *)(void *)(ring->queues + params.sq_off.array);
    ring->answered = (unsigned *)(void *)(ring->queues + params.cq_off.head);
    ring->answers = params.cq_off.cqes;
    ring->mask = params.cq_entries - 1;
    ring->fd = fd;
}

void
ring_end(struct ring *ring)
{
    if (ring->fd >= 0) {
        munmap(ring->queues, ring->queues_size);
        munmap(ring->requests, ring->requests_size);
        close(ring->fd);
    }
}

/* Submits one request, waits for its completion, and returns the result. */
static int64_t
ask(struct ring *ring, const struct io_uring_sqe *request)
{
    unsigned place = *ring->submitted & (ENTRIES - 1);
    memcpy((unsigned char *)ring->requests + place * sizeof *request, request, sizeof *request);
    ring->order[place] = place;
    __atomic_store_n(ring->submitted, *ring->submitted + 1, __ATOMIC_RELEASE);
    while (syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    const struct io_uring_cqe *answer = (const struct io_uring_cqe *)(const void *)(ring->queues + ring->answers) +
                                        (*ring->answered & ring->mask);
    int64_t result = answer->res;
    __atomic_store_n(ring->answered, *ring->answered + 1, __ATOMIC_RELEASE);
    return result;
}

static struct io_uring_sqe
request_of(int fd, const void *memory, size_t size, uint64_t offset)
{
    struct io_uring_sqe request = {0};
    request.fd = fd;
    request.addr = (uint64_t)(uintptr_t)memory;
    request.len = (uint32_t)size;
    request.off = offset;
    return request;
}

int64_t
ring_write(struct ring *ring, int fd, const void *bytes, size_t size, uint64_t offset)
{
    struct io_uring_sqe request = request_of(fd, bytes, size, offset);
    request.opcode = IORING_OP_WRITE;
    return ask(ring, &request);
}

int
ring_pin(struct ring *ring, void *memory, size_t size)
{
    const struct iovec pages = {memory, size};
    return syscall(SYS_io_uring_register, ring->fd, IORING_REGISTER_BUFFERS, &pages, 1) < 0 ? -errno : 0;
}

void
ring_unpin(struct ring *ring)
{
    syscall(SYS_io_uring_register, ring->fd, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

int64_t
ring_read(struct ring *ring, int fd, void *memory, size_t size, uint64_t offset, bool is_pinned)
{
    struct io_uring_sqe request = request_of(fd, memory, size, offset);
    request.opcode = is_pinned ? IORING_OP_READ_FIXED : IORING_OP_READ;
    return ask(ring, &request);
}

#else

void
ring_start(struct ring *ring)
{
    *ring = (struct ring){.fd = -1};
}

void
ring_end(struct ring *ring)
{
    (void)ring;
}

int64_t
ring_write(struct ring *ring, int fd, const void *bytes, size_t size, uint64_t offset)
{
    (void)ring, (void)fd, (void)bytes, (void)size, (void)offset;
    return -ENOSYS;
}

int
ring_pin(struct ring *ring, void *memory, size_t size)
{
    (void)ring, (void)memory, (void)size;
    return -ENOSYS;
}

void
ring_unpin(struct ring *ring)
{
    (void)ring;
}

int64_t
ring_read(struct ring *ring, int fd, void *memory, size_t size, uint64_t offset, bool is_pinned)
{
    (void)ring, (void)fd, (void)memory, (void)size, (void)offset, (void)is_pinned;
    return -ENOSYS;
}

#endif
