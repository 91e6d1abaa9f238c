/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * All calls of the library that make, change or remove a mapping are in this file. A SAFETY comment above each call says why
 * the call is sound. A test counts these comments.
 */
#include "os/map.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mmapguard.h"
#include "os/linux/addr_hint.h"
#include "os/linux/map_directly.h"
#include "os/map_query.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14; older C libraries do not name it */
#endif

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18 /* Linux 4.14 */
#endif

/* mmap2(2) counts an offset in units of this size, whatever the size of a page is. */
#define MMAP2_UNIT 4096

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000 /* Linux 4.17; older kernels take the address for a hint */
#endif

/*
 * The calls of this library that use the functions below run in a handler, or replace existing pages. The code of tools that
 * intercept mmap(3) is not async-signal-safe. A race detector would also report the replacement as a write, although no reader
 * can see a difference.
 */
void *
mmgi_map_directly(void *start, size_t length, int access, int flags, int fd, int64_t offset)
{
    /* SAFETY: each caller has its own reason. The cast is needed since syscall(2) returns an address as a long. On 32-bit
       systems mmap takes other arguments; on s390x it takes its arguments in memory. */
#if defined(SYS_mmap2)
    return (void *)syscall(SYS_mmap2, start, length, access, flags, fd, (long)(offset / MMAP2_UNIT));
#elif defined(__s390x__)
    unsigned long arguments[] = {(unsigned long)start,  length,
                                 (unsigned long)access, (unsigned long)flags,
                                 (unsigned long)fd,     (unsigned long)offset};
    return (void *)syscall(SYS_mmap, arguments);
#else
    return (void *)syscall(SYS_mmap, start, length, access, flags, fd, offset);
#endif
}

int
mmgi_unmap_directly(void *start, size_t length)
{
    /* SAFETY: each caller has its own reason. */
    return (int)syscall(SYS_munmap, start, length); /* 0 or -1, as below */
}

int
mmgi_protect_directly(void *start, size_t length, int access)
{
    /* SAFETY: each caller has its own reason. */
    return (int)syscall(SYS_mprotect, start, length, access);
}

void *
mmgi_remap_directly(void *start, size_t length, size_t fresh_length, int flags, void *target)
{
    /* SAFETY: each caller has its own reason. */
    return (void *)syscall(SYS_mremap, start, length, fresh_length, flags, target);
}

size_t
mmgi_map_page_size(void)
{
    static _Atomic size_t known; /* the value never changes, and sysconf(3) touches three pages of the C library */
    size_t page = atomic_load_explicit(&known, memory_order_relaxed);

    if (page == 0) {
        page = (size_t)sysconf(_SC_PAGESIZE); /* the cast is safe: POSIX demands at least 1 */
        atomic_store_explicit(&known, page, memory_order_relaxed);
    }
    return page;
}

bool
mmgi_map_is_refusal(int os_code)
{
    /* FUSE with direct_io, GPFS, virtiofs and 9p return these for MAP_SHARED. File systems that cannot map at all return them
       for MAP_PRIVATE, too. */
    return os_code == ENODEV || os_code == EINVAL || os_code == EOPNOTSUPP || os_code == EACCES;
}

/* Finds a hint for a mapping. If nothing is known, a probe finds out where there is room for it and its alignment. */
static struct addr_hint
hint_find(size_t length, uint64_t offset)
{
    struct addr_hint hint = mmgi_addr_hint_propose(length, offset);

    if (hint.start != 0 || !mmgi_addr_hint_should_probe(length))
        return hint;
    const size_t room = mmgi_addr_hint_probe_size(length), apart = room + ADDR_HINT_APART;
    /* SAFETY: only this thread knows these pages, and nothing is stored in them. Only their address is used. */
    void *start = mmap(NULL, apart, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (start == MAP_FAILED)
        return hint;
    /* SAFETY: these are the pages of the call above, to which nothing refers. */
    munmap(start, apart);
    mmgi_addr_hint_learn(length, (uintptr_t)start, room);
    return mmgi_addr_hint_propose(length, offset);
}

/* Maps part of a file once. */
static inline void *
map_once(const struct addr_hint *hint, size_t length, int flags, int fd, uint64_t offset)
{
    /* SAFETY: without MAP_FIXED the address is only a hint, so the call cannot replace an existing mapping. The pages are
       read-only, so no pointer into them can write. The caller owns the descriptor as long as the mapping lives. When the file
       shrinks below the mapping, guard/contain.c contains the fault. */
    return mmap((void *)hint->start, length, PROT_READ, flags, fd, (off_t)offset);
}

int
mmgi_map_file(int fd, uint64_t offset, size_t length, size_t page, bool populate, struct mapping *mapping)
{
    const bool has_hint = addr_hint_applies(length);
    const int always = populate ? MAP_POPULATE : 0;
    struct addr_hint hint = has_hint ? hint_find(length, offset) : (struct addr_hint){0, 0};
    void *base = map_once(&hint, length, always | MAP_SHARED, fd, offset);
    const bool is_private = base == MAP_FAILED && mmgi_map_is_refusal(errno);

    if (is_private)
        base = map_once(&hint, length, always | MAP_PRIVATE, fd, offset);
    if (base == MAP_FAILED) {
        int os_code = errno;
        mmgi_addr_hint_return(length, hint);
        return os_code;
    }
    if (hint.start != (uintptr_t)base && has_hint)
        mmgi_addr_hint_correct(length, &hint, (uintptr_t)base);
    *mapping = (struct mapping){.base = base, .length = length, .page = page, .hint = hint, .is_private = is_private};
    return 0;
}

void
mmgi_map_release(const struct mapping *mapping)
{
    /*
     * SAFETY: mmgi_map_file() made this mapping, and it is released only once. The region that owns it is destroyed
     * when its handle is closed and no pin is left, so no span points into the mapping.
     */
    munmap(mapping->base, mapping->length);
    mmgi_addr_hint_return(mapping->length, mapping->hint);
}

void
mmgi_map_pack_closely(void)
{
    mmgi_addr_hint_forget();
}

/* Returns the protection of mmap(2) for an access. Pages are never made executable. */
static int
protection_of(unsigned access)
{
    return (access & MAP_ACCESS_READ ? PROT_READ : 0) | (access & MAP_ACCESS_WRITE ? PROT_WRITE : 0);
}

int
mmgi_map_replace_with_zeros(unsigned char *start, size_t length, unsigned access)
{
    /*
     * SAFETY: MAP_FIXED replaces the pages in one step, so that no other thread can map anything there in between. The
     * range has only pages that can no longer be read. It lies in a mapping of this library that the caller holds
     * against release, or in a mapping of other code about which the caller has just asked the kernel. MAP_NORESERVE:
     * the new pages are hardly ever written to, so a range of 100 GB takes no memory, and the kernel must not refuse it
     * for its size.
     */
    void *base = mmgi_map_directly(start, length, protection_of(access),
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);

    return base == MAP_FAILED ? errno : 0;
}

void
mmgi_map_await_changes(void)
{
    static char here;
    const size_t page = mmgi_map_page_size();
    unsigned char *start = (unsigned char *)((uintptr_t)&here / page * page);
    /* SAFETY: something is mapped there, which the flag makes an error. The kernel looks when no other call is at it. */
    void *base = mmgi_map_directly(start, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (base != MAP_FAILED)
        /* SAFETY: a new page elsewhere, from a kernel that does not know the flag. */
        mmgi_unmap_directly(base, page);
}

void
mmgi_map_unlock(unsigned char *start, size_t length)
{
    syscall(SYS_munlock, start, length); /* cannot fail: munlock(2) accepts pages that are not locked */
}

unsigned char *
mmgi_map_spares(size_t count)
{
    const size_t page = mmgi_map_page_size();
    /* SAFETY: the kernel chooses the address, so nothing refers to these pages yet. */
    unsigned char *first = mmap(NULL, count * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (first == MAP_FAILED)
        return NULL;
    /* Every second page gets another property, so that the kernel does not join the pages to one mapping. MADV_DONTDUMP
       is harmless, since the pages are empty. */
    for (size_t i = 1; i < count; i += 2)
        /* SAFETY: these are pages of the call above. */
        if (madvise(first + i * page, page, MADV_DONTDUMP) != 0) {
            /* SAFETY: these are the pages of the call above, and the caller never gets them. */
            munmap(first, count * page);
            return NULL;
        }
    return first;
}

unsigned char *
mmgi_map_spare_again(void)
{
    /* SAFETY: new memory at an address of the kernel's choice, to which nothing refers. Shared memory of its own never becomes
       one mapping with its neighbours. */
    void *page = mmgi_map_directly(NULL, mmgi_map_page_size(), PROT_NONE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                                   -1, 0);

    return page == MAP_FAILED ? NULL : page;
}

void
mmgi_map_spare_release(unsigned char *spare)
{
    /* SAFETY: the page comes from mmgi_map_spares(), and the caller has taken it for itself. */
    mmgi_unmap_directly(spare, mmgi_map_page_size());
}

int
mmgi_map_spare_move(unsigned char *spare, unsigned char *lost, unsigned access)
{
    const size_t page = mmgi_map_page_size();

    /* SAFETY: the caller has taken the spare page for itself. It gets the access of the lost page. */
    if (mmgi_protect_directly(spare, page, protection_of(access)) != 0)
        return errno;
    /* SAFETY: the caller holds the mapping of the lost page. The spare page replaces that page in one step. */
    if (mmgi_remap_directly(spare, page, page, MREMAP_MAYMOVE | MREMAP_FIXED, lost) == MAP_FAILED)
        return errno;
    return 0;
}

bool
mmgi_map_can_replace(void)
{
    size_t size;
    unsigned char *memory = mmgi_map_memory(1, &size);

    if (memory == NULL)
        return false;
    memory[0] = 1;
    bool can = mmgi_map_replace_with_zeros(memory, size, MAP_ACCESS_READ) == 0 &&
               *(const volatile unsigned char *)memory == 0;
    mmgi_map_memory_release(memory, size);
    return can;
}

int
mmgi_map_replace_with_file(const struct mapping *mapping, size_t length, int fd, uint64_t offset)
{
    /*
     * SAFETY: the range is the start of a live mapping that the caller holds. The file holds the same bytes, so no
     * reader sees a difference. MAP_FIXED replaces the pages in one step, so that no other thread can map anything
     * there in between.
     */
    void *base = mmgi_map_directly(mapping->base, length, PROT_READ, MAP_SHARED | MAP_FIXED, fd, (off_t)offset);

    return base == MAP_FAILED ? errno : 0;
}

int
mmgi_map_replace_with_memory(const struct mapping *mapping, size_t length, unsigned char *memory)
{
    /* SAFETY: the memory belongs to the caller, who must not write to it any more. */
    if (mprotect(memory, length, PROT_READ) != 0)
        return errno;
    /* SAFETY: the range is the start of a live mapping that the caller holds, and the bytes are equal. With an old size
       of 0, mremap(2) maps shared pages a second time, in one step. */
    void *base = mremap(memory, 0, length, MREMAP_MAYMOVE | MREMAP_FIXED, mapping->base);

    return base == MAP_FAILED ? errno : 0;
}

static unsigned char *
memory_new(size_t length, int kind, size_t *rounded)
{
    const size_t page = mmgi_map_page_size();

    *rounded = (length + page - 1) / page * page;
    /* SAFETY: the kernel chooses the address of the new memory. */
    void *memory = mmap(NULL, *rounded, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

unsigned char *
mmgi_map_memory(size_t length, size_t *rounded)
{
    return memory_new(length, MAP_PRIVATE, rounded);
}

unsigned char *
mmgi_map_shared_memory(size_t length, size_t *rounded)
{
    return memory_new(length, MAP_SHARED, rounded);
}

void
mmgi_map_memory_release(unsigned char *memory, size_t length)
{
    /* SAFETY: this is memory of mmgi_map_memory(), to which nothing refers any more. */
    munmap(memory, length);
}

int
mmgi_map_wipe_on_fork(unsigned char *memory, size_t length)
{
    /* SAFETY: this is memory of mmgi_map_memory(), which does not change in this process. */
    return madvise(memory, length, MADV_WIPEONFORK) == 0 ? 0 : errno;
}

/* Returns the first page of a mapping that a range touches, and stores the length of all such pages. */
static unsigned char *
page_span(const struct mapping *mapping, const unsigned char *start, size_t length, size_t *span)
{
    size_t first = (size_t)(start - mapping->base) / mapping->page * mapping->page;
    size_t end = (size_t)(start - mapping->base) + length;
    size_t last = (end + mapping->page - 1) / mapping->page * mapping->page;

    *span = last - first;
    return mapping->base + first;
}

/*
 * Tells the kernel how far to read ahead. Without huge pages the kernel reads a mapping ahead by the window of the device,
 * often 128 KiB, while read(2) with a large buffer asks for all of it. So on a slow disk a scan of a mapping took up to eight
 * times as long. Since Linux 5.18 the kernel reads up to 4 MiB of a mapping ahead if huge pages are wanted. A refusal is no
 * failure, because everything works without.
 */
static void
set_reach(unsigned char *first, size_t span, uint32_t advice)
{
    const bool is_far = advice == MMG_ADVICE_SEQUENTIAL;

    /* SAFETY: the advice says in which pieces the kernel may hold the file, and changes no byte of it. */
    if (is_far || advice == MMG_ADVICE_NORMAL || advice == MMG_ADVICE_RANDOM)
        madvise(first, span, is_far ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

int
mmgi_map_advise(const struct mapping *mapping, const unsigned char *start, size_t length, uint32_t advice)
{
    static const int kernel_advice[] = {
        [MMG_ADVICE_NORMAL] = MADV_NORMAL,          [MMG_ADVICE_SEQUENTIAL] = MADV_SEQUENTIAL,
        [MMG_ADVICE_RANDOM] = MADV_RANDOM,          [MMG_ADVICE_WILLNEED] = MADV_WILLNEED,
        [MMG_ADVICE_HUGEPAGE] = MADV_HUGEPAGE,      [MMG_ADVICE_DONTNEED] = MADV_DONTNEED,
        [MMG_ADVICE_POPULATE] = MADV_POPULATE_READ,
    };
    size_t span;
    unsigned char *first = page_span(mapping, start, length, &span);
    int result;

    if (length == 0)
        return 0;
    do
        /*
         * SAFETY: none of these kinds of advice changes the bytes of a live, read-only mapping. MADV_DONTNEED drops
         * private changes, and there are none: the kernel reads pages of the file again, and pages that were replaced
         * are zeros again.
         */
        result = madvise(first, span, kernel_advice[advice]);
    while (result != 0 && errno == EINTR);
    if (result == 0 && mapping->is_sequential)
        set_reach(first, span, advice);
    if (result == 0)
        return 0;
    /* A kernel without huge pages for files returns EINVAL. The advice is a hint, so that is not a failure. */
    if (advice == MMG_ADVICE_HUGEPAGE && errno == EINVAL)
        return 0;
    return advice == MMG_ADVICE_POPULATE && errno == EINVAL ? EOPNOTSUPP : errno;
}
