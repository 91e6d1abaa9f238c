/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Searches a region. Most hits are near, so the code here searches the first bytes itself, under the region's pin and
 * without a call of the library. The library searches the rest piece by piece, without the GIL. Between two pieces
 * Python handles its signals, so that Ctrl-C ends a long search soon.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* memmem(3), memrchr(3) */
#endif
#include "region.h"

#include <string.h>

/* So many positions are searched here, since that takes about as long as a call of the library. */
#define NEAR ((Py_ssize_t)4 << 10)
/* The library alone searches for a longer needle. */
#define SHORT_NEEDLE ((Py_ssize_t)256)
/* The size of a piece. A slow disk delivers so many bytes in some hundredths of a second. */
#define PIECE ((Py_ssize_t)2 << 20)

struct needle {
    const uint8_t *bytes;
    Py_ssize_t size;
};

/* Searches one piece in one call of the library. Stores the position of the hit or -1. */
static mmg_status
search_piece(mmg_handle handle, Py_ssize_t start, Py_ssize_t length, const struct needle *needle, bool backwards,
             Py_ssize_t *found)
{
    uint64_t position = MMG_NOT_FOUND;
    mmg_status status = (backwards ? mmg_find_last : mmg_find)(handle, (uint64_t)start, (uint64_t)length, needle->bytes,
                                                               (uint64_t)needle->size, &position);

    *found = position == MMG_NOT_FOUND ? -1 : (Py_ssize_t)position;
    return status;
}

/*
 * Searches the positions nearest to the beginning of the search, and takes them off the range. Stores the position of a
 * hit, or -1. Where the bytes are not certainly true, the function takes nothing off, and the library searches them
 * again.
 */
static void
search_near(struct mgpy_region *region, Py_ssize_t *start, Py_ssize_t *end, const struct needle *needle, bool backwards,
            Py_ssize_t *found)
{
    Py_ssize_t places = *end - *start - needle->size + 1;
    mmg_status status;

    const uint8_t *data = mgpy_bytes(region, &status);
    if (data == NULL || needle->size == 0 || needle->size > (backwards ? 1 : SHORT_NEEDLE))
        return;
    if (places > NEAR)
        places = NEAR;
    /* The positions are in the bytes from `low` on. */
    Py_ssize_t length = places + needle->size - 1;
    const uint8_t *low = data + (backwards ? *end - length : *start), *last = low + length - 1, *hit;
    if (needle->size > 1)
        hit = memmem(low, (size_t)length, needle->bytes, (size_t)needle->size);
    else
        hit = (backwards ? memrchr : memchr)(low, needle->bytes[0], (size_t)length);
    if (hit != NULL && !backwards)
        last = hit + needle->size - 1; /* the bytes behind the hit were not read */
    if (!mgpy_certain(region, hit != NULL && backwards ? hit : low, last))
        return;
    if (hit != NULL)
        *found = hit - data;
    else if (backwards)
        *end -= places;
    else
        *start += places;
}

/*
 * Searches region[start:end], which is inside the region and at least as long as the needle. Stores the position or -1.
 * Returns 0, or -1 with an exception set.
 */
static int
search(struct mgpy_region *region, Py_ssize_t start, Py_ssize_t end, const struct needle *needle, bool backwards,
       Py_ssize_t *found)
{
    mmg_handle handle = region->handle;
    mmg_status status;

    *found = -1;
    search_near(region, &start, &end, needle, backwards, found);
    Py_ssize_t places = end - start - needle->size + 1;
    for (Py_ssize_t done = 0; done < places && *found < 0; done += PIECE) {
        Py_ssize_t piece = places - done < PIECE ? places - done : PIECE;
        Py_ssize_t at = backwards ? start + places - done - piece : start + done, length = piece + needle->size - 1;
        if (PyErr_CheckSignals() != 0)
            return -1;
        Py_BEGIN_ALLOW_THREADS
        status = search_piece(handle, at, length, needle, backwards, found);
        Py_END_ALLOW_THREADS
        if (status != MMG_OK) {
            mgpy_raise(region, status);
            return -1;
        }
    }
    return 0;
}

int
mgpy_find_newline(struct mgpy_region *region, Py_ssize_t start, Py_ssize_t end, Py_ssize_t *found)
{
    const struct needle newline = {(const uint8_t *)"\n", 1};

    *found = -1;
    return start < end ? search(region, start, end, &newline, false, found) : 0;
}

/*
 * Converts a bound of a search as slices do: None leaves the default, and a huge number becomes the largest one.
 * Returns 0, or -1 with an exception set.
 */
static int
convert_bound(PyObject *object, Py_ssize_t *result)
{
    if (object == Py_None)
        return 0;
    if (!PyIndex_Check(object)) {
        PyErr_SetString(PyExc_TypeError, "start and end must be integers or None");
        return -1;
    }
    Py_ssize_t bound = PyNumber_AsSsize_t(object, NULL);
    if (bound == -1 && PyErr_Occurred())
        return -1;
    *result = bound;
    return 0;
}

/* Converts the bounds of a search, which are arguments 2 and 3. Returns 0, or -1 with an exception set. */
static int
convert_bounds(PyObject *const *args, Py_ssize_t count, Py_ssize_t *start, Py_ssize_t *end)
{
    if (count > 1 && convert_bound(args[1], start) < 0)
        return -1;
    return count > 2 ? convert_bound(args[2], end) : 0;
}

static PyObject *
find_between(struct mgpy_region *region, Py_ssize_t start, Py_ssize_t end, const struct needle *needle, bool backwards)
{
    Py_ssize_t found = -1;
    bool outside = start > region->size; /* behind the end, even an empty needle is not found */

    PySlice_AdjustIndices(region->size, &start, &end, 1);
    if (!outside && start <= end && needle->size <= end - start &&
        search(region, start, end, needle, backwards, &found) < 0)
        return NULL;
    return PyLong_FromSsize_t(found);
}

static PyObject *
region_search(struct mgpy_region *region, PyObject *const *args, Py_ssize_t count, bool backwards)
{
    Py_ssize_t start = region->position, end = PY_SSIZE_T_MAX;
    PyObject *result = NULL;
    Py_buffer view;

    if (count < 1 || count > 3)
        return PyErr_Format(PyExc_TypeError, "%s() takes from 1 to 3 arguments (%zd given)",
                            backwards ? "rfind" : "find", count);
    if (PyBytes_Check(args[0])) { /* by far the most frequent type, and it needs no buffer */
        if (convert_bounds(args, count, &start, &end) < 0 || !mgpy_ready(region))
            return NULL;
        const struct needle needle = {(const uint8_t *)PyBytes_AsString(args[0]), PyBytes_Size(args[0])};
        return find_between(region, start, end, &needle, backwards);
    }
    if (PyObject_GetBuffer(args[0], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    if (convert_bounds(args, count, &start, &end) == 0 && mgpy_ready(region)) {
        const struct needle needle = {view.buf, view.len};
        result = find_between(region, start, end, &needle, backwards);
    }
    PyBuffer_Release(&view);
    return result;
}

PyObject *
mgpy_region_find(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return region_search(mgpy_region_of(self), args, count, false);
}

PyObject *
mgpy_region_rfind(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return region_search(mgpy_region_of(self), args, count, true);
}

/* Converts the left operand of `in`, when it is a number. Returns 0, or -1 with an exception set. */
static int
convert_byte(PyObject *item, uint8_t *byte)
{
    Py_ssize_t value = PyNumber_AsSsize_t(item, PyExc_ValueError);

    if (value == -1 && PyErr_Occurred())
        return -1;
    if (value < 0 || value > 255) {
        PyErr_SetString(PyExc_ValueError, "byte must be in range(0, 256)");
        return -1;
    }
    *byte = (uint8_t)value;
    return 0;
}

int
mgpy_region_contains(PyObject *self, PyObject *item)
{
    struct mgpy_region *region = mgpy_region_of(self);
    Py_ssize_t found = -1;
    uint8_t byte;
    Py_buffer view = {.buf = &byte, .len = 1};
    int result = -1;

    if (PyIndex_Check(item) ? convert_byte(item, &byte) : PyObject_GetBuffer(item, &view, PyBUF_SIMPLE))
        return -1;
    const struct needle needle = {view.buf, view.len};
    if (mgpy_ready(region)) {
        if (needle.size == 0)
            found = 0;
        result = needle.size == 0 || needle.size > region->size
                     ? 0
                     : search(region, 0, region->size, &needle, false, &found);
    }
    PyBuffer_Release(&view);
    return result < 0 ? -1 : found >= 0;
}
