/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The main function of a set of models, and the outcomes that each of them must have.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "explorer.h"

#define MAX_OUTCOMES 16u

static const char *seen_outcomes[MAX_OUTCOMES];

void
model_outcome(const char *outcome)
{
    for (unsigned i = 0; i < MAX_OUTCOMES; i++) {
        if (seen_outcomes[i] == NULL)
            seen_outcomes[i] = outcome;
        if (strcmp(seen_outcomes[i], outcome) == 0)
            return;
    }
    fputs("a model has too many outcomes\n", stderr);
    abort();
}

static bool
was_seen(const char *outcome)
{
    for (unsigned i = 0; i < MAX_OUTCOMES && seen_outcomes[i] != NULL; i++)
        if (strcmp(seen_outcomes[i], outcome) == 0)
            return true;
    return false;
}

/* Returns an outcome that no order had, or NULL. */
static const char *
first_missing(const struct model *model)
{
    for (size_t i = 0; model->outcomes[i] != NULL; i++)
        if (!was_seen(model->outcomes[i]))
            return model->outcomes[i];
    return NULL;
}

int
model_main(int argc, char **argv, const struct model *models, size_t count, const struct model_memory *memory)
{
    const bool is_planted = argc > 1 && strcmp(argv[1], "--planted") == 0;
    unsigned broken = 0, incomplete = 0;

    for (size_t i = 0; i < count && !(is_planted && broken > 0); i++) {
        memset(seen_outcomes, 0, sizeof seen_outcomes);
        const struct model_result result = model_explore(&models[i], memory, !is_planted);
        const char *missing = result.violation == NULL ? first_missing(&models[i]) : NULL;
        broken += result.violation != NULL;
        incomplete += missing != NULL;
        printf("%s: %llu states, %llu ends%s%s%s%s\n", models[i].name, (unsigned long long)result.states,
               (unsigned long long)result.ends, result.violation != NULL ? "; VIOLATED: " : "",
               result.violation != NULL ? result.violation : "", missing != NULL ? "; NEVER: " : "",
               missing != NULL ? missing : "");
        fflush(stdout);
    }
    if (is_planted) {
        puts(broken > 0 ? "a model finds the planted fault" : "NO MODEL FINDS THE PLANTED FAULT");
        return broken > 0 ? 0 : 1;
    }
    return broken + incomplete > 0 ? 1 : 0;
}
