/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The list of all regions that have a handle. It tells to which region the bytes of a buffer belong, and which regions
 * have given bytes away and were not checked when the interpreter ends. The GIL protects the list.
 */
#include "region.h"

static struct mgpy_region *first;
static atomic_bool exiting;

bool
mgpy_exiting(void)
{
    return exiting;
}

void
mgpy_list_add(struct mgpy_region *region)
{
    region->previous = NULL;
    region->next = first;
    if (first != NULL)
        first->previous = region;
    first = region;
}

void
mgpy_list_remove(struct mgpy_region *region)
{
    if (region->previous != NULL)
        region->previous->next = region->next;
    else
        first = region->next;
    if (region->next != NULL)
        region->next->previous = region->previous;
    region->next = region->previous = NULL;
}

/* Stores the lowest address of the bytes in a buffer and the end of the highest one, for any strides. */
static void
buffer_extent(const Py_buffer *view, const uint8_t **low, const uint8_t **end)
{
    *low = view->buf;
    *end = *low + (view->len > 0 ? view->itemsize : 0);
    if (view->strides == NULL) {
        *end = *low + view->len;
        return;
    }
    for (int i = 0; view->len > 0 && i < view->ndim; i++) {
        Py_ssize_t reach = (view->shape[i] - 1) * view->strides[i];
        if (reach < 0)
            *low += reach;
        else
            *end += reach;
    }
}

/*
 * Returns a tuple: the region whose bytes an object shows, and the offset and the length of the range in that region.
 * Returns None when the bytes do not belong to a region with a handle.
 */
PyObject *
mgpy_find_owner(PyObject *module, PyObject *object)
{
    const uint8_t *low, *end;
    Py_buffer view;

    (void)module;
    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0)
        return NULL;
    mgpy_arrow_collect(NULL);
    buffer_extent(&view, &low, &end);
    PyObject *found = NULL;
    for (struct mgpy_region *region = first; region != NULL && found == NULL; region = region->next) {
        const uint8_t *data = region->base.data;
        if (region->base.pin != 0 && low >= data && end <= data + region->base.size)
            found = Py_BuildValue("(Onn)", (PyObject *)region, (Py_ssize_t)(low - data), (Py_ssize_t)(end - low));
        if (found == NULL && PyErr_Occurred())
            break;
    }
    PyBuffer_Release(&view);
    if (found == NULL && !PyErr_Occurred())
        return Py_NewRef(Py_None);
    return found;
}

/*
 * Returns a list of the mapped regions that have given bytes away and whose losses were not reported yet. Python calls
 * this function when the interpreter ends.
 */
PyObject *
mgpy_unsettled(PyObject *module, PyObject *unused)
{
    (void)module;
    (void)unused;
    exiting = true;
    mgpy_arrow_collect(NULL);
    PyObject *list = PyList_New(0);
    for (struct mgpy_region *region = first; list != NULL && region != NULL; region = region->next) {
        if (region->copied || region->told || region->base.pin == 0)
            continue;
        if (PyList_Append(list, (PyObject *)region) < 0)
            Py_CLEAR(list);
    }
    return list;
}
