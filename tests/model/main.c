/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The main function of a set of models.
 */
#include <stdio.h>
#include <string.h>

#include "explorer.h"

int
model_main(int argc, char **argv, const struct model *models, size_t count, const struct model_memory *memory)
{
    const bool is_planted = argc > 1 && strcmp(argv[1], "--planted") == 0;
    unsigned broken = 0, incomplete = 0;

    for (size_t i = 0; i < count && !(is_planted && broken > 0); i++) {
        const struct model_result result = model_explore(&models[i], memory, !is_planted);
        broken += result.violation != NULL;
        incomplete += result.missing != NULL;
        printf("%s: %llu states, %llu ends%s%s%s%s\n", models[i].name, (unsigned long long)result.states,
               (unsigned long long)result.ends, result.violation != NULL ? "; VIOLATED: " : "",
               result.violation != NULL ? result.violation : "", result.missing != NULL ? "; NEVER: " : "",
               result.missing != NULL ? result.missing : "");
        fflush(stdout);
    }
    if (is_planted) {
        puts(broken > 0 ? "a model finds the planted fault" : "NO MODEL FINDS THE PLANTED FAULT");
        return broken > 0 ? 0 : 1;
    }
    return broken + incomplete > 0 ? 1 : 0;
}
