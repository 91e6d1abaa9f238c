/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The data that the parts of the soak share: the files, the counters, and the end.
 */
#ifndef MMAPGUARD_TESTS_SOAK_H
#define MMAPGUARD_TESTS_SOAK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FILES 500u
#define MAPPINGS_OF_FILE 20u
#define PAGES 16u

/** A file and its foreign mappings. Readers hold the lock for reading, and the storm holds it for writing. */
struct soak_file {
    pthread_rwlock_t lock;
    char path[96];
    int fd;
    uint64_t device, inode;
    const unsigned char *mappings[MAPPINGS_OF_FILE];
};

struct soak {
    struct soak_file files[FILES];
    size_t page;
    _Atomic bool has_ended;
    _Atomic uint64_t reads;   /* number of pages that readers have read */
    _Atomic uint64_t zeros;   /* how many of these were lost */
    _Atomic uint64_t regions; /* number of regions that were opened and closed */
    _Atomic uint64_t told;    /* how many of these have reported a loss or a change */
    _Atomic uint64_t children;
    uint64_t rounds; /* number of cuts, each of which is in the ledger */
};

/** Prints what is wrong, and ends the process. */
_Noreturn void soak_fail(const char *what, ...);

/** Returns the byte that fills a page of a file, which is never 0. */
unsigned char soak_byte(const struct soak *soak, unsigned file, unsigned page);

/** Makes the files in a folder, and maps them. */
void soak_begin(struct soak *soak, const char *folder);

/** Writes a file again, and maps it again where a mapping has lost pages. The caller has the lock for writing. */
void soak_renew(struct soak *soak, unsigned number);

/** Unmaps and removes everything. */
void soak_end(struct soak *soak);

/** The bodies of threads, which end when `has_ended` is true. The argument is the soak. */
void *soak_read_foreign(void *argument);
void *soak_open_regions(void *argument);

/** Runs one round of the storm: cuts a file, checks that the ledger has the loss, and renews the file. */
void soak_round(struct soak *soak, uint64_t *random);

/** Returns a random number. */
uint64_t soak_random(uint64_t *state);

#endif
