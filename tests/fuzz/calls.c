/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Makes random calls and compares them with the model: calls [COUNT [SEED]]. The same seed makes the same calls.
 * Without a seed the program draws one, and prints it first, so that a failed run can be repeated.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "check.h"
#include "model.h"

/** After so many calls, everything is closed and counted. */
#define ROUND 20000

int
main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoull(argv[1], NULL, 0) : 1000000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) ^ (uint64_t)getpid() << 32;
    struct chance chance = {.state = seed};
    if (!check_tells_address()) {
        printf("SKIP: a SIGBUS does not tell here which address was touched\n");
        return 77;
    }
    if (check_is_stacked()) {
        printf("SKIP: on overlay mmg_read() reads the mapping, and the model foresees failures of the descriptor\n");
        return 77;
    }
    check_keep_lease_settings();
    printf("%" PRIu64 " calls, seed %" PRIu64 "\n", count, seed);
    fflush(stdout);
    model_start();
    for (uint64_t done = 0; done < count; done += ROUND) {
        model_run(&chance, count - done < ROUND ? count - done : ROUND);
    }
    model_stop();
    printf("%" PRIu64 " leases, %" PRIu64 " faults handed in\n", model_leases(), model_faults());
    printf("every result was as foreseen\n");
    return 0;
}
