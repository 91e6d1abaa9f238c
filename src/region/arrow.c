/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An exported array may be moved by copying it byte by byte, so nothing in it points into itself: what it needs beyond
 * its own members stands in a block of its own, which goes with whichever copy is released. There is one release for all
 * copies, as Arrow demands: after a move the source is forgotten, not released.
 */
#include "region/arrow.h"

#include <stddef.h>
#include <stdlib.h>

#include "handle/pin.h"

/* Pointers of 32 bits can leave gaps before the 64-bit members: the same ones in every program, by the C ABI. */
_Static_assert(sizeof(void *) < 8 || sizeof(struct ArrowSchema) == 2 * sizeof(int64_t) + 7 * sizeof(void *),
               "as Arrow lays it out");
_Static_assert(sizeof(void *) < 8 || sizeof(struct ArrowArray) == 5 * sizeof(int64_t) + 5 * sizeof(void *),
               "as Arrow lays it out");
_Static_assert(offsetof(struct ArrowArray, buffers) == 5 * sizeof(int64_t), "the counts come first");

/* What an array refers to. */
struct holding {
    const void *buffers[2]; /* which bytes are valid: NULL, all of them; the bytes */
    uint64_t pin;
};

static void
schema_release(struct ArrowSchema *schema)
{
    schema->release = NULL; /* everything else is static */
}

static void
array_release(struct ArrowArray *array)
{
    struct holding *holding = array->private_data;

    array->release = NULL;
    array->private_data = NULL;
    if (holding == NULL)
        return;
    uint64_t pin = holding->pin;
    free(holding);
    pin_release(pin);
}

mmg_status
mmgi_arrow_export(const mmg_span *span, struct ArrowArray *array, struct ArrowSchema *schema)
{
    struct holding *holding = malloc(sizeof *holding);

    if (holding == NULL)
        return MMG_E_NO_MEMORY;
    *holding = (struct holding){.buffers = {NULL, span->data}, .pin = span->pin};
    *array = (struct ArrowArray){
        .length = (int64_t)span->size, /* of bytes in memory: far below 2^63 */
        .n_buffers = 2,
        .buffers = holding->buffers,
        .release = array_release,
        .private_data = holding,
    };
    if (schema != NULL) /* "C": uint8; no flags: no nulls */
        *schema = (struct ArrowSchema){.format = "C", .name = "", .release = schema_release};
    return MMG_OK;
}
