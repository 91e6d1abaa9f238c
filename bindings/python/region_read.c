/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reads from the position, as from a file. Each call moves the position before it may release the GIL, so that threads
 * that share a region get each byte once.
 */
#include "region.h"

#include <string.h>

/* The code searches so many bytes for the end of a line without a call of the library. */
#define SHORT_LINE ((Py_ssize_t)4096)
/* Python handles its signals after so many bytes that the kernel has copied. */
#define READ_PIECE ((uint64_t)16 << 20)

/* Returns the number of bytes behind the position; 0 if the position is beyond the end. */
static Py_ssize_t
region_left(const struct mgpy_region *region)
{
    return region->position < region->size ? region->size - region->position : 0;
}

/*
 * Copies `length` bytes from the position on, and moves the position behind them. After a failure it moves the position
 * back, unless another thread has moved it.
 */
static PyObject *
region_take(struct mgpy_region *region, Py_ssize_t length)
{
    Py_ssize_t start = region->position;

    region->position = start + length;
    PyObject *bytes = mgpy_copy(region, start, length);
    if (bytes == NULL && region->position == start + length)
        region->position = start;
    return bytes;
}

/* Converts the argument of read(). Returns 0, or -1 with an exception set. */
static int
convert_count(PyObject *count, Py_ssize_t *wanted)
{
    *wanted = -1;
    if (count == Py_None)
        return 0;
    if (!PyIndex_Check(count)) {
        PyErr_SetString(PyExc_TypeError, "read() takes an integer or None");
        return -1;
    }
    *wanted = PyNumber_AsSsize_t(count, PyExc_OverflowError);
    return *wanted == -1 && PyErr_Occurred() ? -1 : 0;
}

PyObject *
mgpy_region_read(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct mgpy_region *region = mgpy_region_of(self);
    Py_ssize_t wanted;

    if (count > 1)
        return PyErr_Format(PyExc_TypeError, "read() takes at most 1 argument (%zd given)", count);
    if (convert_count(count == 1 ? args[0] : Py_None, &wanted) < 0 || !mgpy_ready(region))
        return NULL;
    if (wanted < 0 || wanted > region_left(region))
        wanted = region_left(region);
    return region_take(region, wanted);
}

PyObject *
mgpy_region_read_byte(PyObject *self, PyObject *unused)
{
    struct mgpy_region *region = mgpy_region_of(self);

    (void)unused;
    if (!mgpy_ready(region))
        return NULL;
    if (region_left(region) == 0) {
        PyErr_SetString(PyExc_ValueError, "read byte out of range");
        return NULL;
    }
    PyObject *bytes = region_take(region, 1);
    if (bytes == NULL)
        return NULL;
    long byte = (unsigned char)PyBytes_AsString(bytes)[0];
    Py_DECREF(bytes);
    return PyLong_FromLong(byte);
}

/*
 * Returns a line that is not short. The library searches for its end without the GIL, and Python handles its signals
 * meanwhile.
 */
static PyObject *
long_line(struct mgpy_region *region)
{
    Py_ssize_t start, size, found;

    do {
        start = region->position;
        size = region->size;
        if (mgpy_find_newline(region, start, size, &found) < 0)
            return NULL;
        /* Another thread may have read this line, or closed the region, while the GIL was released. */
        if (!mgpy_ready(region))
            return NULL;
    } while (region->position != start || region->size != size);
    return region_take(region, (found < 0 ? size : found + 1) - start);
}

PyObject *
mgpy_region_readline(PyObject *self, PyObject *unused)
{
    struct mgpy_region *region = mgpy_region_of(self);
    mmg_status status;

    (void)unused;
    if (!mgpy_ready(region))
        return NULL;
    Py_ssize_t left = region_left(region), near = left < SHORT_LINE ? left : SHORT_LINE;
    const uint8_t *data = region->data != NULL ? region->data : mgpy_bytes(region, &status);
    if (data == NULL || near == 0)
        return near == 0 ? PyBytes_FromStringAndSize(NULL, 0) : long_line(region);
    const uint8_t *start = data + region->position, *newline = memchr(start, '\n', (size_t)near);
    if (newline != NULL) {
        PyObject *line = PyBytes_FromStringAndSize((const char *)start, newline - start + 1);
        if (line != NULL && (mgpy_certain_in_page(region, start, newline) || mgpy_certain(region, start, newline))) {
            region->position += newline - start + 1;
            return line;
        }
        Py_XDECREF(line);
        return region_take(region, newline - start + 1); /* not certainly true, so use a pin */
    }
    return near == left ? region_take(region, left) : long_line(region);
}

/*
 * Copies bytes from `offset` on into a writable buffer, piece by piece, and lets Python handle its signals in between.
 * Returns their number, or -1 with an exception set.
 */
static Py_ssize_t
read_into(struct mgpy_region *region, uint64_t offset, Py_buffer *target)
{
    mmg_handle handle = region->handle;
    uint64_t got = 0, piece, length = (uint64_t)target->len;
    mmg_status status;

    do {
        piece = 0; /* a refusal writes nothing */
        uint64_t part = length - got < READ_PIECE ? length - got : READ_PIECE;
        if (got > 0 && PyErr_CheckSignals() != 0)
            return -1;
        Py_BEGIN_ALLOW_THREADS
        status = mmg_read(handle, offset + got, (char *)target->buf + got, part, &piece);
        Py_END_ALLOW_THREADS
        got += piece;
    } while (status == MMG_OK && piece == READ_PIECE && got < length);
    if (status == MMG_E_RANGE) {
        PyErr_SetString(PyExc_ValueError, "offset is beyond the end of the region");
        return -1;
    }
    if (status == MMG_OK)
        return (Py_ssize_t)got; /* fits: it is at most the length of the buffer */
    mgpy_raise_at(region, status, mgpy_is_loss(status) ? offset + got : MMG_TO_END);
    return -1;
}

PyObject *
mgpy_region_read_into(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"", "offset", NULL};
    uint64_t offset = 0;
    Py_buffer target;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "w*|O&:read_into", names, &target, mgpy_convert_u64, &offset))
        return NULL;
    Py_ssize_t got = mgpy_ready(mgpy_region_of(self)) ? read_into(mgpy_region_of(self), offset, &target) : -1;
    PyBuffer_Release(&target);
    return got < 0 ? NULL : PyLong_FromSsize_t(got);
}

/* Copies bytes from the position on, and moves the position. io.BufferedReader calls it on its raw file. */
PyObject *
mgpy_region_readinto(PyObject *self, PyObject *buffer)
{
    struct mgpy_region *region = mgpy_region_of(self);
    Py_buffer target;

    if (PyObject_GetBuffer(buffer, &target, PyBUF_WRITABLE) < 0)
        return NULL;
    if (!mgpy_ready(region)) {
        PyBuffer_Release(&target);
        return NULL;
    }
    Py_ssize_t start = region->position, left = region_left(region);
    Py_ssize_t end = start + (target.len < left ? target.len : left);
    region->position = end;
    Py_ssize_t got = left == 0 ? 0 : read_into(region, (uint64_t)start, &target);
    if (got != end - start && region->position == end)
        region->position = got < 0 ? start : start + got;
    PyBuffer_Release(&target);
    return got < 0 ? NULL : PyLong_FromSsize_t(got);
}

PyObject *
mgpy_region_seek(PyObject *self, PyObject *args)
{
    struct mgpy_region *region = mgpy_region_of(self);
    Py_ssize_t distance, base = 0;
    int whence = 0;

    if (!PyArg_ParseTuple(args, "n|i:seek", &distance, &whence) || !mgpy_ready(region))
        return NULL;
    if (whence < 0 || whence > 2) {
        PyErr_SetString(PyExc_ValueError, "unknown seek type");
        return NULL;
    }
    if (whence == 1)
        base = region->position;
    else if (whence == 2)
        base = region->size;
    /* Neither difference overflows, since base and size are between 0 and the largest Py_ssize_t. */
    if (distance < -base || distance > region->size - base) {
        PyErr_SetString(PyExc_ValueError, "seek out of range");
        return NULL;
    }
    region->position = base + distance;
    return PyLong_FromSsize_t(region->position);
}

PyObject *
mgpy_region_tell(PyObject *self, PyObject *unused)
{
    (void)unused;
    return mgpy_ready(mgpy_region_of(self)) ? PyLong_FromSsize_t(mgpy_region_of(self)->position) : NULL;
}
