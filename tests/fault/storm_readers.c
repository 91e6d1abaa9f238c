/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "storm_readers.h"

#include <stdlib.h>

#include "check.h"
#include "storm_plan.h"

void
storm_readers_start(struct storm_readers *readers, uint64_t seed, void *(*body)(void *reader))
{
    REQUIRE(pthread_barrier_init(&readers->barrier, NULL, STORM_READERS + 1) == 0);
    atomic_store(&readers->over, false);
    for (unsigned index = 0; index < STORM_READERS; index++) {
        struct storm_reader *reader = &readers->reader[index];
        *reader = (struct storm_reader){.random = seed + 1 + index, .copy = malloc(STORM_MOST)};
        REQUIRE(reader->copy != NULL);
        REQUIRE(pthread_create(&readers->thread[index], NULL, body, reader) == 0);
    }
}

void
storm_readers_meet(struct storm_readers *readers)
{
    pthread_barrier_wait(&readers->barrier);
}

bool
storm_readers_begin(struct storm_readers *readers)
{
    storm_readers_meet(readers);
    return !atomic_load(&readers->over);
}

void
storm_readers_stop(struct storm_readers *readers)
{
    atomic_store(&readers->over, true);
    storm_readers_meet(readers);
    for (unsigned index = 0; index < STORM_READERS; index++) {
        REQUIRE(pthread_join(readers->thread[index], NULL) == 0);
        free(readers->reader[index].copy);
    }
    pthread_barrier_destroy(&readers->barrier);
}
