/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The Arrow PyCapsule interface: a region as an array of uint8, without a copy. The library makes the array, and the
 * release callback of the array gives the bytes back. This file puts the array and its schema into the two capsules
 * that the consumers of Arrow expect. A capsule whose contents were not taken releases them at its end.
 *
 * An array counts as a view of its region, so that check() and the report at the end of the interpreter know its bytes.
 * A consumer may release an array in any thread, without the GIL, and after the interpreter has ended. So the release
 * only puts the array on a list. The interpreter takes the arrays off the list at its next opportunity.
 */
#include "region.h"

#include <stdlib.h>

#include "mmapguard_arrow.h"

/* What an array refers to in the place of the library's own data. */
struct lending {
    struct mgpy_region *region; /* a reference of its own */
    void (*release)(struct ArrowArray *);
    void *private_data;
    struct lending *next;
};

/* The arrays that were released, and whose regions do not know it yet. */
static _Atomic(struct lending *) returned;

int
mgpy_arrow_collect(void *unused)
{
    (void)unused;
    struct lending *lending = atomic_exchange(&returned, NULL);
    while (lending != NULL) {
        struct lending *next = lending->next;
        mgpy_view_ended(lending->region);
        Py_DECREF((PyObject *)lending->region);
        free(lending);
        lending = next;
    }
    return 0;
}

/* The release callback of an array. Runs in any thread. */
static void
lending_end(struct ArrowArray *array)
{
    struct lending *lending = array->private_data;

    array->private_data = lending->private_data;
    lending->release(array); /* ends the pin of the array */
    array->release = NULL;
    lending->next = atomic_load(&returned);
    while (!atomic_compare_exchange_weak(&returned, &lending->next, lending)) {
    }
    /* This fails when many calls wait, and a later call then takes this array off the list. */
    if (!mgpy_exiting())
        Py_AddPendingCall(mgpy_arrow_collect, NULL);
}

/* Makes the array a view of the region. */
static void
lending_begin(struct lending *lending, struct mgpy_region *region, struct ArrowArray *array)
{
    *lending = (struct lending){region, array->release, array->private_data, NULL};
    Py_INCREF((PyObject *)region);
    region->exports++;
    array->private_data = lending;
    array->release = lending_end;
}

static void
schema_end(PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");

    if (schema != NULL && schema->release != NULL)
        schema->release(schema);
    free(schema);
}

static void
array_end(PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");

    if (array != NULL && array->release != NULL)
        array->release(array);
    free(array);
}

/* Returns the pair of capsules, or NULL with an exception set. In both cases the capsules release the contents. */
static PyObject *
capsules(struct ArrowSchema *schema, struct ArrowArray *array)
{
    PyObject *second = NULL, *pair = NULL;
    PyObject *first = PyCapsule_New(schema, "arrow_schema", schema_end);

    if (first == NULL) {
        schema->release(schema);
        free(schema);
    } else {
        second = PyCapsule_New(array, "arrow_array", array_end);
    }
    if (second == NULL) {
        array->release(array);
        free(array);
    } else {
        pair = PyTuple_Pack(2, first, second);
    }
    Py_XDECREF(first);
    Py_XDECREF(second);
    return pair;
}

PyObject *
mgpy_region_arrow(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"requested_schema", NULL};
    struct mgpy_region *region = mgpy_region_of(self);
    PyObject *requested = Py_None; /* ignored, as Arrow allows: the array always has bytes */

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", names, &requested) || !mgpy_ready(region))
        return NULL;
    if (region->lender != NULL) {
        /* The array may outlive the region, and then the owner of the mapping could unmap its bytes. */
        PyErr_SetString(PyExc_ValueError,
                        "an adopted region cannot become an Arrow array; use the buffer that was adopted");
        return NULL;
    }
    struct ArrowSchema *schema = calloc(1, sizeof *schema);
    struct ArrowArray *array = calloc(1, sizeof *array);
    struct lending *lending = calloc(1, sizeof *lending);
    mmg_status status = schema == NULL || array == NULL || lending == NULL ? MMG_E_NO_MEMORY : MMG_OK;
    if (status == MMG_OK && mgpy_bytes(region, &status) != NULL) /* check() finds the array by the region's own pin */
        status = mmg_export_arrow(region->handle, 0, MMG_TO_END, array, schema);
    if (status == MMG_OK) {
        lending_begin(lending, region, array);
        return capsules(schema, array);
    }
    free(schema);
    free(array);
    free(lending);
    return mgpy_raise(region, status);
}
