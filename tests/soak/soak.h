/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the parts of the soak share: the files, the numbers that it shows, and the end.
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

/** A file, and mappings of it that know nothing of the library. Readers hold the lock for reading, the storm for writing. */
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
    _Atomic uint64_t reads;   /* pages that readers looked at */
    _Atomic uint64_t zeros;   /* of these, the ones that were lost */
    _Atomic uint64_t regions; /* regions that were opened and closed */
    _Atomic uint64_t told;    /* of these, the ones that told of a loss or a change */
    _Atomic uint64_t children;
    uint64_t rounds; /* cuts, each of which the ledger told */
};

/** Says what is wrong, and ends the process. */
_Noreturn void soak_fail(const char *what, ...);

/** The byte that fills a page of a file. Never 0. */
unsigned char soak_byte(const struct soak *soak, unsigned file, unsigned page);

/** Makes the files in a folder, and maps them. */
void soak_begin(struct soak *soak, const char *folder);

/** Writes a file anew, and maps it again where a mapping has lost pages. The caller has the lock for writing. */
void soak_renew(struct soak *soak, unsigned number);

/** Unmaps and removes everything. */
void soak_end(struct soak *soak);

/** Threads: they end when `has_ended` is true. The argument is the soak. */
void *soak_read_foreign(void *argument);
void *soak_open_regions(void *argument);

/** One round of the storm: a file is cut, the loss is looked for in the ledger, and the file is renewed. */
void soak_round(struct soak *soak, uint64_t *random);

/** A random number. */
uint64_t soak_random(uint64_t *state);

#endif
