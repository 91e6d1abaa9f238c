/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The contenders mmapguard and "by hand", which is code as a careful programmer writes it; see contenders.h.
 */
#include "contenders.h"
#include "measure.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static bool
open_region(const char *path, const mmg_options *options, struct view *view)
{
    if (mmg_open(path, options, &view->region, NULL) != MMG_OK)
        return false;
    if (mmg_pin(view->region, 0, MMG_TO_END, &view->span) != MMG_OK) {
        mmg_close(view->region, 0);
        return false;
    }
    view->data = view->span.data;
    view->size = view->span.size;
    return true;
}

static bool
open_default(const char *path, struct view *view)
{
    return open_region(path, NULL, view);
}

static bool
open_map(const char *path, struct view *view)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.backing = MMG_BACKING_MAP;
    return open_region(path, &options, view);
}

static bool
open_copy(const char *path, struct view *view)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.backing = MMG_BACKING_COPY;
    return open_region(path, &options, view);
}

static bool
open_off(const char *path, struct view *view)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.backing = MMG_BACKING_MAP;
    options.flags = MMG_FLAG_NO_FAULT_GUARD;
    return open_region(path, &options, view);
}

static bool
open_no_lock(const char *path, struct view *view)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.lock = MMG_LOCK_NONE;
    return open_region(path, &options, view);
}

static bool
open_stable(const char *path, struct view *view)
{
    mmg_options options = MMG_OPTIONS_INIT;
    options.guarantee = MMG_GUARANTEE_STABLE;
    return open_region(path, &options, view);
}

static bool
region_intact(struct view *view)
{
    return mmg_verify(view->region) == MMG_OK;
}

static void
close_region(struct view *view)
{
    if (mmg_unpin(&view->span) != MMG_OK)
        abort(); /* nothing cuts these files; a figure of a failed unpin would be worthless */
    mmg_close(view->region, 0);
}

#define REGION(name, open)                                                                                             \
    {                                                                                                                  \
        name, open, close_region, false, region_intact                                                                 \
    }
const struct contender mmapguard = REGION("mmapguard", open_default);
const struct contender mmapguard_map = REGION("mmapguard, map", open_map);
const struct contender mmapguard_copy = REGION("mmapguard, copy", open_copy);
const struct contender mmapguard_off = REGION("mmapguard, guard off", open_off);
const struct contender mmapguard_no_lock = REGION("mmapguard, no lock", open_no_lock);
const struct contender mmapguard_stable = REGION("mmapguard, STABLE", open_stable);

/* Open and lock; the size is stored in the view. */
static bool
open_locked(const char *path, struct view *view)
{
    struct stat facts;
    view->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (view->fd < 0)
        return false;
    if (flock(view->fd, LOCK_SH | LOCK_NB) != 0 || fstat(view->fd, &facts) != 0) {
        close(view->fd);
        return false;
    }
    view->size = (uint64_t)facts.st_size;
    return true;
}

static bool
open_hand_mmap(const char *path, struct view *view)
{
    if (!open_locked(path, view))
        return false;
    void *data = mmap(NULL, view->size, PROT_READ, MAP_SHARED, view->fd, 0);
    if (data == MAP_FAILED) {
        close(view->fd);
        return false;
    }
    view->data = data;
    return true;
}

static void
close_hand_mmap(struct view *view)
{
    munmap((void *)view->data, view->size);
    close(view->fd);
}

/* Read all of an open file into memory. */
static bool
read_view(struct view *view)
{
    uint8_t *data = malloc(view->size);
    uint64_t done = 0;
    while (data != NULL && done < view->size) {
        const ssize_t got = read(view->fd, data + done, view->size - done);
        if (got <= 0)
            break;
        done += (uint64_t)got;
    }
    if (data == NULL || done < view->size) {
        free(data);
        close(view->fd);
        return false;
    }
    view->data = data;
    return true;
}

static bool
open_hand_read(const char *path, struct view *view)
{
    return open_locked(path, view) && read_view(view);
}

static bool
open_hand_read_no_lock(const char *path, struct view *view)
{
    struct stat facts;
    view->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (view->fd < 0)
        return false;
    if (fstat(view->fd, &facts) != 0) {
        close(view->fd);
        return false;
    }
    view->size = (uint64_t)facts.st_size;
    if (!read_view(view))
        return false;
    close(view->fd); /* the descriptor holds no lock */
    view->fd = -1;
    return true;
}

static void
close_hand_read(struct view *view)
{
    free((void *)view->data);
    if (view->fd >= 0)
        close(view->fd);
}

const struct contender hand_mmap = {"by hand, mmap", open_hand_mmap, close_hand_mmap, false, NULL};
const struct contender hand_read = {"by hand, read", open_hand_read, close_hand_read, true, NULL};
const struct contender hand_read_no_lock = {"by hand, read, no lock", open_hand_read_no_lock, close_hand_read, true,
                                            NULL};

unsigned int
everybody(const struct contender **into, unsigned int most, bool copiers)
{
    static const struct contender *const own[] = {&mmapguard, &mmapguard_no_lock, &hand_mmap, &hand_read,
                                                  &hand_read_no_lock};
    const struct contender *others[MOST_CONTENDERS];
    const unsigned int count = peers(others, MOST_CONTENDERS);
    unsigned int stored = 0;
    for (unsigned int i = 0; i < sizeof own / sizeof own[0]; i++)
        if (stored < most && (copiers || !own[i]->copies))
            into[stored++] = own[i];
    for (unsigned int i = 0; i < count; i++)
        if (stored < most && (copiers || !others[i]->copies))
            into[stored++] = others[i];
    return stored;
}

uint64_t
touch_bytes(const uint8_t *data, uint64_t size)
{
    uint64_t sums[4] = {0, 0, 0, 0};
    uint64_t words[4];
    uint64_t at = 0;
    for (; at + sizeof words <= size; at += sizeof words) {
        memcpy(words, data + at, sizeof words);
        for (unsigned int i = 0; i < 4; i++)
            sums[i] += words[i];
    }
    for (; at < size; at++)
        sums[0] += data[at];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

uint64_t
touch_pages(const uint8_t *data, uint64_t size)
{
    const uint64_t page = (uint64_t)sysconf(_SC_PAGE_SIZE);
    uint64_t sum = 0;
    for (uint64_t at = 0; at < size; at += page)
        sum += *(const volatile uint8_t *)(data + at);
    return sum;
}

uint64_t
touch_first(const uint8_t *data, uint64_t size)
{
    (void)size;
    return *(const volatile uint8_t *)data;
}
