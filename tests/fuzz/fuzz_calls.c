/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The target of libFuzzer. An input is a string of choices, and the model checks every call that follows from them.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "model.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    model_start();
    atexit(model_stop);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t nothing[1];
    struct chance chance = {.bytes = size == 0 ? nothing : data, .left = size};
    model_run(&chance, UINT64_MAX);
    return 0;
}
