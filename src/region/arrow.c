/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * An Arrow array may be moved by copying its bytes, so none of its pointers may point into the array. What it needs beyond
 * its own members is in a separate block on the heap, and the release callback frees that block. As Arrow demands, the
 * callback runs once for all copies of an array: after a move the old copy is not released.
 */
#include "region/arrow.h"

#include <stddef.h>
#include <stdlib.h>

#include "handle/pin.h"

/* On 32-bit systems there may be gaps before the 64-bit members. The C ABI makes them the same in every program. */
_Static_assert(sizeof(void *) < 8 || sizeof(struct ArrowSchema) == 2 * sizeof(int64_t) + 7 * sizeof(void *),
               "as Arrow lays it out");
_Static_assert(sizeof(void *) < 8 || sizeof(struct ArrowArray) == 5 * sizeof(int64_t) + 5 * sizeof(void *),
               "as Arrow lays it out");
_Static_assert(offsetof(struct ArrowArray, buffers) == 5 * sizeof(int64_t), "the counts come first");

/* The block that an array refers to. */
struct holding {
    const void *buffers[2]; /* the validity bitmap, NULL since there are no nulls; then the bytes */
    uint64_t pin;
};

static void
schema_release(struct ArrowSchema *schema)
{
    schema->release = NULL; /* all other members point to static data */
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
        .length = (int64_t)span->size, /* a size in memory, so it is below 2^63 */
        .n_buffers = 2,
        .buffers = holding->buffers,
        .release = array_release,
        .private_data = holding,
    };
    if (schema != NULL) /* the format "C" is uint8; no flags are set, so there are no nulls */
        *schema = (struct ArrowSchema){.format = "C", .name = "", .release = schema_release};
    return MMG_OK;
}
