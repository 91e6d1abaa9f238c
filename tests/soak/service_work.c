/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The work of a thread of the service. The storm of storm.py fills every byte of a file with the file's mark, so a byte
 * of another file, and a lost byte that nobody reports, are found.
 */
#include "service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

static uint64_t
random_next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

void
service_begin(struct service *service, char **folders, unsigned count)
{
    double sum = 0;

    service->folders = folders;
    service->folder_count = count;
    for (unsigned rank = 0; rank < FILES_OF_ALL; rank++)
        service->zipf[rank] = sum += 1.0 / (rank + 1);
    for (unsigned i = 0; i < THREADS; i++) {
        struct worker *worker = &service->workers[i];
        worker->service = service;
        worker->random = UINT64_C(88172645463325252) + i * UINT64_C(0x9e3779b97f4a7c15);
        worker->held = calloc(HELD_BY_THREAD, sizeof *worker->held);
        if (worker->held == NULL)
            service_fail("no memory for the list of regions");
    }
}

/* Returns a file by Zipf's law: the first with the sum of shares above a random number. */
static uint32_t
file_choose(struct worker *worker)
{
    const double *zipf = worker->service->zipf;
    double draw = (double)(random_next(&worker->random) >> 11) / 9007199254740992.0 * zipf[FILES_OF_ALL - 1];
    uint32_t low = 0, high = FILES_OF_ALL - 1;

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (zipf[middle] <= draw)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The mark of a file is in the upper four bits of each byte; the lower four tell how often the file was written. */
static bool
is_of_file(uint8_t byte, uint32_t file)
{
    return byte >> 4 == (8 | file % 8);
}

/* Reads the first and the last byte of each page. Returns their sum, and counts lost bytes in `zeros`. */
static uint64_t
span_sum(const mmg_span *span, uint32_t file, uint64_t *zeros)
{
    const volatile uint8_t *bytes = span->data;
    uint64_t sum = span->size;

    *zeros = 0;
    for (uint64_t page = 0; page < span->size; page += PAGE) {
        const uint64_t last = span->size - page < PAGE ? span->size - 1 : page + PAGE - 1;
        const uint8_t ends[] = {bytes[page], bytes[last]};
        for (int i = 0; i < 2; i++) {
            *zeros += ends[i] == 0;
            if (ends[i] != 0 && !is_of_file(ends[i], file))
                service_fail("page %llu of file %u has the byte %#x", (unsigned long long)(page / PAGE), file, ends[i]);
            sum = sum * 31 + ends[i];
        }
    }
    return sum;
}

/* Reads all of a region. Returns the status of the reading, and stores the sum of its bytes. */
static mmg_status
region_sum(struct worker *worker, const struct held *held, uint64_t *sum)
{
    mmg_span span;
    uint64_t zeros, from;
    mmg_status status = mmg_pin(held->region, 0, MMG_TO_END, &span);

    *sum = 0;
    if (status != MMG_OK)
        return status;
    *sum = span_sum(&span, held->file, &zeros);
    status = mmg_unpin(&span);
    /* A file that was cut and then grew has zeros that are bytes of the file. It has changed. */
    if (status == MMG_OK && zeros != 0 && mmg_verify(held->region) == MMG_OK)
        service_fail("file %u has %llu zeros, and nothing is reported", held->file, (unsigned long long)zeros);
    if (status == MMG_OK && random_next(&worker->random) % 16 == 0) {
        status = mmg_find(held->region, 0, MMG_TO_END, "needle", 6, &from);
        if (status == MMG_OK && from != MMG_NOT_FOUND)
            service_fail("file %u has a needle", held->file);
    }
    return status;
}

/* Returns true when a status is one that a change of the file explains. */
static bool
is_of_storm(mmg_status status)
{
    return status == MMG_E_TRUNCATED || status == MMG_E_UNSTABLE || status == MMG_E_CHANGED;
}

void
service_look(struct worker *worker, struct held *held)
{
    struct service *service = worker->service;
    uint64_t sum;
    mmg_status status = region_sum(worker, held, &sum);

    if (status == MMG_OK)
        status = mmg_check(held->region);
    if (status == MMG_OK && held->is_stable && sum != held->sum)
        service_fail("a STABLE region of file %u has other bytes than before", held->file);
    if (status != MMG_OK && !is_of_storm(status))
        service_fail("file %u: %s", held->file, mmg_status_name(status));
    atomic_fetch_add_explicit(status == MMG_OK ? &service->checked : &service->told, 1, memory_order_relaxed);
}

static void
held_close(struct held *held)
{
    mmg_status status = mmg_close(held->region, 0);

    if (status != MMG_OK && !is_of_storm(status))
        service_fail("a region cannot be closed: %s", mmg_status_name(status));
    *held = (struct held){0};
}

/* Opens a file in one of the ways that callers have. Returns true when there is a region. */
static bool
held_open(struct worker *worker, struct held *held)
{
    static const uint32_t backings[] = {MMG_BACKING_AUTO, MMG_BACKING_AUTO, MMG_BACKING_AUTO, MMG_BACKING_COPY};
    struct service *service = worker->service;
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    uint64_t draw = random_next(&worker->random);
    char path[512];

    held->file = file_choose(worker);
    held->is_stable = draw % 8 == 0;
    options.guarantee = held->is_stable ? MMG_GUARANTEE_STABLE : MMG_GUARANTEE_CONTAINED;
    options.backing = held->is_stable ? MMG_BACKING_AUTO : backings[draw >> 8 & 3];
    options.lock = (draw >> 16) % 4 == 0 ? MMG_LOCK_NONE : MMG_LOCK_AUTO;
    snprintf(path, sizeof path, "%s/%u", service->folders[held->file % service->folder_count], held->file);
    mmg_status status = mmg_open(path, &options, &held->region, &error);
    if (status == MMG_OK) {
        atomic_fetch_add_explicit(&service->opened, 1, memory_order_relaxed);
        return true;
    }
    /* The file is being replaced, is locked by a writer, or changed while it was copied; or descriptors ran out. */
    if (status != MMG_E_NOT_FOUND && status != MMG_E_WOULD_BLOCK && status != MMG_E_LIMIT && !is_of_storm(status))
        service_fail("%s", error.message);
    atomic_fetch_add_explicit(&service->refused, 1, memory_order_relaxed);
    *held = (struct held){0};
    return false;
}

void
service_step(struct worker *worker)
{
    struct held *held = &worker->held[random_next(&worker->random) % HELD_BY_THREAD];

    if (held->region != 0) {
        service_look(worker, held);
        held_close(held);
    }
    if (!held_open(worker, held))
        return;
    mmg_status status = region_sum(worker, held, &held->sum);
    if (status != MMG_OK && !is_of_storm(status))
        service_fail("file %u: %s", held->file, mmg_status_name(status));
}

void
service_end(struct service *service)
{
    for (unsigned i = 0; i < THREADS; i++) {
        for (unsigned j = 0; j < HELD_BY_THREAD; j++)
            if (service->workers[i].held[j].region != 0)
                held_close(&service->workers[i].held[j]);
        free(service->workers[i].held);
    }
}
