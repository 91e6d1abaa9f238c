/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reading and searching. Each call pins what it reads, so it knows at its end whether the bytes were true, and may let
 * other threads run meanwhile.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memrchr(3) */
#endif
#include "region.h"

#include <string.h>

/* From this size on the GIL is released for a copy: releasing it costs about as much as copying some KiB. */
#define WORTH_RELEASING (64 * 1024)

/* Bytes of the region as an object. A loss is raised; `status_of` says what it was. */
static PyObject *
region_copy(struct region *region, Py_ssize_t start, Py_ssize_t length)
{
    mmg_span span;
    mmg_status status = mmg_pin(region->handle, (uint64_t)start, (uint64_t)length, &span);

    if (status != MMG_OK)
        return region_raise(region, status, NULL);
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, length);
    if (bytes == NULL) {
        mmg_unpin(&span);
        return NULL;
    }
    char *out = PyBytes_AsString(bytes);
    if (length < WORTH_RELEASING) {
        memcpy(out, span.data, (size_t)length);
        status = mmg_unpin(&span);
    } else {
        Py_BEGIN_ALLOW_THREADS memcpy(out, span.data, (size_t)length);
        status = mmg_unpin(&span);
        Py_END_ALLOW_THREADS
    }
    if (status != MMG_OK) {
        Py_DECREF(bytes);
        return region_raise(region, status, NULL);
    }
    return bytes;
}

/* What is left behind the position; 0 if that is beyond the end. */
static Py_ssize_t
region_left(const struct region *region)
{
    return region->position < region->size ? region->size - region->position : 0;
}

PyObject *
region_read(PyObject *self, PyObject *args)
{
    struct region *region = as_region(self);
    PyObject *count = Py_None;
    Py_ssize_t wanted = -1;

    if (!PyArg_ParseTuple(args, "|O:read", &count))
        return NULL;
    if (count != Py_None) {
        if (!PyIndex_Check(count))
            return PyErr_Format(PyExc_TypeError, "read() takes an integer or None");
        wanted = PyNumber_AsSsize_t(count, PyExc_OverflowError);
        if (wanted == -1 && PyErr_Occurred())
            return NULL;
    }
    if (!region_open(region))
        return NULL;
    if (wanted < 0 || wanted > region_left(region))
        wanted = region_left(region);
    Py_ssize_t start = region->position;
    PyObject *bytes = region_copy(region, start, wanted);
    if (bytes != NULL)
        region->position = start + wanted;
    return bytes;
}

PyObject *
region_read_byte(PyObject *self, PyObject *unused)
{
    struct region *region = as_region(self);
    mmg_span span;

    (void)unused;
    if (!region_open(region))
        return NULL;
    if (region_left(region) == 0) {
        PyErr_SetString(PyExc_ValueError, "read byte out of range");
        return NULL;
    }
    mmg_status status = mmg_pin(region->handle, (uint64_t)region->position, 1, &span);
    if (status != MMG_OK)
        return region_raise(region, status, NULL);
    long byte = span.data[0];
    status = mmg_unpin(&span);
    if (status != MMG_OK)
        return region_raise(region, status, NULL);
    region->position++;
    return PyLong_FromLong(byte);
}

/* The length of the line at the position, newline included. Looks at ever larger pieces, so that a short line costs little. */
static mmg_status
region_line(const struct region *region, Py_ssize_t *length)
{
    Py_ssize_t left = region_left(region), done = 0, piece = 256;

    while (done < left) {
        mmg_span span;
        if (piece > left - done)
            piece = left - done;
        mmg_status status = mmg_pin(region->handle, (uint64_t)(region->position + done), (uint64_t)piece, &span);
        if (status != MMG_OK)
            return status;
        const uint8_t *newline = memchr(span.data, '\n', (size_t)piece);
        Py_ssize_t seen = newline == NULL ? piece : newline - span.data + 1;
        status = mmg_unpin(&span);
        if (status != MMG_OK)
            return status;
        done += seen;
        if (newline != NULL)
            break;
        piece *= 4;
    }
    *length = done;
    return MMG_OK;
}

PyObject *
region_readline(PyObject *self, PyObject *unused)
{
    struct region *region = as_region(self);
    Py_ssize_t length;

    (void)unused;
    if (!region_open(region))
        return NULL;
    mmg_status status = region_line(region, &length);
    if (status != MMG_OK)
        return region_raise(region, status, NULL);
    PyObject *line = region_copy(region, region->position, length);
    if (line != NULL)
        region->position += length;
    return line;
}

PyObject *
region_read_into(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "offset", NULL};
    struct region *region = as_region(self);
    uint64_t offset = 0, got = 0;
    Py_buffer target;
    mmg_status status;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "w*|O&:read_into", names, &target, convert_u64, &offset))
        return NULL;
    if (!region_open(region)) {
        PyBuffer_Release(&target);
        return NULL;
    }
    mmg_handle handle = region->handle;
    Py_BEGIN_ALLOW_THREADS status = mmg_read(handle, offset, target.buf, (uint64_t)target.len, &got);
    Py_END_ALLOW_THREADS PyBuffer_Release(&target);
    if (status == MMG_E_RANGE) {
        PyErr_SetString(PyExc_ValueError, "offset is beyond the end of the region");
        return NULL;
    }
    if (status != MMG_OK)
        return region_raise(region, status, NULL);
    return PyLong_FromUnsignedLongLong(got);
}

PyObject *
region_seek(PyObject *self, PyObject *args)
{
    struct region *region = as_region(self);
    Py_ssize_t distance, base = 0;
    int whence = 0;

    if (!PyArg_ParseTuple(args, "n|i:seek", &distance, &whence) || !region_open(region))
        return NULL;
    if (whence < 0 || whence > 2) {
        PyErr_SetString(PyExc_ValueError, "unknown seek type");
        return NULL;
    }
    if (whence == 1)
        base = region->position;
    else if (whence == 2)
        base = region->size;
    /* Both base and size are between 0 and the largest Py_ssize_t, so none of this overflows. */
    if (distance < -base || distance > region->size - base) {
        PyErr_SetString(PyExc_ValueError, "seek out of range");
        return NULL;
    }
    region->position = base + distance;
    return PyLong_FromSsize_t(region->position);
}

PyObject *
region_tell(PyObject *self, PyObject *unused)
{
    (void)unused;
    return region_open(as_region(self)) ? PyLong_FromSsize_t(as_region(self)->position) : NULL;
}

/* ------------------------------------------------------------------------------------------------- searching -- */

/* The last occurrence in `size` bytes, or -1. */
static Py_ssize_t
last_in(const uint8_t *data, size_t size, const uint8_t *needle, size_t needle_size)
{
    if (needle_size > size)
        return -1;
    if (needle_size == 0)
        return (Py_ssize_t)size;
    for (size_t places = size - needle_size + 1; places > 0;) {
        const uint8_t *hit = memrchr(data, needle[0], places);
        if (hit == NULL)
            return -1;
        if (memcmp(hit, needle, needle_size) == 0)
            return hit - data;
        places = (size_t)(hit - data);
    }
    return -1;
}

/* Search region[start:end], which is inside the region, without the GIL. `*found` is -1 if there is none. */
static mmg_status
search(mmg_handle handle, Py_ssize_t start, Py_ssize_t end, const Py_buffer *needle, bool backwards, Py_ssize_t *found)
{
    uint64_t position = MMG_NOT_FOUND, offset = (uint64_t)start, length = (uint64_t)(end - start);
    mmg_status status;
    mmg_span span;

    if (!backwards) {
        status = mmg_find(handle, offset, length, needle->buf, (uint64_t)needle->len, &position);
        *found = position == MMG_NOT_FOUND ? -1 : (Py_ssize_t)position;
        return status;
    }
    status = mmg_pin(handle, offset, length, &span);
    if (status != MMG_OK)
        return status;
    *found = last_in(span.data, (size_t)length, needle->buf, (size_t)needle->len);
    if (*found >= 0)
        *found += start;
    return mmg_unpin(&span);
}

/* As slices take them: None is the default, huge numbers are cut to size. */
static int
convert_bound(PyObject *object, void *result)
{
    if (object == Py_None)
        return 1;
    if (!PyIndex_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "start and end must be integers or None");
        return 0;
    }
    Py_ssize_t bound = PyNumber_AsSsize_t(object, NULL);
    if (bound == -1 && PyErr_Occurred())
        return 0;
    *(Py_ssize_t *)result = bound;
    return 1;
}

static PyObject *
region_search(struct region *region, PyObject *args, bool backwards)
{
    Py_ssize_t start = region->position, end = PY_SSIZE_T_MAX, found = -1;
    Py_buffer needle;
    mmg_status status = MMG_OK;

    if (!PyArg_ParseTuple(args, backwards ? "y*|O&O&:rfind" : "y*|O&O&:find", &needle, convert_bound, &start,
                          convert_bound, &end))
        return NULL;
    if (!region_open(region)) {
        PyBuffer_Release(&needle);
        return NULL;
    }
    bool outside = start > region->size; /* where not even an empty needle is found */
    PySlice_AdjustIndices(region->size, &start, &end, 1);
    mmg_handle handle = region->handle;
    if (!outside && start <= end && needle.len <= end - start) {
        Py_BEGIN_ALLOW_THREADS status = search(handle, start, end, &needle, backwards, &found);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&needle);
    return status == MMG_OK ? PyLong_FromSsize_t(found) : region_raise(region, status, NULL);
}

PyObject *
region_find(PyObject *self, PyObject *args)
{
    return region_search(as_region(self), args, false);
}

PyObject *
region_rfind(PyObject *self, PyObject *args)
{
    return region_search(as_region(self), args, true);
}

int
region_contains(PyObject *self, PyObject *item)
{
    struct region *region = as_region(self);
    Py_ssize_t found = -1;
    uint8_t byte;
    Py_buffer needle = {.buf = &byte, .len = 1};

    if (PyIndex_Check(item)) {
        Py_ssize_t value = PyNumber_AsSsize_t(item, PyExc_ValueError);
        if (value == -1 && PyErr_Occurred())
            return -1;
        if (value < 0 || value > 255) {
            PyErr_SetString(PyExc_ValueError, "byte must be in range(0, 256)");
            return -1;
        }
        byte = (uint8_t)value;
    } else if (PyObject_GetBuffer(item, &needle, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    mmg_status status = MMG_E_HANDLE;
    if (region->handle != 0) {
        mmg_handle handle = region->handle;
        Py_ssize_t size = region->size;
        Py_BEGIN_ALLOW_THREADS status = search(handle, 0, size, &needle, false, &found);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&needle);
    if (status != MMG_OK) {
        region_raise(region, status, NULL);
        return -1;
    }
    return found >= 0;
}
