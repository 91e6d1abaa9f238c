/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The threads that read a file in a storm, and the barrier at which they meet the main thread. A round has three
 * meetings: before the readers pin their spans, before the writer begins, and after it has ended.
 */
#ifndef MMAPGUARD_TESTS_STORM_READERS_H
#define MMAPGUARD_TESTS_STORM_READERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <mmapguard.h>

#define STORM_READERS 4

/** One reader, and the memory that its body uses. */
struct storm_reader {
    uint64_t random; /* state of check_random() */
    uint8_t *copy;   /* STORM_MOST bytes */
    mmg_span span;
    uint64_t from; /* offset of `span` in the region */
};

/** All readers of a storm. */
struct storm_readers {
    struct storm_reader reader[STORM_READERS];
    pthread_t thread[STORM_READERS];
    pthread_barrier_t barrier;
    _Atomic bool writing; /* the writer is at work, so the readers go on reading */
    _Atomic bool over;    /* there is no further round */
};

/** Starts the readers. The argument of the body is its struct storm_reader. */
void storm_readers_start(struct storm_readers *readers, uint64_t seed, void *(*body)(void *reader));

/** Waits until all readers and the main thread have come to this point. */
void storm_readers_meet(struct storm_readers *readers);

/** Begins a round, in the body of a reader. Returns false when the storm is over and the body must return. */
bool storm_readers_begin(struct storm_readers *readers);

/** Ends the readers. */
void storm_readers_stop(struct storm_readers *readers);

#endif
