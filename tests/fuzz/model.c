/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The model of the library. An expectation is a set of statuses. When a call has several mistakes, the library may
 * report any of them. When a call has none, MMG_OK is the only member of the set.
 */
#include "model.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mmapguard_arrow.h"
#include "mmapguard.h"

#define FILES 6
#define CAPACITY ((uint64_t)44 * 4096)
#define REGIONS 80
#define PINS 300
#define FOREIGNERS 12
#define SMALLEST_PAGE 4096
#define STALE 512
#define LARGEST_STRUCT 4096U
#define ROOM (LARGEST_STRUCT + 64)
#define NONE UINT64_MAX

/** The inode of a file. It lives as long as its name or a region uses it. */
struct inode {
    unsigned users;
    int descriptor;
    uint64_t size;
    uint64_t device;
    uint64_t number;
    bool locked;             /* the model holds an exclusive lock */
    bool is_fresh;           /* unchanged since model_start() or reset_files() made it */
    unsigned flocks;         /* the number of regions that hold a shared lock */
    uint8_t bytes[CAPACITY]; /* zero behind `size` */
};

/** The contents that a page of a mapping shows. */
enum shown {
    SHOWN_FILE,
    SHOWN_OWN, /* bytes that were stored into a private mapping */
    SHOWN_ZERO /* zeros in place of a lost page, and bytes that were stored there since */
};

/** A mapping that the library has not made. */
struct foreigner {
    uint8_t *base; /* NULL: none */
    struct inode *inode;
    int file; /* the index of the path by which it was opened */
    uint64_t offset;
    uint64_t size;
    bool is_shared;
    bool is_writable;
    bool has_parts;        /* for the kernel it is several mappings, after advice about a part */
    struct region *region; /* the region that has adopted it; as long as it lives, only the region is used */
    uint8_t shown[CAPACITY / SMALLEST_PAGE];
    uint8_t own[CAPACITY]; /* the bytes where the mapping does not show the file */
};

struct region {
    bool used;
    mmg_handle handle; /* 0: the handle is closed, and pins keep the region */
    struct inode *inode;
    uint64_t offset;
    uint64_t size;
    uint64_t page;   /* the page size of a mapping of the file; 0 when the bytes are stable */
    uint64_t mapped; /* bytes of address space */
    uint8_t *copy;   /* the bytes, if they are stable */
    bool contained;  /* a fault in the region is contained */
    bool has_flock;
    int file;              /* the index of the path by which it was opened, or -1 */
    bool supports_changed; /* mmg_changed() certainly works */
    bool may_support_changed;
    bool keeps_descriptor; /* although it is a copy */
    unsigned pins;
    uint64_t faults;
    uint64_t lost;   /* first byte known to be lost, or NONE */
    uint64_t zeroed; /* first page of the mapping that was replaced by zeroes, or NONE */
    const uint8_t *base;
    struct foreigner *foreigner; /* the mapping that the region has adopted; NULL when it was opened */
    mmg_info opened;
};

struct pin {
    mmg_span span; /* the pin is 0 when the entry is free */
    struct region *region;
    uint64_t offset;
};

static struct {
    char directory[PATH_MAX];
    char paths[FILES][PATH_MAX + 16];
    char missing[PATH_MAX + 16];
    struct inode *names[FILES];
    struct region regions[REGIONS];
    struct pin pins[PINS];
    struct foreigner foreigners[FOREIGNERS];
    unsigned guards[2]; /* calls of mmg_guard_process() that have not ended, by flags */
    uint64_t foreign_losses;
    uint64_t page;
    bool can_ask;       /* the kernel tells what is mapped at an address */
    bool can_ask_pages; /* the kernel tells whether a page can be read; qemu-user does not */
    mmg_handle stale[STALE];
    uint64_t stale_tokens[STALE];
    size_t stale_count;
    size_t stale_token_count;
    mmg_stats start;
    uint64_t opened;
    struct chance *chance;
    bool can_populate; /* the kernel knows MADV_POPULATE_READ */
    uint64_t call;
    const char *doing;
    char details[256];
} model;

/* ----------------------------------------------------------------------------------------------------- reports -- */

_Noreturn static void
disagree(const char *what)
{
    fprintf(stderr, "call %" PRIu64 ", %s(%s): %s\n", model.call, model.doing, model.details, what);
    fflush(stderr);
    abort();
}

static void
must(bool holds, const char *what)
{
    if (!holds) {
        disagree(what);
    }
}

static void
must_equal(uint64_t actual, uint64_t expected, const char *what)
{
    char text[160];
    if (actual != expected) {
        snprintf(text, sizeof text, "%s is %" PRIu64 ", not %" PRIu64, what, actual, expected);
        disagree(text);
    }
}

/** The statuses that a call may return. When the set is empty, the call must return MMG_OK. */
struct expected {
    mmg_status any[16];
    size_t count;
};

static void
expect(struct expected *expected, mmg_status status)
{
    must(expected->count < 16, "the model expects too much");
    expected->any[expected->count++] = status;
}

static void
must_be(mmg_status actual, const struct expected *expected)
{
    char text[400];
    size_t used;
    for (size_t index = 0; index < expected->count; index++) {
        if (expected->any[index] == actual) {
            return;
        }
    }
    if (expected->count == 0 && actual == MMG_OK) {
        return;
    }
    used = (size_t)snprintf(text, sizeof text, "returned %s, expected %s", mmg_status_name(actual),
                            expected->count == 0 ? "MMG_OK" : "");
    for (size_t index = 0; index < expected->count && used < sizeof text; index++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%s ", mmg_status_name(expected->any[index]));
    }
    disagree(text);
}

/* ------------------------------------------------------------------------------------------------------ chance -- */

static uint64_t
draw(unsigned size)
{
    struct chance *chance = model.chance;
    uint64_t value = 0;
    if (chance->bytes != NULL) {
        for (unsigned index = 0; index < size && chance->left > 0; index++, chance->left--) {
            value |= (uint64_t)*chance->bytes++ << (8 * index);
        }
        return value;
    }
    value = chance->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    value ^= value >> 31;
    return size == 8 ? value : value & ((UINT64_C(1) << (8 * size)) - 1);
}

static bool
has_chance(void)
{
    return model.chance->bytes == NULL || model.chance->left > 0;
}

/** Returns a random number below `bound`. */
static uint64_t
below(uint64_t bound)
{
    return bound <= 1 ? 0 : draw(bound <= 256 ? 1 : bound <= 65536 ? 2 : bound <= UINT64_C(1) << 32 ? 4 : 8) % bound;
}

static bool
one_in(uint64_t count)
{
    return below(count) == 0;
}

/**
 * Return a random offset in `size` bytes, and a random length. Most are inside, many are at an edge, and a few are
 * absurd.
 */
static uint64_t
some_offset(uint64_t size)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     4095,
                                     4096,
                                     4097,
                                     65536,
                                     UINT64_MAX,
                                     UINT64_MAX - 1,
                                     INT64_MAX,
                                     (uint64_t)INT64_MAX + 1,
                                     UINT64_C(1) << 32};
    switch (below(16)) {
    case 0:
        return edges[below(sizeof edges / sizeof *edges)];
    case 1:
        return size - below(3);
    case 2:
        return size + below(3);
    case 3:
        return draw(8) >> below(64);
    case 4:
        return UINT64_MAX - below(size + 2);
    default:
        return below(size + 1);
    }
}

static uint64_t
some_length(uint64_t size, uint64_t offset)
{
    uint64_t rest = offset <= size ? size - offset : 0;
    switch (below(8)) {
    case 0:
        return some_offset(size);
    case 1:
        return MMG_TO_END;
    case 2:
        return rest;
    case 3:
        return rest + 1;
    case 4:
        return below(64) < rest ? below(64) : rest;
    default:
        return below(rest + 1);
    }
}

/* ------------------------------------------------------------------------------------------------------- files -- */

static const uint64_t first_sizes[FILES] = {0, 100, 4096, 3 * 4096 + 17, 131073, CAPACITY};

/** Fills an empty file with only a few different bytes, so that searches have many near misses. */
static void
fill(struct inode *inode, uint64_t size)
{
    inode->size = size;
    for (uint64_t at = 0; at < size; at++) {
        inode->bytes[at] = (uint8_t)(((at ^ (at >> 12)) * UINT64_C(0x9e3779b97f4a7c15)) >> 59);
    }
    must(pwrite(inode->descriptor, inode->bytes, (size_t)size, 0) == (ssize_t)size, "a file cannot be written");
}

static struct inode *
inode_new(const char *path, uint64_t size)
{
    struct stat status;
    struct inode *inode = calloc(1, sizeof *inode);
    must(inode != NULL, "no memory for the model");
    inode->users = 1;
    inode->descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    must(inode->descriptor >= 0, "a file cannot be made");
    fill(inode, size);
    must(fstat(inode->descriptor, &status) == 0, "fstat");
    inode->device = status.st_dev;
    inode->number = status.st_ino;
    return inode;
}

static void
inode_release(struct inode *inode)
{
    if (inode != NULL && --inode->users == 0) {
        close(inode->descriptor);
        free(inode);
    }
}

static uint64_t
some_file_size(void)
{
    static const uint64_t sizes[] = {0, 1, 100, 4095, 4096, 4097, 3 * 4096, 65536, 131072, 131073, CAPACITY};
    return one_in(3) ? below(CAPACITY + 1) : sizes[below(sizeof sizes / sizeof *sizes)];
}

/** Updates private mappings after a cut: bytes that were stored into cut pages are lost. */
static void
cut_foreigners(const struct inode *inode, uint64_t size)
{
    for (size_t index = 0; index < FOREIGNERS; index++) {
        struct foreigner *f = &model.foreigners[index];
        for (uint64_t at = 0; f->inode == inode && at < f->size; at += model.page) {
            if (f->shown[at / model.page] == SHOWN_OWN && f->offset + at >= size) {
                f->shown[at / model.page] = SHOWN_FILE;
            }
        }
    }
}

static void
resize(struct inode *inode, uint64_t size)
{
    inode->is_fresh = false;
    cut_foreigners(inode, size);
    must(ftruncate(inode->descriptor, (off_t)size) == 0, "ftruncate");
    if (size < inode->size) {
        memset(inode->bytes + size, 0, (size_t)(inode->size - size));
    }
    inode->size = size;
}

static void
rewrite(struct inode *inode)
{
    uint64_t at = below(inode->size + 1);
    uint64_t size = below(inode->size - at + 1);
    size = size > 9000 ? 9000 : size;
    uint8_t value = (uint8_t)draw(1);
    inode->is_fresh = false;
    for (uint64_t index = 0; index < size; index++) {
        inode->bytes[at + index] = (uint8_t)(value + index % 3);
    }
    must(pwrite(inode->descriptor, inode->bytes + at, (size_t)size, (off_t)at) == (ssize_t)size, "pwrite");
}

static void
replace(size_t file)
{
    char fresh[PATH_MAX + 32];
    snprintf(fresh, sizeof fresh, "%s.fresh", model.paths[file]);
    struct inode *inode = inode_new(fresh, some_file_size());
    must(rename(fresh, model.paths[file]) == 0, "rename");
    inode_release(model.names[file]);
    model.names[file] = inode;
}

/**
 * Takes an exclusive lock on a file, or releases it. Taking it must succeed exactly when no region holds a shared lock.
 */
static void
toggle_lock(struct inode *inode)
{
    bool taken;
    if (inode->locked) {
        must(flock(inode->descriptor, LOCK_UN) == 0, "LOCK_UN");
        inode->locked = false;
        return;
    }
    taken = flock(inode->descriptor, LOCK_EX | LOCK_NB) == 0;
    must(taken == (inode->flocks == 0), "the flock of a file is not that of its regions");
    inode->locked = taken;
}

static void
step_file(void)
{
    size_t file = (size_t)below(FILES);
    struct inode *inode = model.names[file];
    model.doing = "(file)";
    switch (below(8)) {
    case 0:
    case 1:
    case 2:
        resize(inode, inode->size - below(inode->size + 1));
        break;
    case 3:
        resize(inode, some_file_size());
        break;
    case 4:
    case 5:
        rewrite(inode);
        break;
    case 6:
        toggle_lock(inode);
        break;
    default:
        if (one_in(4)) {
            replace(file);
        }
        break;
    }
}

/* ----------------------------------------------------------------------------------------------------- regions -- */

static struct region *
find_region(mmg_handle handle)
{
    for (size_t index = 0; handle != 0 && index < REGIONS; index++) {
        if (model.regions[index].used && model.regions[index].handle == handle) {
            return &model.regions[index];
        }
    }
    return NULL;
}

static struct region *
free_region(void)
{
    for (size_t index = 0; index < REGIONS; index++) {
        if (!model.regions[index].used) {
            return &model.regions[index];
        }
    }
    return NULL;
}

static struct region *
some_region(void)
{
    size_t start = (size_t)below(REGIONS);
    for (size_t step = 0; step < REGIONS; step++) {
        struct region *region = &model.regions[(start + step) % REGIONS];
        if (region->used && region->handle != 0) {
            return region;
        }
    }
    return NULL;
}

/** Returns a handle. Most are live, many are closed, and some are wrong in any other way. */
static mmg_handle
some_handle(void)
{
    const struct region *region = some_region();
    mmg_handle live = region == NULL ? 1 : region->handle;
    switch (below(20)) {
    case 0:
    case 1:
        return model.stale[below(STALE)];
    case 2:
        return live ^ (UINT64_C(1) << below(64));
    case 3:
        return live + below(7) - 3;
    case 4:
        return draw(8) >> below(64);
    case 5:
        return (uint64_t)(float)live;
    default:
        return live;
    }
}

/** Gives an adopted mapping back to its owner. Pages that were lost meanwhile stay zeros. */
static void
foreigner_return(const struct region *region)
{
    struct foreigner *f = region->foreigner;
    uint64_t start = region->offset - region->offset % region->page;
    for (uint64_t at = 0; at < region->mapped; at += region->page) {
        if (region->zeroed != NONE && at / region->page >= region->zeroed) {
            uint64_t place = start - f->offset + at;
            f->shown[place / model.page] = SHOWN_ZERO;
            memset(f->own + place, 0, (size_t)model.page);
        }
    }
    f->region = NULL;
}

static void
region_end(struct region *region)
{
    if (region->foreigner != NULL) {
        foreigner_return(region);
    }
    if (region->has_flock) {
        region->inode->flocks--;
    }
    inode_release(region->inode);
    free(region->copy);
    memset(region, 0, sizeof *region);
}

/** Returns how many bytes of the region the file still has. */
static uint64_t
bytes_left(const struct region *region)
{
    uint64_t end = region->inode->size;
    uint64_t left = end > region->offset ? end - region->offset : 0;
    return left < region->size ? left : region->size;
}

/** Returns how many bytes of the mapping are before the region. */
static uint64_t
lead(const struct region *region)
{
    return region->offset % region->page;
}

/** Returns the first page of the mapping that lies wholly behind the end of the file. */
static uint64_t
first_missing_page(const struct region *region)
{
    uint64_t start = region->offset - lead(region);
    uint64_t end = region->inode->size;
    return end <= start ? 0 : (end - start + region->page - 1) / region->page;
}

static bool
is_known_lost(const struct region *region, uint64_t offset, uint64_t length)
{
    return region->lost != NONE && length > 0 && offset + length > region->lost;
}

/** Records that the library knows now that the bytes behind the end of the file are lost. */
static void
learn_loss(struct region *region)
{
    uint64_t left = bytes_left(region);
    if (left < region->size && left < region->lost) {
        region->lost = left;
    }
}

/**
 * Updates the model by what the library knows now. With `may`, the library may also know the present end of the file.
 */
static void
sync_losses(struct region *region, bool may)
{
    mmg_info info = MMG_INFO_INIT;
    if (region->page == 0 || region->handle == 0) {
        return;
    }
    must(mmg_info_get(region->handle, &info) == MMG_OK, "mmg_info_get fails");
    if (may && info.fault_offset != region->lost) {
        learn_loss(region);
    }
    must_equal(info.fault_offset, region->lost, "fault_offset");
    must(info.fault_cause == (region->lost == NONE ? MMG_OK : MMG_E_TRUNCATED), "the cause of the loss is wrong");
    if (may && info.faults == region->faults + 1) {
        region->faults++;
        region->zeroed = region->zeroed < first_missing_page(region) ? region->zeroed : first_missing_page(region);
    }
    must_equal(info.faults, region->faults, "faults");
}

/* ----------------------------------------------------------------------------------------------------- opening -- */

/** The options of a caller of some release, and their meaning. */
struct request {
    union {
        mmg_options options;
        uint8_t bytes[ROOM];
    } given;
    bool is_null;
    mmg_options meant; /* with defaults for the members that the caller does not know */
};

static bool
is_size_of(uint32_t size, uint32_t first)
{
    return size >= first && size <= LARGEST_STRUCT && size % 8 == 0;
}

/** Returns a size for a struct with the full size `full`: the right, an older, a newer or an invalid one. */
static uint32_t
some_struct_size(uint32_t full)
{
    switch (below(12)) {
    case 0:
        return (uint32_t)draw(4) >> below(32);
    case 1:
        return full - (uint32_t)below(full);
    case 2:
        return full + (uint32_t)below(64);
    case 3:
        return full / 4 * (uint32_t)below(5);
    default:
        return full;
    }
}

/* In release 1.0 every struct has its first size. */
#define IS_SIZE_OF(size, type) is_size_of((size), (uint32_t)sizeof(type))

static uint32_t
some_value(uint32_t known)
{
    return one_in(40) ? (uint32_t)draw(4) : (uint32_t)below(known + 1);
}

static void
make_request(struct request *request, uint64_t file_size, struct expected *expected)
{
    mmg_options *options = &request->given.options;
    memset(request, 0, sizeof *request);
    request->meant = (mmg_options)MMG_OPTIONS_INIT;
    request->is_null = one_in(6);
    if (request->is_null) {
        return;
    }
    options->struct_size = some_struct_size((uint32_t)sizeof *options);
    options->backing = some_value(MMG_BACKING_COPY);
    options->guarantee = one_in(8) ? some_value(MMG_GUARANTEE_STABLE) : MMG_GUARANTEE_CONTAINED;
    options->lock = some_value(MMG_LOCK_NONE);
    options->lock_wait_ms = (uint32_t)below(2);
    options->access = one_in(4) ? some_value(MMG_ADVICE_POPULATE) : 0;
    options->flags = one_in(3) ? below(128) : one_in(40) ? draw(8) : 0;
    if (one_in(2)) {
        options->offset = some_offset(file_size);
        options->length = one_in(3) ? 0 : some_length(file_size, options->offset);
        options->length -= options->length == MMG_TO_END;
    }
    options->copy_threshold = one_in(2) ? 0 : some_offset(file_size);
    options->max_bytes = one_in(6) ? some_offset(file_size) : 0;
    options->max_snapshot_bytes = one_in(6) ? some_offset(file_size) : 0;
    uint32_t size = options->struct_size;
    if (!IS_SIZE_OF(size, mmg_options)) {
        expect(expected, MMG_E_ABI_SIZE);
        return;
    }
    if (size > sizeof *options && one_in(2)) {
        request->given.bytes[sizeof *options + below(size - sizeof *options)] = 1;
        expect(expected, MMG_E_ABI_NEWER);
    }
    memcpy((uint8_t *)&request->meant + 4, request->given.bytes + 4,
           (size < sizeof *options ? size : sizeof *options) - 4);
    const mmg_options *meant = &request->meant;
    if (meant->backing > MMG_BACKING_COPY || meant->guarantee > MMG_GUARANTEE_STABLE || meant->lock > MMG_LOCK_NONE ||
        meant->access > MMG_ADVICE_HUGEPAGE || meant->flags >= 2048 ||
        ((meant->flags & MMG_FLAG_REQUIRE_LOCK) != 0 && meant->lock == MMG_LOCK_NONE)) {
        expect(expected, MMG_E_ARGUMENT);
    }
}

/** Adds the statuses that are possible for this file and these options, when both are valid. */
static void
expect_of_file(const struct inode *inode, const mmg_options *meant, uint64_t start, bool streams,
               struct expected *expected)
{
    uint64_t size = inode->size > start ? inode->size - start : 0;
    uint64_t cap = meant->max_bytes == 0 ? UINT64_C(1) << 30 : meant->max_bytes;
    if (streams && (meant->flags & MMG_FLAG_REQUIRE_LOCK) != 0) {
        expect(expected, MMG_E_UNSUPPORTED);
        return;
    }
    if (!streams && meant->lock <= MMG_LOCK_SHARED && inode->locked) {
        expect(expected, MMG_E_WOULD_BLOCK);
    }
    if (streams && meant->backing == MMG_BACKING_MAP) {
        expect(expected, MMG_E_NOT_MAPPABLE);
    }
    if (meant->offset > size || meant->length > size - meant->offset) {
        expect(expected, MMG_E_RANGE);
        if (meant->length > cap) {
            expect(expected, MMG_E_TOO_BIG);
        }
        return;
    }
    uint64_t length = meant->length == 0 ? size - meant->offset : meant->length;
    if (length == 0 && (meant->flags & MMG_FLAG_REJECT_EMPTY) != 0) {
        expect(expected, MMG_E_EMPTY);
        if (size > 0) { /* the window is empty, although the file is not */
            expect(expected, MMG_OK);
        }
    }
    if (length > cap && (streams || meant->backing == MMG_BACKING_COPY)) {
        expect(expected, MMG_E_TOO_BIG);
    }
    if (meant->guarantee == MMG_GUARANTEE_STABLE && !streams && length > 0) {
        uint64_t snapshot = meant->max_snapshot_bytes == 0 ? UINT64_C(1) << 30 : meant->max_snapshot_bytes;
        if (meant->backing == MMG_BACKING_MAP || length > snapshot || length > cap) {
            expect(expected, MMG_E_UNSTABLE);
            expect(expected, MMG_OK);
        }
    }
}

static bool
may_succeed(const struct expected *expected)
{
    for (size_t index = 0; index < expected->count; index++) {
        if (expected->any[index] == MMG_OK) {
            return true;
        }
    }
    return expected->count == 0;
}

/** Adds an opened region to the model, and checks its description. */
static void
adopt(mmg_handle handle, struct inode *inode, const mmg_options *meant, uint64_t start, int file, bool streams)
{
    struct region *region = free_region();
    mmg_info info = MMG_INFO_INIT;
    uint64_t size = inode->size > start ? inode->size - start : 0;
    must(handle != 0 && handle < UINT64_C(1) << 53, "the handle is not below 2^53");
    must(find_region(handle) == NULL, "the handle is that of another region");
    for (size_t index = 0; index < STALE; index++) {
        must(model.stale[index] != handle, "the handle was issued before");
    }
    must(mmg_info_get(handle, &info) == MMG_OK, "mmg_info_get fails");
    *region = (struct region){.used = true,
                              .handle = handle,
                              .inode = inode,
                              .offset = meant->offset,
                              .file = file,
                              .lost = NONE,
                              .zeroed = NONE,
                              .opened = info};
    inode->users++;
    model.opened++;
    region->size = meant->length == 0 ? size - meant->offset : meant->length;
    must_equal(info.size, region->size, "size");
    must_equal(info.offset, meant->offset, "offset");
    must_equal(info.pins, 0, "pins");
    must_equal(info.faults, 0, "faults");
    must_equal(info.fault_offset, NONE, "fault_offset");
    must(info.fault_cause == MMG_OK, "fault_cause");
    must(info.lock_error == 0, "lock_error");
    must(streams || (info.file_size == inode->size && info.device == inode->device && info.inode == inode->number),
         "the identity of the file is wrong");
    region->may_support_changed = !streams;
    region->keeps_descriptor = (meant->flags & MMG_FLAG_REQUIRE_LOCK) != 0;
    region->supports_changed = !streams &&
                               (file >= 0 || info.guarantee != MMG_GUARANTEE_STABLE || region->keeps_descriptor);
    must(!(meant->guarantee == MMG_GUARANTEE_STABLE && info.guarantee != MMG_GUARANTEE_STABLE), "STABLE is not upheld");
    must(!(info.backing == MMG_BACKING_MAP && (meant->backing == MMG_BACKING_COPY || streams || region->size == 0)),
         "it is a mapping");
    must(!(info.backing == MMG_BACKING_COPY && meant->backing == MMG_BACKING_MAP && region->size > 0 && !streams),
         "it is a copy");
    if (info.backing == MMG_BACKING_COPY && (meant->flags & MMG_FLAG_REQUIRE_LOCK) == 0) {
        must_equal(info.lock, MMG_LOCK_NONE, "lock");
    } else if (info.guarantee != MMG_GUARANTEE_STABLE || info.lock != MMG_LOCK_NONE) { /* a snapshot needs no lock */
        must_equal(info.lock, meant->lock == MMG_LOCK_AUTO ? MMG_LOCK_SHARED : meant->lock, "lock");
    }
    region->has_flock = info.lock == MMG_LOCK_SHARED;
    inode->flocks += region->has_flock;
    must(!region->has_flock || !inode->locked, "the lock was held elsewhere");
    region->mapped = info.mapped_bytes;
    must((region->mapped > 0) == (info.backing == MMG_BACKING_MAP), "mapped_bytes do not fit the backing");
    if (info.guarantee == MMG_GUARANTEE_STABLE) {
        region->contained = true;
        region->copy = malloc(region->size + 1);
        must(region->copy != NULL, "no memory for the model");
        memcpy(region->copy, inode->bytes + start + region->offset, (size_t)region->size);
    } else {
        must(info.backing == MMG_BACKING_MAP, "a copy is stable");
        region->page = info.page_size;
        region->contained = info.guarantee == MMG_GUARANTEE_CONTAINED;
        must(region->contained == ((meant->flags & MMG_FLAG_NO_FAULT_GUARD) == 0), "the guarantee is wrong");
        must_equal(region->mapped, (lead(region) + region->size + region->page - 1) / region->page * region->page,
                   "mapped_bytes");
    }
    if (meant->backing == MMG_BACKING_AUTO && meant->copy_threshold != 0 && !streams && region->size > 0 &&
        meant->guarantee == MMG_GUARANTEE_CONTAINED && meant->max_bytes == 0) {
        must_equal(info.backing, region->size <= meant->copy_threshold ? MMG_BACKING_COPY : MMG_BACKING_MAP, "backing");
    }
}

/** Does the same for an adopted mapping. */
static void
adopt_foreigner(mmg_handle handle, struct foreigner *f, uint64_t at, uint64_t size, bool by_path)
{
    struct region *region = free_region();
    mmg_info info = MMG_INFO_INIT;
    uint64_t offset = f->offset + at;
    uint64_t left = f->inode->size - offset;
    must(handle < UINT64_C(1) << 53 && find_region(handle) == NULL, "the handle is invalid, or that of another region");
    must(mmg_info_get(handle, &info) == MMG_OK, "mmg_info_get fails");
    *region = (struct region){.used = true,
                              .handle = handle,
                              .inode = f->inode,
                              .offset = offset,
                              .size = size < left ? size : left,
                              .page = info.page_size,
                              .mapped = info.mapped_bytes,
                              .contained = true,
                              .file = by_path ? f->file : -1,
                              .supports_changed = true,
                              .may_support_changed = true,
                              .lost = NONE,
                              .zeroed = NONE,
                              .base = f->base + at,
                              .foreigner = f,
                              .opened = info};
    f->region = region;
    f->inode->users++;
    model.opened++;
    must_equal(info.size, region->size, "size");
    must_equal(info.offset, offset, "offset");
    must_equal(info.page_size, model.page, "page_size");
    must_equal(info.backing, MMG_BACKING_ADOPTED, "backing");
    must_equal(info.guarantee, MMG_GUARANTEE_CONTAINED, "guarantee");
    must_equal(info.lock, MMG_LOCK_NONE, "lock");
    must_equal(info.fault_offset, NONE, "fault_offset");
    must(info.file_size == f->inode->size && info.device == f->inode->device && info.inode == f->inode->number,
         "the identity of the file is wrong");
    must_equal(region->mapped, (lead(region) + region->size + region->page - 1) / region->page * region->page,
               "mapped_bytes");
}

/** An error struct of a random size, or NULL. */
struct complaint {
    union {
        mmg_error error;
        uint8_t bytes[ROOM];
    } given;
    bool is_null;
};

static void
make_complaint(struct complaint *complaint, struct expected *expected)
{
    uint32_t size = one_in(4) ? some_struct_size((uint32_t)sizeof(mmg_error)) : (uint32_t)sizeof(mmg_error);
    complaint->is_null = one_in(3);
    if (complaint->is_null) {
        return;
    }
    memset(&complaint->given, 0x77, sizeof complaint->given);
    complaint->given.error.struct_size = size;
    if (!IS_SIZE_OF(size, mmg_error)) {
        expect(expected, MMG_E_ABI_SIZE);
        return;
    }
}

static void
check_complaint(const struct complaint *complaint, mmg_status status)
{
    const mmg_error *error = &complaint->given.error;
    uint32_t size = complaint->is_null ? 0 : error->struct_size;
    if (complaint->is_null || !IS_SIZE_OF(size, mmg_error)) {
        return;
    }
    for (size_t at = size; at < ROOM; at++) {
        must(complaint->given.bytes[at] == 0x77, "the error struct was written beyond its size");
    }
    for (size_t at = sizeof *error; at < size; at++) {
        must(complaint->given.bytes[at] == 0, "the unknown part of the error struct is not zero");
    }
    must(error->status == status, "the error struct has a wrong status");
    must(memchr(error->operation, 0, sizeof error->operation) != NULL, "the operation does not end with a NUL");
    must(memchr(error->message, 0, sizeof error->message) != NULL, "the message does not end with a NUL");
    must((error->message[0] == '\0') == (status == MMG_OK), "the message is wrong");
    must((error->operation[0] == '\0') == (status == MMG_OK), "the operation is wrong");
}

static void
step_open(void)
{
    static struct request request;
    static struct complaint complaint;
    struct expected expected = {.count = 0};
    size_t file = (size_t)below(FILES);
    struct inode *inode = model.names[file];
    unsigned way = (unsigned)below(16);
    uint64_t start = 0;
    mmg_handle handle = 4711;
    mmg_status status;
    if (free_region() == NULL) {
        return;
    }
    make_request(&request, inode->size, &expected);
    make_complaint(&complaint, &expected);
    const mmg_options *options = request.is_null ? NULL : &request.given.options;
    mmg_error *error = complaint.is_null ? NULL : &complaint.given.error;
    bool accepted = expected.count == 0;
    bool by_path = way < 10;
    bool streams = way >= 13;
    model.doing = by_path ? "mmg_open" : streams ? "mmg_read_fd" : "mmg_open_fd";
    snprintf(model.details, sizeof model.details,
             "file %zu of %" PRIu64 ", backing %u, flags %" PRIu64 ", window %" PRIu64 " + %" PRIu64 ", struct size %u",
             file, inode->size, request.meant.backing, request.meant.flags, request.meant.offset, request.meant.length,
             request.given.options.struct_size);
    if (streams) {
        start = below(inode->size + 1);
        must(lseek(inode->descriptor, (off_t)start, SEEK_SET) == (off_t)start, "lseek");
    }
    if (!by_path && !streams && accepted && (request.meant.flags & MMG_FLAG_NOFOLLOW) != 0) {
        expect(&expected, MMG_E_ARGUMENT);
        accepted = false;
    }
    if (way == 0) {
        expect(&expected, MMG_E_NOT_FOUND);
        status = mmg_open(model.missing, options, &handle, error);
    } else if (way == 1) {
        expect(&expected, MMG_E_NOT_MAPPABLE);
        status = mmg_open(model.directory, options, &handle, error);
    } else if (way == 2) {
        expect(&expected, MMG_E_ARGUMENT);
        status = mmg_open(NULL, options, &handle, error);
    } else {
        if (accepted) {
            expect_of_file(inode, &request.meant, start, streams, &expected);
        }
        status = way == 3   ? mmg_load(model.paths[file], options, &handle, error)
                 : by_path  ? mmg_open(model.paths[file], options, &handle, error)
                 : !streams ? mmg_open_fd(inode->descriptor, options, &handle, error)
                            : mmg_read_fd(inode->descriptor, options, &handle, error);
    }
    must_be(status, &expected);
    check_complaint(&complaint, status);
    must((status == MMG_OK) == (handle != 0), "there must be a handle exactly after a success");
    if (status == MMG_OK) {
        must(may_succeed(&expected), "the call must not succeed");
        adopt(handle, inode, &request.meant, start, by_path ? (int)file : -1, streams);
    }
}

static void
step_close(void)
{
    mmg_handle handle = some_handle();
    uint32_t flags = one_in(12) ? (uint32_t)draw(4) : (uint32_t)below(2);
    struct region *region = find_region(handle);
    struct expected expected = {.count = 0};
    model.doing = "mmg_close";
    snprintf(model.details, sizeof model.details, "%" PRIu64 ", %u", handle, flags);
    if (flags > MMG_CLOSE_STRICT) {
        expect(&expected, MMG_E_ARGUMENT);
    }
    if (region == NULL) {
        expect(&expected, MMG_E_HANDLE);
    } else if (flags == MMG_CLOSE_STRICT && region->pins > 0) {
        expect(&expected, MMG_E_BUSY);
    }
    mmg_status status = mmg_close(handle, flags);
    must_be(status, &expected);
    if (status == MMG_OK) {
        model.stale[model.stale_count++ % STALE] = handle;
        region->handle = 0;
        if (region->pins == 0) {
            region_end(region);
        }
    }
}

/* ----------------------------------------------------------------------------------------------------- reading -- */

static void
describe_range(mmg_handle handle, const struct region *region, uint64_t offset, uint64_t length)
{
    snprintf(model.details, sizeof model.details,
             "%" PRIu64 ", %" PRIu64 ", %" PRIu64 " of %" PRIu64 " bytes at %" PRIu64 "; %s, file of %" PRIu64
             ", lost from %" PRIu64,
             handle, offset, length, region == NULL ? 0 : region->size, region == NULL ? 0 : region->offset,
             region == NULL      ? "dead"
             : region->page == 0 ? "stable"
                                 : "mapping",
             region == NULL ? 0 : region->inode->size, region == NULL ? 0 : region->lost);
}

/** Adds the statuses that all calls on a range share, and resolves MMG_TO_END. Returns true when the range is valid. */
static bool
expect_range(const struct region *region, uint64_t offset, uint64_t *length, struct expected *expected)
{
    if (region == NULL) {
        expect(expected, MMG_E_HANDLE);
        return false;
    }
    if (offset > region->size) {
        expect(expected, MMG_E_RANGE);
        return false;
    }
    if (*length == MMG_TO_END) {
        *length = region->size - offset;
    }
    if (*length > region->size - offset) {
        expect(expected, MMG_E_RANGE);
        return false;
    }
    return true;
}

static struct pin *
free_pin(void)
{
    for (size_t index = 0; index < PINS; index++) {
        if (model.pins[index].span.pin == 0) {
            return &model.pins[index];
        }
    }
    return NULL;
}

static struct pin *
some_pin(void)
{
    size_t start = (size_t)below(PINS);
    for (size_t step = 0; step < PINS; step++) {
        struct pin *pin = &model.pins[(start + step) % PINS];
        if (pin->span.pin != 0) {
            return pin;
        }
    }
    return NULL;
}

static void
step_pin(void)
{
    mmg_handle handle = some_handle();
    struct region *region = find_region(handle);
    uint64_t size = region == NULL ? 1000 : region->size;
    uint64_t offset = some_offset(size);
    uint64_t length = some_length(size, offset);
    struct expected expected = {.count = 0};
    struct pin *pin = free_pin();
    bool forget = one_in(50);
    mmg_span span = {(const uint8_t *)&span, 77, 99};
    model.doing = "mmg_pin";
    describe_range(handle, region, offset, length);
    if (pin == NULL) {
        return;
    }
    if (forget) {
        expect(&expected, MMG_E_ARGUMENT);
    }
    uint64_t real = length;
    if (expect_range(region, offset, &real, &expected) && is_known_lost(region, offset, real)) {
        expect(&expected, MMG_E_TRUNCATED);
    }
    mmg_status status = mmg_pin(handle, offset, length, forget ? NULL : &span);
    must_be(status, &expected);
    if (status != MMG_OK) {
        must(span.data == (const uint8_t *)&span && span.size == 77 && span.pin == 99, "the span was touched");
        return;
    }
    must(span.data != NULL && span.pin != 0, "the span is not filled");
    must_equal(span.size, real, "the size of the span");
    for (size_t index = 0; index < PINS; index++) {
        must(model.pins[index].span.pin != span.pin, "the token is that of another pin");
    }
    if (real > 0) {
        must(region->base == NULL || span.data == region->base + offset, "the bytes have moved");
        region->base = span.data - offset;
    }
    region->pins++;
    *pin = (struct pin){.span = span, .region = region, .offset = offset};
}

/* An export is a pin that its receiver ends. Here that happens at once. */
static void
step_export(void)
{
    mmg_handle handle = some_handle();
    struct region *region = find_region(handle);
    uint64_t size = region == NULL ? 1000 : region->size;
    uint64_t offset = some_offset(size);
    uint64_t length = some_length(size, offset);
    struct expected expected = {.count = 0};
    bool forget = one_in(50);
    struct ArrowArray array = {.length = -77};
    struct ArrowSchema schema = {.flags = -77};
    model.doing = "mmg_export_arrow";
    describe_range(handle, region, offset, length);
    if (forget) {
        expect(&expected, MMG_E_ARGUMENT);
    }
    uint64_t real = length;
    if (expect_range(region, offset, &real, &expected) && is_known_lost(region, offset, real)) {
        expect(&expected, MMG_E_TRUNCATED);
    }
    mmg_status status = mmg_export_arrow(handle, offset, length, forget ? NULL : &array, one_in(3) ? NULL : &schema);
    must_be(status, &expected);
    if (status != MMG_OK) {
        must(array.length == -77 && schema.flags == -77, "the array or the schema was touched");
        return;
    }
    must_equal((uint64_t)array.length, real, "the length of the array");
    must(array.n_buffers == 2 && array.buffers[1] != NULL && array.release != NULL, "the array is not filled");
    must(real == 0 || region->base == NULL || array.buffers[1] == region->base + offset, "the bytes have moved");
    struct ArrowArray elsewhere = array;
    elsewhere.release(&elsewhere);
    must(elsewhere.release == NULL, "the array is not marked released");
    if (schema.release != NULL) {
        schema.release(&schema);
    }
}

static void
step_unpin(void)
{
    struct pin *pin = some_pin();
    struct expected expected = {.count = 0};
    mmg_span span = MMG_SPAN_INIT;
    unsigned way = (unsigned)below(12);
    model.doing = "mmg_unpin";
    model.details[0] = '\0';
    if (pin == NULL || way < 3) {
        /* An empty span, a token that was valid before, or one that never was. */
        uint8_t byte = 0;
        span.data = one_in(2) ? NULL : &byte;
        span.size = one_in(2) ? below(100) : draw(8);
        span.pin = way == 0 ? 0 : way == 1 ? model.stale_tokens[below(STALE)] : draw(8) >> below(64);
        if (pin != NULL && one_in(3)) {
            span.pin = pin->span.pin ^ (UINT64_C(1) << below(64));
        }
        for (size_t index = 0; index < PINS; index++) {
            if (model.pins[index].span.pin == span.pin) {
                span.pin = 0;
            }
        }
        if (span.pin != 0) {
            expect(&expected, MMG_E_HANDLE);
        }
        must_be(mmg_unpin(&span), &expected);
        must(mmg_unpin(NULL) == MMG_E_ARGUMENT, "NULL is no span");
        return;
    }
    struct region *region = pin->region;
    span = pin->span;
    describe_range(region->handle, region, pin->offset, span.size);
    if (is_known_lost(region, pin->offset, span.size)) {
        expect(&expected, MMG_E_TRUNCATED);
    }
    mmg_span copy = span;
    must_be(mmg_unpin(&span), &expected);
    must(span.data != NULL && span.size == 0 && span.pin == 0, "the span is not empty after unpin");
    must(mmg_unpin(&span) == MMG_OK, "unpin is not harmless when repeated");
    model.stale_tokens[model.stale_token_count++ % STALE] = copy.pin;
    pin->span.pin = 0;
    if (--region->pins == 0 && region->handle == 0) {
        region_end(region);
    }
    must(mmg_unpin(&copy) == MMG_E_HANDLE, "a copy could be unpinned");
}

/**
 * Returns the byte of a region that a reader sees now. Sets `*any` when a lost byte was not replaced, so that it may be
 * that of the file or zero.
 */
static uint8_t
byte_of(const struct region *region, uint64_t at, bool *any)
{
    *any = false;
    if (region->page == 0) {
        return region->copy[at];
    }
    if (region->zeroed != NONE && (lead(region) + at) / region->page >= region->zeroed) {
        return 0;
    }
    *any = region->lost != NONE && at >= region->lost;
    return region->inode->bytes[region->offset + at];
}

/** Reads a part of a span, and predicts the fault if there is one. */
static void
step_touch(void)
{
    const struct pin *pin = some_pin();
    model.doing = "(touch)";
    if (pin == NULL || pin->span.size == 0) {
        return;
    }
    struct region *region = pin->region;
    uint64_t from = below(pin->span.size);
    uint64_t size = 1 + below(pin->span.size - from < 300 ? pin->span.size - from : 300);
    uint64_t step = one_in(8) ? 509 : 1;
    describe_range(region->handle, region, pin->offset + from, size * step);
    for (uint64_t index = 0; index < size && from + index * step < pin->span.size; index++) {
        uint64_t at = pin->offset + from + index * step;
        if (region->page != 0) {
            uint64_t page = (lead(region) + at) / region->page;
            uint64_t missing = first_missing_page(region);
            if (page >= missing && page < region->zeroed) {
                if (!region->contained) {
                    return; /* this fault would kill the process, as documented */
                }
                learn_loss(region);
                region->zeroed = missing;
                region->faults++;
            }
        }
        uint8_t byte = ((const volatile uint8_t *)pin->span.data)[at - pin->offset];
        bool any;
        uint8_t expected = byte_of(region, at, &any);
        if (byte != expected && !(any && byte == 0)) {
            char text[128];
            snprintf(text, sizeof text, "byte %" PRIu64 " is %02x, not %02x", at, byte, expected);
            disagree(text);
        }
    }
    sync_losses(region, false);
}

static void
step_read(void)
{
    static uint8_t buffer[CAPACITY + 16];
    mmg_handle handle = some_handle();
    struct region *region = find_region(handle);
    uint64_t offset = some_offset(region == NULL ? 1000 : region->size);
    uint64_t size = one_in(4) ? some_offset(region == NULL ? 1000 : region->size) : below(3000);
    struct expected expected = {.count = 0};
    uint64_t got = 0xabcdef;
    bool regrown = false;
    uint64_t want = 0;
    uint64_t present = 0;
    model.doing = "mmg_read";
    describe_range(handle, region, offset, size);
    uint64_t length = 0;
    if (expect_range(region, offset, &length, &expected)) {
        want = region->size - offset < size ? region->size - offset : size;
        present = want;
        if (region->page != 0) {
            uint64_t left = bytes_left(region);
            present = left <= offset ? 0 : left - offset < want ? left - offset : want;
            regrown = is_known_lost(region, offset, want) && present == want;
            if (present < want) {
                expect(&expected, MMG_E_TRUNCATED);
            } else if (regrown) { /* bytes were cut off and are back, so they may be reported as lost */
                expect(&expected, MMG_OK);
                expect(&expected, MMG_E_TRUNCATED);
            }
        }
    }
    memset(buffer, 0xee, (size_t)want + 1);
    mmg_status status = mmg_read(handle, offset, buffer, size, &got);
    must_be(status, &expected);
    if (status != MMG_OK && status != MMG_E_TRUNCATED) {
        must_equal(got, 0xabcdef, "got");
        return;
    }
    /* When the bytes are read from the mapping, those behind a known loss are lost, whatever the file has now. */
    bool keeps_losses = region->foreigner != NULL && !region->foreigner->is_shared &&
                        is_known_lost(region, offset, want);
    if ((regrown || keeps_losses) && status == MMG_E_TRUNCATED) {
        must(got < want && (got <= present || regrown), "a loss was reported although all bytes were read");
    } else {
        must_equal(got, present, "got");
    }
    const uint8_t *truth = region->page == 0 ? region->copy + offset : region->inode->bytes + region->offset + offset;
    must(got == 0 || memcmp(buffer, truth, (size_t)got) == 0, "the bytes that were read are wrong");
    must(buffer[want] == 0xee, "the call has written more than it should read");
    sync_losses(region, status == MMG_E_TRUNCATED);
}

/** Returns the first position of a needle, by a simple search, or NONE. */
static uint64_t
naive(const uint8_t *bytes, uint64_t size, const uint8_t *needle, uint64_t needle_size)
{
    for (uint64_t at = 0; needle_size <= size && at <= size - needle_size; at++) {
        if (memcmp(bytes + at, needle, (size_t)needle_size) == 0) {
            return at;
        }
    }
    return NONE;
}

static void
step_find(void)
{
    mmg_handle handle = some_handle();
    struct region *region = find_region(handle);
    uint64_t size = region == NULL ? 1000 : region->size;
    uint64_t offset = some_offset(size);
    uint64_t length = one_in(3) ? some_length(size, offset) : below(2000);
    uint8_t needle[48];
    uint64_t needle_size = below(41);
    struct expected expected = {.count = 0};
    uint64_t position = 0xabcdef;
    uint64_t first = NONE;
    uint64_t unseen = NONE;
    bool may_learn = false;
    model.doing = "mmg_find";
    describe_range(handle, region, offset, length);
    memset(needle, (int)below(4), sizeof needle);
    uint64_t real = length;
    if (expect_range(region, offset, &real, &expected)) {
        const uint8_t *truth = region->page == 0 ? region->copy + offset
                                                 : region->inode->bytes + region->offset + offset;
        uint64_t left = region->page == 0 ? region->size : bytes_left(region);
        uint64_t present = left <= offset ? 0 : left - offset < real ? left - offset : real;
        if (one_in(2) && present > 0) { /* a needle that occurs, perhaps with a wrong end */
            uint64_t at = below(present);
            uint64_t part = present - at < needle_size ? present - at : needle_size;
            memcpy(needle, truth + at, (size_t)part);
        }
        first = needle_size == 0 ? 0 : naive(truth, present, needle, needle_size);
        may_learn = left < region->size;
        if (is_known_lost(region, offset, real)) {
            expect(&expected, MMG_E_TRUNCATED);
        } else if (present < real) {
            /* A search for a long needle need not read the bytes behind the last position at which the needle can
               start. */
            uint64_t last = needle_size > real ? 0 : real - needle_size;
            bool faults = (lead(region) + offset + last) / region->page >= first_missing_page(region);
            if (first == NONE && needle_size > 0) { /* the search may find zeros behind the end of the file */
                unseen = naive(truth, real, needle, needle_size);
            }
            expect(&expected, MMG_E_TRUNCATED);
            if (first != NONE || unseen != NONE || needle_size == 0 || needle_size > real || !faults) {
                expect(&expected, MMG_OK);
            }
        }
        if (!region->contained && region->zeroed == NONE && present < real) {
            return;
        }
    }
    mmg_status status = mmg_find(handle, offset, length, needle, needle_size, &position);
    must_be(status, &expected);
    if (status == MMG_OK && unseen != NONE && position == offset + unseen) {
        /* The library notices a cut inside a page when it looks at the file the next time. */
    } else if (status == MMG_OK) {
        must_equal(position, first == NONE ? MMG_NOT_FOUND : offset + first, "the position");
    } else {
        must_equal(position, 0xabcdef, "the position");
    }
    if (region != NULL) {
        sync_losses(region, may_learn);
    }
}

/* ------------------------------------------------------------------------------------------------------- state -- */

static void
step_check(void)
{
    mmg_handle handle = some_handle();
    struct region *region = find_region(handle);
    struct expected expected = {.count = 0};
    model.doing = "mmg_check";
    describe_range(handle, region, 0, 0);
    if (region == NULL) {
        expect(&expected, MMG_E_HANDLE);
    } else if (region->page != 0) {
        learn_loss(region);
        if (region->lost != NONE) {
            expect(&expected, MMG_E_TRUNCATED);
        }
    }
    must_be(mmg_check(handle), &expected);
    if (region != NULL) {
        sync_losses(region, false);
    }
}

static void
step_info(void)
{
    static union {
        mmg_info info;
        uint8_t bytes[ROOM];
    } given;
    mmg_handle handle = some_handle();
    const struct region *region = find_region(handle);
    struct expected expected = {.count = 0};
    uint32_t size = some_struct_size((uint32_t)sizeof(mmg_info));
    model.doing = "mmg_info_get";
    describe_range(handle, region, 0, size);
    memset(&given, 0x55, sizeof given);
    given.info.struct_size = size;
    if (!IS_SIZE_OF(size, mmg_info)) {
        expect(&expected, MMG_E_ABI_SIZE);
        size = 4;
    }
    if (region == NULL) {
        expect(&expected, MMG_E_HANDLE);
    }
    mmg_status status = mmg_info_get(handle, &given.info);
    must_be(status, &expected);
    for (size_t at = size; at < ROOM; at++) {
        must(given.bytes[at] == 0x55, "the struct was written beyond its size");
    }
    if (status == MMG_OK && size >= sizeof(mmg_info)) {
        must_equal(given.info.struct_size, size, "struct_size");
        must_equal(given.info.pins, region->pins, "pins");
        must_equal(given.info.size, region->size, "size");
        must_equal(given.info.faults, region->faults, "faults");
        must_equal(given.info.fault_offset, region->lost, "fault_offset");
        must_equal(given.info.mapped_bytes, region->mapped, "mapped_bytes");
        must_equal(given.info.heap_bytes, region->opened.heap_bytes, "heap_bytes");
    }
}

static void
step_changed(void)
{
    mmg_handle handle = some_handle();
    const struct region *region = find_region(handle);
    struct expected expected = {.count = 0};
    uint32_t what = 0xabcdef;
    uint32_t truth = 0;
    bool known = true;
    model.doing = "mmg_changed";
    describe_range(handle, region, 0, 0);
    if (region == NULL) {
        expect(&expected, MMG_E_HANDLE);
    } else if (!region->supports_changed) {
        expect(&expected, MMG_E_UNSUPPORTED);
        if (region->may_support_changed && region->mapped > 0) {
            expect(&expected, MMG_OK);
        }
    }
    if (region != NULL && region->may_support_changed) {
        struct stat now;
        bool moved = region->file >= 0 && model.names[region->file] != region->inode;
        must(fstat(region->inode->descriptor, &now) == 0, "fstat");
        truth = moved ? MMG_CHANGED_PATH : 0;
        known = !moved || region->page != 0 || region->keeps_descriptor;
        if (known || region->mapped > 0) {
            truth |= (uint64_t)now.st_size != region->opened.file_size ? (uint32_t)MMG_CHANGED_SIZE : 0;
            truth |= now.st_mtim.tv_sec != region->opened.mtime_seconds ||
                             now.st_mtim.tv_nsec != region->opened.mtime_nanoseconds
                         ? (uint32_t)MMG_CHANGED_MTIME
                         : 0;
            truth |= now.st_ctim.tv_sec != region->opened.ctime_seconds ||
                             now.st_ctim.tv_nsec != region->opened.ctime_nanoseconds
                         ? (uint32_t)MMG_CHANGED_CTIME
                         : 0;
        }
    }
    mmg_status status = mmg_changed(handle, &what);
    must_be(status, &expected);
    if (status == MMG_OK && !known && what == MMG_CHANGED_PATH) {
        return; /* nothing is known about the file that had this path */
    }
    must_equal(what, status == MMG_OK ? truth : 0xabcdef, "what changed");
}

static void
step_advise(void)
{
    mmg_handle handle = some_handle();
    struct region *region = find_region(handle);
    uint64_t size = region == NULL ? 1000 : region->size;
    uint64_t offset = some_offset(size);
    uint64_t length = some_length(size, offset);
    uint32_t advice = some_value(MMG_ADVICE_POPULATE + 1);
    struct expected expected = {.count = 0};
    model.doing = "mmg_advise";
    describe_range(handle, region, offset, length);
    uint64_t real = length;
    if (advice > MMG_ADVICE_POPULATE) {
        expect(&expected, MMG_E_ARGUMENT);
    }
    bool good = expect_range(region, offset, &real, &expected);
    if (good && advice == MMG_ADVICE_POPULATE && region->page != 0) {
        if (real > 0 && (offset + real > bytes_left(region) || is_known_lost(region, offset, real))) {
            uint64_t first = (lead(region) + offset) / region->page;
            uint64_t last = (lead(region) + offset + real - 1) / region->page;
            uint64_t missing = first_missing_page(region);
            expect(&expected, MMG_E_TRUNCATED);
            if (last < missing || first >= region->zeroed ||
                region->zeroed <= missing) { /* none is missing in the range */
                expect(&expected, MMG_OK);
            }
        }
        if (!model.can_populate) {
            expect(&expected, MMG_E_UNSUPPORTED);
        }
    }
    mmg_status status = mmg_advise(handle, offset, length, advice);
    must_be(status, &expected);
    if (region != NULL) {
        sync_losses(region, good && advice == MMG_ADVICE_POPULATE && real > 0);
    }
    if (region != NULL && region->foreigner != NULL) {
        region->foreigner->has_parts = true;
    }
}

static void
step_resident(void)
{
    mmg_handle handle = some_handle();
    const struct region *region = find_region(handle);
    uint64_t size = region == NULL ? 1000 : region->size;
    uint64_t offset = some_offset(size);
    uint64_t length = some_length(size, offset);
    struct expected expected = {.count = 0};
    uint64_t bytes = NONE;
    model.doing = "mmg_resident";
    describe_range(handle, region, offset, length);
    uint64_t real = length;
    expect_range(region, offset, &real, &expected);
    mmg_status status = mmg_resident(handle, offset, length, &bytes);
    must_be(status, &expected);
    if (status == MMG_OK) {
        must(bytes <= real, "more bytes are resident than the range has");
        must(region->mapped != 0 || bytes == real, "a copy is not resident");
    } else {
        must_equal(bytes, NONE, "bytes");
    }
}

static void
check_stats(void)
{
    mmg_stats stats = MMG_STATS_INIT;
    uint64_t handles = 0;
    uint64_t regions = 0;
    uint64_t mappings = 0;
    uint64_t mapped = 0;
    uint64_t heap = 0;
    must(mmg_stats_get(&stats) == MMG_OK, "mmg_stats_get fails");
    for (size_t index = 0; index < REGIONS; index++) {
        const struct region *region = &model.regions[index];
        handles += region->handle != 0;
        regions += region->used;
        mappings += region->mapped != 0;
        mapped += region->mapped;
        heap += region->used ? region->opened.heap_bytes : 0;
    }
    must_equal(stats.handles, model.start.handles + handles, "handles");
    must_equal(stats.regions, model.start.regions + regions, "regions");
    must_equal(stats.mappings, model.start.mappings + mappings, "mappings");
    must_equal(stats.mapped_bytes, model.start.mapped_bytes + mapped, "mapped_bytes");
    must_equal(stats.heap_bytes, model.start.heap_bytes + heap, "heap_bytes");
    must_equal(stats.opened, model.start.opened + model.opened, "opened");
    must_equal(stats.foreign_faults, model.start.foreign_faults, "foreign_faults");
    must_equal(stats.losses_foreign, model.start.losses_foreign + model.foreign_losses, "losses_foreign");
    must_equal(stats.losses_truncated + stats.losses_io + stats.losses_poisoned + stats.losses_unstable, stats.losses,
               "the sum over the causes of losses");
}

/* ----------------------------------------------------------------------------------- mappings that others made -- */

static struct foreigner *
some_foreigner(void)
{
    size_t start = (size_t)below(FOREIGNERS);
    for (size_t step = 0; step < FOREIGNERS; step++) {
        struct foreigner *f = &model.foreigners[(start + step) % FOREIGNERS];
        if (f->base != NULL && f->region == NULL) {
            return f;
        }
    }
    return NULL;
}

static void
describe_foreigner(const struct foreigner *f, uint64_t at, uint64_t size)
{
    snprintf(model.details, sizeof model.details,
             "%" PRIu64 " bytes at %" PRIu64 " of a %s %s mapping of %" PRIu64 " bytes at %" PRIu64
             ", file of %" PRIu64,
             size, at, f->is_shared ? "shared" : "private", f->is_writable ? "writable" : "read-only", f->size,
             f->offset, f->inode->size);
}

/**
 * Maps a file as any program would, often beyond its end. A separate descriptor keeps the kernel from joining it with
 * other mappings. The page behind it belongs to no file: otherwise a mapping that continues the file may follow, and a
 * larger part than this mapping could be adopted.
 */
static void
step_map_foreign(void)
{
    struct foreigner *f = NULL;
    for (size_t index = 0; index < FOREIGNERS && f == NULL; index++) {
        f = model.foreigners[index].base == NULL ? &model.foreigners[index] : NULL;
    }
    if (f == NULL) {
        return;
    }
    const uint64_t pages = CAPACITY / model.page;
    memset(f, 0, sizeof *f);
    f->file = (int)below(FILES);
    f->inode = model.names[f->file];
    f->offset = one_in(2) ? 0 : below(pages) * model.page;
    f->size = (1 + below(pages - f->offset / model.page)) * model.page;
    f->is_shared = one_in(2);
    f->is_writable = one_in(3);
    model.doing = "mmap";
    describe_foreigner(f, 0, f->size);
    int descriptor = open(model.paths[f->file], (f->is_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
    must(descriptor >= 0, "a file cannot be opened");
    void *base = mmap(NULL, (size_t)(f->size + model.page), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(base != MAP_FAILED, "there is no room");
    must(mmap(base, (size_t)f->size, f->is_writable ? PROT_READ | PROT_WRITE : PROT_READ,
              (f->is_shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, descriptor, (off_t)f->offset) == base,
         "a file cannot be mapped");
    close(descriptor);
    f->base = base;
    f->inode->users++;
}

static void
unmap_foreign(struct foreigner *f)
{
    must(munmap(f->base, (size_t)(f->size + model.page)) == 0, "munmap");
    inode_release(f->inode);
    f->base = NULL;
    f->inode = NULL;
}

static void
step_unmap_foreign(void)
{
    struct foreigner *f = some_foreigner();
    model.doing = "munmap";
    if (f != NULL) {
        describe_foreigner(f, 0, f->size);
        unmap_foreign(f);
    }
}

static void
step_guard(void)
{
    uint32_t scope = one_in(20) ? (uint32_t)draw(4) : (uint32_t)below(2);
    uint32_t flags = one_in(20) ? (uint32_t)draw(4) : (uint32_t)below(2);
    struct expected expected = {.count = 0};
    if (scope == MMG_SCOPE_FILES && flags <= 3) { /* a previous handler would end the process */
        flags &= ~(uint32_t)MMG_PROCESS_CHAIN_FIRST;
    }
    model.doing = "mmg_guard_process";
    snprintf(model.details, sizeof model.details, "%u, %u", scope, flags);
    if (scope == MMG_SCOPE_FILES && !model.can_ask) {
        expect(&expected, MMG_E_UNSUPPORTED);
    } else if (scope > MMG_SCOPE_FILES || flags > 1 || (scope == MMG_SCOPE_NONE && model.guards[flags] == 0)) {
        expect(&expected, MMG_E_ARGUMENT);
    }
    mmg_status status = mmg_guard_process(scope, flags);
    must_be(status, &expected);
    if (status == MMG_OK && scope == MMG_SCOPE_FILES) {
        model.guards[flags]++;
    } else if (status == MMG_OK) {
        model.guards[flags]--;
    }
}

static bool
is_guarded(const struct foreigner *f)
{
    bool is_taken = !f->is_shared || !f->is_writable || model.guards[MMG_PROCESS_SHARED_WRITABLE] > 0;
    return is_taken && (model.guards[0] > 0 || model.guards[MMG_PROCESS_SHARED_WRITABLE] > 0);
}

static uint64_t
newest_loss(void)
{
    uint64_t count = 77;
    uint64_t next = 0;
    must(mmg_losses_get(0, NULL, 0, &count, &next) == MMG_OK && count == 0, "there is no mark");
    return next;
}

/**
 * Checks the ledger after a page behind the end of the file was touched: all bytes of that mapping behind the end are
 * lost, and one record says so.
 */
static void
lose_foreign(struct foreigner *f, uint64_t place, uint64_t missing, uint64_t mark)
{
    mmg_loss loss = MMG_LOSS_INIT;
    uint64_t count = 0;
    uint64_t next = 0;
    uint64_t first = place;
    uint64_t end = place;
    bool is_named = model.names[f->file] == f->inode;
    while (first > 0 && f->shown[first - 1] != SHOWN_ZERO) {
        first--;
    }
    while (end < f->size / model.page && f->shown[end] != SHOWN_ZERO) {
        end++;
    }
    uint64_t zeroed = missing > first ? missing : first;
    uint64_t lost = f->offset + zeroed * model.page;
    if (is_named && f->inode->size > f->offset + first * model.page) { /* otherwise the guard knows only whole pages */
        lost = f->inode->size;
    }
    model.foreign_losses++;
    must(mmg_losses_get(mark, &loss, 1, &count, &next) == MMG_OK, "the ledger cannot be read");
    must_equal(count, 1, "the number of losses");
    must_equal(newest_loss(), mark + 1, "the number of the last loss");
    must_equal(loss.sequence, mark + 1, "the number of the loss");
    must(loss.cause == MMG_E_TRUNCATED && loss.origin == MMG_ORIGIN_FOREIGN && loss.handle == 0,
         "the record is about another loss");
    must_equal(loss.inode, f->inode->number, "the file of the loss");
    if (f->has_parts) {
        must(loss.offset >= lost && loss.offset <= f->offset + place * model.page,
             "the offset of the partial loss is wrong");
        must(loss.length <= f->offset + end * model.page - loss.offset, "the partial loss is too long");
        lost = loss.offset;
        zeroed = (lost - f->offset + model.page - 1) / model.page;
        end = (lost + loss.length - f->offset) / model.page;
        must(zeroed <= place && end > place, "the page is not lost");
    }
    must_equal(loss.offset, lost, "the offset of the loss");
    must_equal(loss.length, f->offset + end * model.page - lost, "the length of the loss");
    must(loss.address == (uintptr_t)f->base + (lost - f->offset), "the address of the loss");
    must(strcmp(loss.path, model.paths[f->file]) == 0, "the path of the loss");
    for (uint64_t page = zeroed; page < end; page++) {
        f->shown[page] = SHOWN_ZERO;
        memset(f->own + page * model.page, 0, (size_t)model.page);
    }
}

static void
store_foreign(struct foreigner *f, uint64_t at, uint8_t value)
{
    uint64_t start = at - at % model.page;
    uint8_t *shown = &f->shown[at / model.page];
    if (*shown == SHOWN_FILE && f->is_shared) {
        f->inode->is_fresh = false;
        f->inode->bytes[f->offset + at] = value;
        return;
    }
    if (*shown == SHOWN_FILE) {
        memcpy(f->own + start, f->inode->bytes + f->offset + start, (size_t)model.page);
        *shown = SHOWN_OWN;
    }
    f->own[at] = value;
}

/** Reads or writes a byte of a mapping of other code, and predicts the fault if there is one. */
static void
step_touch_foreign(void)
{
    struct foreigner *f = some_foreigner();
    model.doing = "(foreign touch)";
    if (f == NULL) {
        return;
    }
    uint64_t at = below(f->size);
    uint64_t place = at / model.page;
    uint64_t end = f->inode->size;
    uint64_t missing = end <= f->offset ? 0 : (end - f->offset + model.page - 1) / model.page;
    bool is_lost = f->shown[place] == SHOWN_FILE && place >= missing;
    /* When the file ends in this page, bytes that are stored behind its end may disappear, so the model does not store
       there. */
    bool stores = f->is_writable && one_in(3) && (is_lost || f->offset + at < end || f->shown[place] != SHOWN_FILE);
    uint8_t value = (uint8_t)draw(1);
    describe_foreigner(f, at, 1);
    if (is_lost && !is_guarded(f)) {
        return; /* this fault would kill the process, as documented */
    }
    if (is_lost && !model.can_ask_pages && model.names[f->file] != f->inode) {
        return; /* the file has no path, so that only its pages tell where it ends */
    }
    const uint64_t mark = newest_loss();
    volatile uint8_t *byte = f->base + at;
    if (stores) {
        *byte = value;
    }
    uint8_t found = *byte;
    if (is_lost) {
        lose_foreign(f, place, missing, mark);
    } else {
        must_equal(newest_loss(), mark, "the number of losses");
    }
    if (stores) {
        store_foreign(f, at, value);
    }
    must_equal(found, f->shown[place] == SHOWN_FILE ? f->inode->bytes[f->offset + at] : f->own[at], "the byte");
}

/** Adds the statuses that are possible when a part of a mapping is adopted. */
static void
expect_adoption(const struct foreigner *f, uint64_t at, uint64_t size, bool by_path, uint64_t flags,
                struct expected *expected)
{
    if (size == 0) {
        expect(expected, MMG_E_RANGE);
        return;
    }
    if (f->is_shared && f->is_writable && !(flags & MMG_FLAG_SHARED_WRITABLE)) {
        expect(expected, MMG_E_NOT_MAPPABLE);
    }
    if (size > f->size - at) {
        expect(expected, MMG_E_RANGE);
        expect(expected, MMG_E_NOT_MAPPABLE); /* the page behind it, or what follows that page */
        return;
    }
    for (uint64_t page = at / model.page; page <= (at + size - 1) / model.page; page++) {
        if (f->shown[page] == SHOWN_ZERO) {
            expect(expected, MMG_E_NOT_MAPPABLE);
            return;
        }
    }
    if (by_path && model.names[f->file] != f->inode) {
        expect(expected, MMG_E_NOT_FOUND);
    }
    if (f->inode->size <= f->offset + at) {
        expect(expected, MMG_E_TRUNCATED);
    }
}

static void
step_adopt(void)
{
    struct foreigner *f = some_foreigner();
    struct expected expected = {.count = 0};
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_handle handle = 4711;
    mmg_error error = MMG_ERROR_INIT;
    if (f == NULL || free_region() == NULL || !model.can_ask) {
        return;
    }
    for (uint64_t page = 0; page < f->size / model.page; page++) {
        if (f->shown[page] == SHOWN_OWN) {
            return; /* in the model a region must show its file */
        }
    }
    uint64_t at = one_in(3) ? 0 : below(f->size);
    uint64_t size = some_length(f->size, at);
    bool by_path = one_in(2);
    options.flags = one_in(2) ? MMG_FLAG_SHARED_WRITABLE : 0;
    model.doing = "mmg_adopt";
    describe_foreigner(f, at, size);
    expect_adoption(f, at, size, by_path, options.flags, &expected);
    mmg_status status = mmg_adopt(f->base + at, size, by_path ? -1 : f->inode->descriptor, &options, &handle, &error);
    must_be(status, &expected);
    must((status == MMG_OK) == (handle != 0), "there must be a handle exactly after a success");
    must_equal((uint64_t)(uint32_t)error.status, (uint64_t)(uint32_t)status, "the status of the error");
    if (status == MMG_OK) {
        adopt_foreigner(handle, f, at, size, by_path);
    }
}

/** Reads the ledger from any mark, with any capacity and any size of a record. */
static void
step_losses(void)
{
    enum {
        MOST = 6
    };
    static union {
        mmg_loss first;
        uint8_t bytes[MOST * LARGEST_STRUCT + 64];
    } given;
    struct expected expected = {.count = 0};
    const uint64_t newest = newest_loss();
    uint64_t since = one_in(4) ? some_offset(newest) : newest - below(newest < 1500 ? newest + 1 : 1500);
    uint64_t capacity = below(MOST + 1);
    uint32_t size = one_in(3) ? some_struct_size((uint32_t)sizeof(mmg_loss)) : (uint32_t)sizeof(mmg_loss);
    uint64_t count = 0xabcdef;
    uint64_t next = 0xabcdef;
    model.doing = "mmg_losses_get";
    snprintf(model.details, sizeof model.details, "%" PRIu64 " of %" PRIu64 ", %" PRIu64 " records of %u bytes", since,
             newest, capacity, size);
    memset(&given, 0x66, sizeof given);
    given.first.struct_size = size;
    if (since > newest) {
        expect(&expected, MMG_E_RANGE);
    } else if (capacity > 0 && !IS_SIZE_OF(size, mmg_loss)) {
        expect(&expected, MMG_E_ABI_SIZE);
    }
    mmg_status status = mmg_losses_get(since, &given.first, capacity, &count, &next);
    must_be(status, &expected);
    if (status != MMG_OK) {
        must(count == 0xabcdef && next == 0xabcdef, "the counts were touched");
        return;
    }
    must(count <= capacity && next >= since + count && next <= newest,
         "the counts do not fit the mark and the capacity");
    must(next == newest || (count > 0 && count == capacity), "the call has returned too few records");
    uint64_t last = since;
    for (uint64_t index = 0; index < count; index++) {
        mmg_loss loss;
        memcpy(&loss, given.bytes + index * size, sizeof loss);
        must_equal(loss.struct_size, size, "struct_size");
        must(loss.sequence > last && loss.sequence <= next, "the records are not in order");
        must(loss.cause < 0 && loss.length > 0 && loss.origin <= MMG_ORIGIN_FOREIGN, "a record is not filled");
        last = loss.sequence;
    }
    must(count == 0 || next == last || next == newest, "the mark is not behind the last record");
    for (uint64_t at = capacity == 0 ? 4 : count == 0 ? 4 : count * size; at < sizeof given; at++) {
        must(given.bytes[at] == 0x66, "the call has written more records than it has counted");
    }
}

static void
step_stats(void)
{
    static union {
        mmg_stats stats;
        uint8_t bytes[ROOM];
    } given;
    struct expected expected = {.count = 0};
    uint32_t size = some_struct_size((uint32_t)sizeof(mmg_stats));
    model.doing = "mmg_stats_get";
    snprintf(model.details, sizeof model.details, "size %u", size);
    check_stats();
    memset(&given, 0x55, sizeof given);
    given.stats.struct_size = size;
    if (!IS_SIZE_OF(size, mmg_stats)) {
        expect(&expected, MMG_E_ABI_SIZE);
        size = 4;
    }
    must_be(mmg_stats_get(&given.stats), &expected);
    for (size_t at = size; at < ROOM; at++) {
        must(given.bytes[at] == 0x55, "the struct was written beyond its size");
    }
}

static void
step_rest(void)
{
    static uint8_t bytes[ROOM];
    siginfo_t siginfo;
    uint32_t size = some_struct_size((uint32_t)sizeof(mmg_options));
    bool possible = IS_SIZE_OF(size, mmg_options);
    model.doing = "(vocabulary)";
    model.details[0] = '\0';
    must(mmg_status_name((mmg_status)(uint32_t)draw(4)) != NULL, "a status without a name");
    must(mmg_status_message((mmg_status)(uint32_t)draw(4)) != NULL, "a status without a message");
    must(mmg_term((uint32_t)below(12), (uint32_t)draw(4) >> below(32)) != NULL, "a value without a word");
    must(mmg_supports(9 + (uint32_t)draw(2)) == 0, "an unknown feature is supported");
    memset(bytes, 0x33, sizeof bytes);
    must(mmg_options_init((mmg_options *)(void *)bytes, size) == (possible ? MMG_OK : MMG_E_ABI_SIZE),
         "mmg_options_init");
    must(bytes[possible ? size : 0] == 0x33, "mmg_options_init wrote beyond the size");
    for (size_t at = 0; at < sizeof siginfo; at++) {
        ((uint8_t *)&siginfo)[at] = (uint8_t)draw(1);
    }
    if (below(2) == 0) {
        /* The kernel reports a fault, at an address where there is no mapping. A signal that a program has raised would
           make the guard look for files that were cut, which is not random. */
        siginfo.si_signo = SIGBUS;
        siginfo.si_code = 1 + (int)below(5);
        /* Where the guard takes faults of foreign mappings, it lets the instruction run again: the mapping may have gone. */
        const int handled = mmg_handle_fault(SIGBUS, &siginfo, NULL);
        must(handled == 0 || model.guards[0] + model.guards[1] > 0, "a fault at a random address was handled");
    }
    must(mmg_handle_fault((int32_t)(uint32_t)draw(4), &siginfo, NULL) == 0, "a random signal was handled as a fault");
    must(mmg_handle_fault(SIGBUS, NULL, NULL) == 0, "a signal without siginfo was handled as a fault");
}

/* --------------------------------------------------------------------------------------------------------- run -- */

static void
step(void)
{
    static void (*const steps[])(void) = {
        step_open,          step_open,          step_open,          step_close,         step_close,
        step_pin,           step_pin,           step_pin,           step_pin,           step_unpin,
        step_unpin,         step_unpin,         step_touch,         step_touch,         step_touch,
        step_touch,         step_read,          step_read,          step_find,          step_find,
        step_check,         step_check,         step_info,          step_info,          step_changed,
        step_advise,        step_resident,      step_export,        step_stats,         step_rest,
        step_file,          step_file,          step_unpin,         step_guard,         step_map_foreign,
        step_unmap_foreign, step_touch_foreign, step_touch_foreign, step_touch_foreign, step_touch_foreign,
        step_adopt,         step_adopt,         step_losses,
    };
    steps[below(sizeof steps / sizeof *steps)]();
}

static void
close_everything(void)
{
    model.doing = "(end)";
    model.details[0] = '\0';
    for (size_t index = 0; index < REGIONS; index++) {
        struct region *region = &model.regions[index];
        if (region->handle != 0) {
            must(mmg_close(region->handle, 0) == MMG_OK, "a live handle cannot be closed");
            model.stale[model.stale_count++ % STALE] = region->handle;
            region->handle = 0;
            if (region->pins == 0) {
                region_end(region);
            }
        }
    }
    for (size_t index = 0; index < PINS; index++) {
        struct pin *pin = &model.pins[index];
        if (pin->span.pin != 0) {
            mmg_status status = mmg_unpin(&pin->span);
            bool lost = is_known_lost(pin->region, pin->offset, 1);
            must(status == MMG_OK || lost || pin->region->lost != NONE, "a live pin cannot be unpinned");
            if (--pin->region->pins == 0) {
                region_end(pin->region);
            }
        }
    }
    for (size_t index = 0; index < FOREIGNERS; index++) {
        if (model.foreigners[index].base != NULL) {
            must(model.foreigners[index].region == NULL, "a mapping stays adopted");
            unmap_foreign(&model.foreigners[index]);
        }
    }
    for (uint32_t flags = 0; flags < 2; flags++) {
        for (; model.guards[flags] > 0; model.guards[flags]--) {
            must(mmg_guard_process(MMG_SCOPE_NONE, flags) == MMG_OK, "the guard does not end");
        }
    }
    check_stats();
}

/** Makes the files as they were at the start, so that equal bytes always lead to equal calls. */
static void
reset_files(void)
{
    for (size_t file = 0; file < FILES; file++) {
        struct inode *inode = model.names[file];
        if (inode->locked) {
            toggle_lock(inode);
        }
        if (!inode->is_fresh) {
            resize(inode, 0);
            fill(inode, first_sizes[file]);
            inode->is_fresh = true;
        }
    }
    memset(model.stale, 0, sizeof model.stale);
    memset(model.stale_tokens, 0, sizeof model.stale_tokens);
}

void
model_run(struct chance *chance, uint64_t count)
{
    model.chance = chance;
    if (chance->bytes != NULL) {
        reset_files();
    }
    model.start = (mmg_stats)MMG_STATS_INIT;
    model.opened = 0;
    model.foreign_losses = 0;
    model.doing = "mmg_stats_get";
    must(mmg_stats_get(&model.start) == MMG_OK, "mmg_stats_get fails");
    for (model.call = 0; model.call < count && has_chance(); model.call++) {
        step();
    }
    close_everything();
}

void
model_start(void)
{
    const char *parent = getenv("TMPDIR");
    model.doing = "(start)";
    int length = snprintf(model.directory, sizeof model.directory, "%s/mmapguard-calls-XXXXXX",
                          parent == NULL ? "/tmp" : parent);
    must(length > 0 && (size_t)length < sizeof model.directory, "TMPDIR is too long");
    must(mkdtemp(model.directory) != NULL, "no directory for the files");
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(page != MAP_FAILED, "mmap");
    model.page = (uint64_t)sysconf(_SC_PAGESIZE);
    model.can_ask = mmg_supports(MMG_FEATURE_FOREIGN) == 1;
    uint8_t from = 42, to = 0;
    struct iovec local = {.iov_base = &to, .iov_len = 1}, remote = {.iov_base = &from, .iov_len = 1};
    model.can_ask_pages = process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == 1;
    model.can_populate = madvise(page, 4096, 22) == 0;
    munmap(page, 4096);
    snprintf(model.missing, sizeof model.missing, "%s/missing", model.directory);
    for (size_t file = 0; file < FILES; file++) {
        snprintf(model.paths[file], sizeof model.paths[file], "%s/%zu", model.directory, file);
        model.names[file] = inode_new(model.paths[file], first_sizes[file]);
    }
}

void
model_stop(void)
{
    for (size_t file = 0; file < FILES; file++) {
        inode_release(model.names[file]);
        unlink(model.paths[file]);
    }
    rmdir(model.directory);
}
