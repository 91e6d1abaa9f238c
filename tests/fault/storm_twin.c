/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The twin of the storm: the same writer and the same file, and four threads that read it through a plain mapping in a
 * child process. The child must die of SIGBUS; otherwise the storm would prove nothing. Arguments: rounds, seed.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "storm_plan.h"

#define READERS 4

static uint64_t rounds = 300;
static uint64_t seed;
static const volatile uint8_t *_Atomic bytes;
static _Atomic bool over;

static void *
read_plain(void *argument __attribute__((unused)))
{
    while (!atomic_load(&over)) {
        const volatile uint8_t *mapped = atomic_load(&bytes);
        for (uint64_t at = 0; mapped != NULL && at < STORM_SIZE; at += STORM_PAGE) {
            (void)mapped[at];
        }
    }
    return NULL;
}

static void
storm_over_a_plain_mapping(void *argument)
{
    struct storm *storm = argument;
    struct storm_plan plan;
    pthread_t threads[READERS];
    uint64_t random = seed;
    signal(SIGBUS, SIG_DFL);
    for (unsigned index = 0; index < READERS; index++) {
        REQUIRE(pthread_create(&threads[index], NULL, read_plain, NULL) == 0);
    }
    for (uint64_t round = 0; round < rounds; round++) {
        storm_draw(&plan, &random, !storm->shared->cannot_punch);
        int file = storm_restore(storm);
        void *mapped = mmap(NULL, STORM_SIZE, PROT_READ, MAP_SHARED, file, 0);
        REQUIRE(mapped != MAP_FAILED);
        atomic_store(&bytes, mapped);
        storm_begin(storm, &plan);
        storm_end(storm);
        close(file); /* the file stays mapped, since a reader may still read it */
    }
    atomic_store(&over, true);
    for (unsigned index = 0; index < READERS; index++) {
        pthread_join(threads[index], NULL);
    }
}

static void
twin(void)
{
    struct storm storm;
    storm_start(&storm, check_path("storm"), check_path("spare"));
    CHECK_KILLED(check_child(storm_over_a_plain_mapping, &storm), SIGBUS);
    storm_stop(&storm);
}

static const struct check_case cases[] = {
    {"a reader of a plain mapping dies in the storm", twin, CHECK_ONCE},
};

int
main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : rounds;
    seed = argc > 2 ? strtoull(argv[2], NULL, 0) : check_seed();
    return check_main(1, argv, cases, sizeof cases / sizeof *cases);
}
