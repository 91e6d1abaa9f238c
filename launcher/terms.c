/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The words for --on-loss. The environment uses the same words.
 */
#include "terms.h"

#include <string.h>

bool
on_loss_parse(const char *word, enum on_loss *on_loss)
{
    static const char *const words[] = {
        [ON_LOSS_FAIL] = "fail",
        [ON_LOSS_REPORT] = "report",
        [ON_LOSS_ABORT] = "abort",
    };

    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp(word, words[i]) == 0) {
            *on_loss = (enum on_loss)i;
            return true;
        }
    return false;
}
