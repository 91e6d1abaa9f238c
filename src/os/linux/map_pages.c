/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lets the kernel read bytes of a mapping, and asks it which pages are in memory. Where a read by the processor would raise
 * a signal, the kernel returns an error. Nothing here changes a mapping.
 */
#include "os/map.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* One call of mincore(2) asks about at most so many pages. */
#define RESIDENT_BATCH 4096u

int
mmgi_map_copy_out(const unsigned char *from, void *to, size_t size, size_t *copied)
{
    *copied = 0;
    while (*copied < size) {
        struct iovec local = {.iov_base = (unsigned char *)to + *copied, .iov_len = size - *copied};
        struct iovec remote = {.iov_base = (void *)(uintptr_t)(from + *copied), .iov_len = size - *copied};
        /* process_vm_readv(2) reads the memory as if it were that of another process, so a missing page is an error and no
           signal. */
        ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);
        if (n > 0)
            *copied += (size_t)n;
        else if (n == 0 || errno != EINTR)
            return n == 0 ? EFAULT : errno;
    }
    return 0;
}

bool
mmgi_map_is_readable(const unsigned char *address)
{
    unsigned char byte;
    size_t copied;

    return mmgi_map_copy_out(address, &byte, 1, &copied) == 0;
}

int
mmgi_map_resident(const struct mapping *mapping, const unsigned char *start, size_t length, uint64_t *resident)
{
    const size_t page = mmgi_map_page_size(); /* mincore(2) counts such pages, also in hugetlbfs */
    const unsigned char *end = start + length;
    unsigned char vector[RESIDENT_BATCH];
    unsigned char *first = mapping->base + (size_t)(start - mapping->base) / page * page;
    size_t span = ((size_t)(end - first) + page - 1) / page * page;

    *resident = 0;
    while (length > 0 && span > 0) {
        size_t batch = span < RESIDENT_BATCH * page ? span : RESIDENT_BATCH * page;
        /* SAFETY: the call only asks about a live mapping. It writes to `vector`, which has a byte for each page of the
           batch. */
        if (mincore(first, batch, vector) != 0)
            return errno;
        for (size_t i = 0; i < batch / page; i++) {
            const unsigned char *low = first + i * page, *high = low + page;
            low = low < start ? start : low;
            high = high > end ? end : high;
            if ((vector[i] & 1) && high > low)
                *resident += (uint64_t)(high - low);
        }
        first += batch;
        span -= batch;
    }
    return 0;
}
