/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The Arrow PyCapsule interface: a region as an array of uint8, without a copy. The library makes the array, and its
 * release gives the bytes back; here they are put into the two capsules that Arrow's consumers ask for. A capsule that
 * nobody took the contents of releases them.
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

/* The pair of capsules for contents that are released, whatever happens, by them. NULL with an exception set. */
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
    PyObject *requested = Py_None; /* a wish, which a producer need not grant: it is bytes, whatever is asked */

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|O", names, &requested) || !mgpy_ready(region))
        return NULL;
    if (region->lender != NULL) {
        /* An array outlives the region, and nothing would keep the owner from unmapping its bytes. */
        PyErr_SetString(PyExc_ValueError, "an adopted region is no Arrow array; its owner's buffer is");
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
