/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The Arrow PyCapsule interface: a region as an array of uint8, without a copy. The library makes the array, and the
 * release callback of the array gives the bytes back. This file puts the array and its schema into the two capsules
 * that the consumers of Arrow expect. A capsule whose contents were not taken releases them at its end.
 */
#include "region.h"

#include <stdlib.h>

#include "mmapguard_arrow.h"

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
    mmg_status status = schema == NULL || array == NULL
                            ? MMG_E_NO_MEMORY
                            : mmg_export_arrow(region->handle, 0, MMG_TO_END, array, schema);
    if (status == MMG_OK)
        return capsules(schema, array);
    free(schema);
    free(array);
    return mgpy_raise(region, status);
}
