/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The bytes without a copy: the buffer protocol, and indexing.
 */
#include "region.h"

/* The token of an export's pin is kept in Py_buffer.internal. */
_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a pointer holds a pin token");

/* ---------------------------------------------------------------------------------------------------- buffers -- */

/*
 * All bytes. They stay pinned from the first use to the end of the region, so that an index costs no more than with a plain
 * mapping. NULL with an exception set: closed, or a loss is known.
 */
static const uint8_t *
region_bytes(struct region *region)
{
    if (region->data != NULL)
        return region->data;
    if (!region_open(region))
        return NULL;
    mmg_status status = mmg_pin(region->handle, 0, MMG_TO_END, &region->base);
    if (status != MMG_OK) {
        region_raise(region, status, NULL);
        return NULL;
    }
    return region->data = region->base.data;
}

/* A pin for an export: the one that indexing uses, if no export has it, else a new one. 0 with an exception set. */
static uint64_t
export_pin(struct region *region)
{
    mmg_span span;

    if (!region->lent)
        return region_bytes(region) == NULL ? 0 : region->base.pin;
    mmg_status status = mmg_pin(region->handle, 0, MMG_TO_END, &span);
    if (status == MMG_OK)
        return span.pin;
    region_raise(region, status, NULL);
    return 0;
}

/* End an export's pin, unless the region goes on using it. */
static mmg_status
export_unpin(struct region *region, mmg_span *span)
{
    if (span->pin != region->base.pin)
        return mmg_unpin(span);
    region->lent = false;
    return MMG_OK;
}

int
region_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    struct region *region = as_region(self);
    uint64_t pin = export_pin(region);

    view->obj = NULL;
    if (pin == 0)
        return -1;
    bool lent = pin == region->base.pin;
    /* The consumer gets no const; that it may not write is what the 1 says. */
    if (PyBuffer_FillInfo(view, self, (void *)(uintptr_t)region->data, region->size, 1, flags) < 0) {
        mmg_span span = {region->data, 0, pin};
        if (!lent)
            mmg_unpin(&span);
        return -1;
    }
    view->internal = (void *)(uintptr_t)pin; /* after FillInfo, which clears it */
    region->lent = true;                     /* with a pin of its own, the export found it true */
    region->exports++;
    return 0;
}

void
region_releasebuffer(PyObject *self, Py_buffer *view)
{
    struct region *region = as_region(self);
    mmg_span span = {view->buf, (uint64_t)view->len, (uint64_t)(uintptr_t)view->internal};

    region->exports--;
    region_note(region, export_unpin(region, &span));
    /* While the region is open, check() can tell. */
    if (region->untold != MMG_OK && region->handle == 0 && region_warn(region, region->untold) < 0)
        PyErr_WriteUnraisable(self);
}

/* --------------------------------------------------------------------------------------------------- indexing -- */

/* 0 to 255 as objects, made once; they are never given back. */
static PyObject *byte_objects[256];

int
region_view_init(void)
{
    for (int i = 0; i < 256; i++) {
        if (byte_objects[i] == NULL)
            byte_objects[i] = PyLong_FromLong(i);
        if (byte_objects[i] == NULL)
            return -1;
    }
    return 0;
}

/*
 * Some bytes for reading now, usually by the pin that stands. Where that cannot be had, since a loss is known elsewhere in the
 * region, they are pinned by themselves. MMG_OK, or what prevents it.
 */
static mmg_status
piece_begin(struct region *region, Py_ssize_t start, Py_ssize_t length, mmg_span *piece)
{
    if (region->data == NULL) {
        mmg_status status = mmg_pin(region->handle, 0, MMG_TO_END, &region->base);
        if (is_loss(status))
            return mmg_pin(region->handle, (uint64_t)start, (uint64_t)length, piece);
        if (status != MMG_OK)
            return status;
        region->data = region->base.data;
    }
    *piece = (mmg_span){region->data + start, (uint64_t)length, 0};
    return MMG_OK;
}

static mmg_status
piece_end(mmg_span *piece)
{
    return piece->pin == 0 ? MMG_OK : mmg_unpin(piece);
}

PyObject *
region_item(PyObject *self, Py_ssize_t index)
{
    struct region *region = as_region(self);
    mmg_span piece;

    /* As unsigned, a negative index is a large one. Closed, the size is 0 and there are no bytes. */
    if ((size_t)index < (size_t)region->size && region->data != NULL)
        return Py_NewRef(byte_objects[region->data[index]]);
    if (!region_open(region))
        return NULL;
    if ((size_t)index >= (size_t)region->size) {
        PyErr_SetString(PyExc_IndexError, "region index out of range");
        return NULL;
    }
    mmg_status status = piece_begin(region, index, 1, &piece);
    if (status != MMG_OK)
        return region_raise(region, status, NULL);
    PyObject *byte = Py_NewRef(byte_objects[piece.data[0]]);
    status = piece_end(&piece);
    if (status == MMG_OK)
        return byte;
    Py_DECREF(byte);
    return region_raise(region, status, NULL);
}

/* Every step-th byte from `start` on, `length` of them. */
static PyObject *
bytes_by_step(const uint8_t *start, Py_ssize_t length, Py_ssize_t step)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, length);

    if (bytes == NULL)
        return NULL;
    char *out = PyBytes_AsString(bytes);
    for (Py_ssize_t i = 0; i < length; i++)
        out[i] = (char)start[i * step];
    return bytes;
}

static PyObject *
region_slice(struct region *region, PyObject *slice)
{
    Py_ssize_t start, stop, step;
    mmg_span piece;

    /* Unpack first: it runs the indices' own code, which may close the region. */
    if (PySlice_Unpack(slice, &start, &stop, &step) < 0 || !region_open(region))
        return NULL;
    Py_ssize_t length = PySlice_AdjustIndices(region->size, &start, &stop, step);
    if (length == 0)
        return PyBytes_FromStringAndSize(NULL, 0);
    Py_ssize_t last = start + (length - 1) * step, low = step < 0 ? last : start;
    mmg_status status = piece_begin(region, low, (step < 0 ? start : last) - low + 1, &piece);
    if (status != MMG_OK)
        return region_raise(region, status, NULL);
    PyObject *bytes = step == 1 ? PyBytes_FromStringAndSize((const char *)piece.data, length)
                                : bytes_by_step(piece.data + (start - low), length, step);
    status = piece_end(&piece);
    if (status == MMG_OK)
        return bytes;
    Py_XDECREF(bytes);
    return region_raise(region, status, NULL);
}

PyObject *
region_subscript(PyObject *self, PyObject *key)
{
    struct region *region = as_region(self);
    Py_ssize_t index;

    if (Py_IS_TYPE(key, &PySlice_Type))
        return region_slice(region, key);
    if (Py_IS_TYPE(key, &PyLong_Type)) {
        index = PyLong_AsSsize_t(key);
        if (index == -1 && PyErr_Occurred()) {
            PyErr_SetString(PyExc_IndexError, "cannot fit 'int' into an index-sized integer");
            return NULL;
        }
    } else {
        if (!PyIndex_Check(key)) {
            PyErr_SetString(PyExc_TypeError, "region indices must be integers or slices");
            return NULL;
        }
        index = PyNumber_AsSsize_t(key, PyExc_IndexError);
        if (index == -1 && PyErr_Occurred())
            return NULL;
    }
    return region_item(self, index < 0 ? index + region->size : index);
}

Py_ssize_t
region_length(PyObject *self)
{
    return region_open(as_region(self)) ? as_region(self)->size : -1;
}
