/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The work of the soak: readers of foreign mappings, readers of regions, and the storm.
 */
#include "soak.h"

#include <mmapguard.h>
#include <unistd.h>

#define ROOM 32

/* Reads one byte of a page of a foreign mapping. It must be the byte of the file or 0. */
static void
look(struct soak *soak, unsigned number, unsigned mapping, unsigned page)
{
    const volatile unsigned char *bytes = soak->files[number].mappings[mapping];
    unsigned char found = bytes[page * soak->page + soak->page / 2];

    atomic_fetch_add_explicit(&soak->reads, 1, memory_order_relaxed);
    if (found == 0)
        atomic_fetch_add_explicit(&soak->zeros, 1, memory_order_relaxed);
    else if (found != soak_byte(soak, number, page))
        soak_fail("page %u of %s reads as %u", page, soak->files[number].path, found);
}

void *
soak_read_foreign(void *argument)
{
    struct soak *soak = argument;
    uint64_t random = (uint64_t)(uintptr_t)&random | 1;

    while (!atomic_load(&soak->has_ended)) {
        /* The square makes readers choose some files much more often than others. */
        uint64_t draw = soak_random(&random) % FILES;
        unsigned number = (unsigned)(draw * draw / FILES);
        pthread_rwlock_rdlock(&soak->files[number].lock);
        for (unsigned i = 0; i < 8; i++) {
            uint64_t where = soak_random(&random);
            look(soak, number, (unsigned)(where % MAPPINGS_OF_FILE), (unsigned)(where >> 32) % PAGES);
        }
        pthread_rwlock_unlock(&soak->files[number].lock);
    }
    return NULL;
}

/* Opens a file as a region, reads all of it, and checks whether the bytes were true. */
static void
region_read(struct soak *soak, unsigned number, uint64_t draw)
{
    mmg_options options = MMG_OPTIONS_INIT;
    unsigned char bytes[256];
    mmg_handle region;
    uint64_t got;

    options.backing = draw % 3 == 0 ? MMG_BACKING_COPY : MMG_BACKING_MAP;
    options.flags = MMG_FLAG_NO_LEASE;
    if (draw % 7 == 0)
        options.backing = MMG_BACKING_AUTO, options.guarantee = MMG_GUARANTEE_STABLE;
    mmg_status status = mmg_open(soak->files[number].path, &options, &region, NULL);
    if (status == MMG_E_TRUNCATED || status == MMG_E_UNSTABLE) {
        atomic_fetch_add(&soak->told, 1);
        return;
    }
    if (status != MMG_OK)
        soak_fail("%s: %s", soak->files[number].path, mmg_status_name(status));
    for (unsigned page = 0; page < PAGES && status == MMG_OK; page++) {
        status = mmg_read(region, page * soak->page, bytes, sizeof bytes, &got);
        if (status == MMG_OK && got == sizeof bytes && bytes[0] != soak_byte(soak, number, page))
            soak_fail("page %u of %s is read as %u", page, soak->files[number].path, bytes[0]);
        if (status == MMG_OK && got < sizeof bytes)
            break; /* the file was shorter when it was opened */
    }
    if (mmg_verify(region) != MMG_OK || status != MMG_OK)
        atomic_fetch_add(&soak->told, 1);
    if (mmg_close(region, 0) != MMG_OK)
        soak_fail("a region cannot be closed");
    atomic_fetch_add(&soak->regions, 1);
}

void *
soak_open_regions(void *argument)
{
    struct soak *soak = argument;
    uint64_t random = (uint64_t)(uintptr_t)&random | 1;

    while (!atomic_load(&soak->has_ended)) {
        uint64_t draw = soak_random(&random);
        region_read(soak, (unsigned)(draw % FILES), draw >> 32);
    }
    return NULL;
}

/*
 * Returns true when the ledger has a record behind a mark for a foreign mapping of this file with a loss from `left`
 * on.
 */
static bool
is_in_ledger(const struct soak_file *file, uint64_t mark, uint64_t left)
{
    mmg_loss losses[ROOM];
    uint64_t count = 1;

    while (count > 0) {
        uint64_t next = mark;
        losses[0] = (mmg_loss)MMG_LOSS_INIT;
        if (mmg_losses_get(mark, losses, ROOM, &count, &next) != MMG_OK)
            soak_fail("the ledger cannot be read");
        for (uint64_t i = 0; i < count; i++) {
            const mmg_loss *loss = &losses[i];
            if (loss->origin == MMG_ORIGIN_FOREIGN && loss->device == file->device && loss->inode == file->inode &&
                loss->offset == left && loss->cause == MMG_E_TRUNCATED)
                return true;
        }
        mark = next;
    }
    return false;
}

void
soak_round(struct soak *soak, uint64_t *random)
{
    uint64_t draw = soak_random(random), count, mark;
    unsigned number = (unsigned)(draw % FILES), mapping = (unsigned)(draw >> 20) % MAPPINGS_OF_FILE;
    unsigned left = (unsigned)(draw >> 40) % (PAGES - 1);
    struct soak_file *file = &soak->files[number];

    if (mmg_losses_get(0, NULL, 0, &count, &mark) != MMG_OK)
        soak_fail("the ledger has no mark");
    if (ftruncate(file->fd, (off_t)(left * soak->page)) != 0)
        soak_fail("%s cannot be cut", file->path);
    pthread_rwlock_rdlock(&file->lock);
    look(soak, number, mapping, PAGES - 1);
    if (!is_in_ledger(file, mark, left * soak->page))
        soak_fail("the ledger does not tell that %s lost bytes from %zu on", file->path, left * soak->page);
    pthread_rwlock_unlock(&file->lock);
    pthread_rwlock_wrlock(&file->lock);
    soak_renew(soak, number);
    pthread_rwlock_unlock(&file->lock);
    soak->rounds++;
}
