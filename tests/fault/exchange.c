/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An owner replaces a mapping by its own memory, in one step, while threads have faults there. The memory is full of
 * canaries. The guard asks the kernel before it replaces a page, but the owner may exchange the mapping between the
 * answer and the replacement, and then the guard replaces the new pages. SAFETY.md says so. Here the owner always makes
 * the exchange in the middle of a storm of faults. In a measurement one exchange in a hundred came at that moment, and
 * the test allows one in twenty. The arguments are the number of rounds, and the longest time in microseconds from the cut to
 * the exchange, for a program that is slowed down.
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "foreign.h"

#define READERS 2
#define ROUNDS 50
#define CANARY 0x5A
#define EXCHANGED 16 /* pages */

static uint8_t *place;
static _Atomic uint64_t steps[READERS];
static _Atomic bool has_ended;

static void *
reader(void *argument)
{
    _Atomic uint64_t *step = argument;
    uint64_t state = check_seed() + (uint64_t)(step - steps);
    while (!atomic_load(&has_ended)) {
        uint8_t byte = *(const volatile uint8_t *)(place + check_random_below(&state, EXCHANGED * check_page()));
        CHECK(byte == 0 || byte == CANARY);
        atomic_fetch_add(step, 1);
    }
    return NULL;
}

/** Waits until each reader has begun and ended a read after the call. */
static void
let_readers_look(void)
{
    for (int i = 0; i < READERS; i++) {
        uint64_t before = atomic_load(&steps[i]);
        while (atomic_load(&steps[i]) < before + 2) {
            sched_yield();
        }
    }
}

static uint64_t longest_pause;

static uint64_t
replaced_canaries(uint64_t rounds)
{
    const uint64_t size = EXCHANGED * check_page();
    const char *path = check_path("exchanged");
    uint64_t state = check_seed(), replaced = 0;
    pthread_t threads[READERS];
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    REQUIRE(descriptor >= 0 && ftruncate(descriptor, (off_t)size) == 0);
    place = mmap(NULL, size, PROT_READ, MAP_SHARED, descriptor, 0);
    REQUIRE(place != MAP_FAILED);
    atomic_store(&has_ended, false);
    for (int i = 0; i < READERS; i++) {
        REQUIRE(pthread_create(&threads[i], NULL, reader, &steps[i]) == 0);
    }
    for (uint64_t round = 0; round < rounds; round++) {
        uint8_t *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(memory != MAP_FAILED);
        memset(memory, CANARY, size);
        REQUIRE(ftruncate(descriptor, 0) == 0);
        /* With a random pause, readers meet the cut before, during or after the exchange. */
        for (uint64_t pause = check_random_below(&state, 4); pause > 0; pause--) {
            sched_yield();
        }
        for (uint64_t pause = check_random_below(&state, 5000); pause > 0; pause--) {
            atomic_signal_fence(memory_order_seq_cst);
        }
        if (longest_pause > 0) {
            usleep((useconds_t)check_random_below(&state, longest_pause));
        }
        REQUIRE(mremap(memory, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, place) == place);
        let_readers_look();
        bool is_whole = true;
        for (uint64_t at = 0; at < size; at++) {
            is_whole = is_whole && touch(place, at) == CANARY;
        }
        replaced += is_whole ? 0 : 1;
        REQUIRE(ftruncate(descriptor, (off_t)size) == 0);
        REQUIRE(mmap(place, size, PROT_READ, MAP_SHARED | MAP_FIXED, descriptor, 0) == place);
    }
    atomic_store(&has_ended, true);
    for (int i = 0; i < READERS; i++) {
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    }
    munmap(place, size);
    close(descriptor);
    return replaced;
}

static uint64_t rounds = ROUNDS;

static void
canaries_are_hardly_ever_replaced(void)
{
    if (mmg_supports(MMG_FEATURE_FOREIGN) != 1) {
        check_skip("the kernel does not tell what is mapped");
        return;
    }
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_FILES, 0), MMG_OK);
    const uint64_t mark = ledger_mark();
    const uint64_t replaced = replaced_canaries(rounds);
    const uint64_t contained = ledger_mark() - mark;
    printf("(%" PRIu64 " rounds, %" PRIu64 " losses, %" PRIu64 " rounds with a replaced canary) ", rounds, contained,
           replaced);
    CHECK(contained > 0);
    CHECK(replaced * 20 <= rounds);
    REQUIRE_STATUS(mmg_guard_process(MMG_SCOPE_NONE, 0), MMG_OK);
}

static const struct check_case cases[] = {
    {"pages that the owner has just exchanged are hardly ever replaced", canaries_are_hardly_ever_replaced, CHECK_ONCE},
};

int
main(int argc, char **argv)
{
    rounds = argc > 1 ? strtoull(argv[1], NULL, 0) : check_scaled(ROUNDS);
    longest_pause = argc > 2 ? strtoull(argv[2], NULL, 0) : 0;
    return check_main(1, argv, cases, sizeof cases / sizeof *cases);
}
