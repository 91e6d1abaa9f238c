/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program that knows nothing of mmapguard, and exchanges a mapping of a file that is cut for one that is full of canaries,
 * in one step, while two threads read there: exchanger ROUNDS [PAUSE]. It prints in how many rounds a canary was replaced.
 * PAUSE is the longest time in microseconds from the cut to the exchange, for a program that is slowed down.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define READERS 2
#define CANARY 0x5A
#define SIZE ((size_t)16 * 4096)

static volatile unsigned char *place;
static atomic_ulong steps[READERS];
static atomic_bool has_ended;

static void
need(bool holds, const char *what)
{
    if (!holds) {
        perror(what);
        _exit(90);
    }
}

static unsigned
chance(unsigned *state, unsigned bound)
{
    *state = *state * 1103515245U + 12345U;
    return (*state >> 16) % bound;
}

static void *
read_on(void *argument)
{
    atomic_ulong *step = argument;
    unsigned state = 1U + (unsigned)(step - steps);
    while (!atomic_load(&has_ended)) {
        unsigned char byte = place[chance(&state, SIZE)];
        need(byte == 0 || byte == CANARY, "another byte");
        atomic_fetch_add(step, 1);
    }
    return NULL;
}

/* Waits until each reader has begun and ended a look since now. */
static void
let_readers_look(void)
{
    for (int i = 0; i < READERS; i++) {
        unsigned long before = atomic_load(&steps[i]);
        while (atomic_load(&steps[i]) < before + 2)
            sched_yield();
    }
}

/* Puts canaries in the place of the file: memory that is moved there, or a second file that is mapped there. */
static void
exchange(bool moves, int canaries)
{
    if (!moves) {
        need(mmap((void *)place, SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, canaries, 0) == place, "mmap");
        return;
    }
    void *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    need(memory != MAP_FAILED, "mmap");
    memset(memory, CANARY, SIZE);
    need(mremap(memory, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place, "mremap");
}

static bool
is_whole(void)
{
    for (size_t i = 0; i < SIZE; i++)
        if (place[i] != CANARY)
            return false;
    return true;
}

int
main(int argc, char **argv)
{
    const unsigned long rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 100;
    const unsigned longest = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 0;
    unsigned long replaced = 0;
    unsigned state = 17;
    pthread_t threads[READERS];
    unsigned char bytes[4096];
    int file = open("exchanged", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int canaries = open("canaries", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    memset(bytes, CANARY, sizeof bytes);
    for (size_t i = 0; i < SIZE; i += sizeof bytes)
        need(write(canaries, bytes, sizeof bytes) == (ssize_t)sizeof bytes, "write");
    need(ftruncate(file, (off_t)SIZE) == 0, "ftruncate");
    place = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, file, 0);
    need(place != MAP_FAILED, "mmap");
    for (int i = 0; i < READERS; i++)
        need(pthread_create(&threads[i], NULL, read_on, &steps[i]) == 0, "pthread_create");
    for (unsigned long round = 0; round < rounds; round++) {
        need(ftruncate(file, 0) == 0, "ftruncate");
        /* The readers meet the cut in some rounds before, in some after, and in some during the exchange. */
        for (unsigned pause = chance(&state, 4); pause > 0; pause--)
            sched_yield();
        for (unsigned pause = chance(&state, 5000); pause > 0; pause--)
            atomic_signal_fence(memory_order_seq_cst);
        if (longest > 0)
            usleep(chance(&state, longest));
        exchange(round % 2 == 0, canaries);
        let_readers_look();
        replaced += !is_whole();
        need(ftruncate(file, (off_t)SIZE) == 0, "ftruncate");
        need(mmap((void *)place, SIZE, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) == place, "mmap");
    }
    atomic_store(&has_ended, true);
    for (int i = 0; i < READERS; i++)
        need(pthread_join(threads[i], NULL) == 0, "pthread_join");
    printf("%lu rounds, %lu replaced\n", rounds, replaced);
    return replaced == 0 ? 0 : 1;
}
