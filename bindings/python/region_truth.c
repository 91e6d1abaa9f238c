/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds out whether bytes that were read are true. For a short read this costs one comparison.
 *
 * A loss takes whole pages, or the bytes from the new end of a cut file to the end of its page. All lost bytes read as
 * zeros. So a range with a lost byte has a zero at its last byte, or at the last byte of one of its pages. When none of
 * these bytes is zero, the range is true, and no further check is needed. When one of them is zero, the code asks the
 * library, which knows the losses that a signal has reported, and asks the kernel whether the file still has these
 * bytes.
 */
#include "region.h"

#include <string.h>

/* Longer reads take a pin of their own, which is cheap compared with the copy. */
#define SHORT_READ ((Py_ssize_t)4096)
/* From this size on the GIL is released for a copy: releasing it costs about as much as copying some KiB. */
#define WORTH_RELEASING ((Py_ssize_t)64 << 10)
/* Python handles its signals after so many bytes, so that Ctrl-C works soon. */
#define PIECE ((Py_ssize_t)16 << 20)

const uint8_t *
mgpy_bytes(struct mgpy_region *region, mmg_status *status)
{
    *status = MMG_OK;
    if (region->data == NULL) {
        *status = mmg_pin(region->handle, 0, MMG_TO_END, &region->base);
        if (*status == MMG_OK)
            region->data = region->base.data;
    }
    return region->data;
}

bool
mgpy_certain(const struct mgpy_region *region, const uint8_t *first, const uint8_t *last)
{
    if (region->copied || mgpy_certain_in_page(region, first, last))
        return true;
    if (region->leased)
        return false;
    for (uintptr_t end = (uintptr_t)first | (MGPY_PAGE - 1); end < (uintptr_t)last; end += MGPY_PAGE) {
        if (*(const volatile uint8_t *)end == 0)
            return false;
    }
    return *(const volatile uint8_t *)last != 0;
}

mmg_status
mgpy_range_status(mmg_handle handle, Py_ssize_t start, Py_ssize_t length)
{
    mmg_span span;

    /* The check records where a cut file ends now, also within its last page. The pin then tells whether the range
       reaches beyond that end. The result of the check is not used, since it is about the whole region. */
    mmg_status status = mmg_check(handle);
    if (status != MMG_OK && !mgpy_is_loss(status) && status != MMG_E_UNSTABLE)
        return status;
    status = mmg_pin(handle, (uint64_t)start, (uint64_t)length, &span);
    return status == MMG_OK ? mmg_unpin(&span) : status;
}

/*
 * Copies a pinned range piece by piece without the GIL. Returns false when a signal handler of Python has raised an
 * exception.
 */
static bool
copy_in_pieces(char *out, const mmg_span *span)
{
    for (Py_ssize_t done = 0, length = (Py_ssize_t)span->size; done < length; done += PIECE) {
        size_t amount = (size_t)(length - done < PIECE ? length - done : PIECE);
        if (length < WORTH_RELEASING) {
            memcpy(out + done, span->data + done, amount);
            continue;
        }
        Py_BEGIN_ALLOW_THREADS
        memcpy(out + done, span->data + done, amount);
        Py_END_ALLOW_THREADS
        if (PyErr_CheckSignals() != 0)
            return false;
    }
    return true;
}

/* Copies a range under a pin of its own. The end of the pin tells whether the bytes were true. */
static PyObject *
copy_pinned(struct mgpy_region *region, Py_ssize_t start, Py_ssize_t length)
{
    mmg_handle handle = region->handle;
    mmg_span span;

    PyObject *bytes = PyBytes_FromStringAndSize(NULL, length);
    if (bytes == NULL)
        return NULL;
    char *out = PyBytes_AsString(bytes);
    mmg_status status = mmg_pin(handle, (uint64_t)start, (uint64_t)length, &span);
    if (status == MMG_OK) {
        bool finished = copy_in_pieces(out, &span);
        uint8_t last = *(const volatile uint8_t *)(span.data + length - 1);
        status = mmg_unpin(&span);
        if (!finished) {
            Py_DECREF(bytes);
            return NULL;
        }
        if (status == MMG_OK && last == 0 && !region->copied)
            status = mgpy_range_status(handle, start, length);
        if (status == MMG_E_HANDLE)
            status = MMG_OK; /* another thread has closed the region after the pin ended without a loss */
    }
    if (status == MMG_OK)
        return bytes;
    Py_DECREF(bytes);
    return mgpy_raise(region, status);
}

PyObject *
mgpy_copy(struct mgpy_region *region, Py_ssize_t start, Py_ssize_t length)
{
    mmg_status status;

    if (length == 0)
        return PyBytes_FromStringAndSize(NULL, 0);
    if (length > SHORT_READ || region->leased)
        return copy_pinned(region, start, length);
    const uint8_t *data = mgpy_bytes(region, &status);
    if (data == NULL)
        return copy_pinned(region, start, length); /* there is no pin for the whole region */
    data += start;
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)data, length);
    if (bytes == NULL || mgpy_certain(region, data, data + length - 1))
        return bytes;
    status = mgpy_range_status(region->handle, start, length);
    if (status == MMG_OK)
        return bytes;
    Py_DECREF(bytes);
    return mgpy_raise(region, status);
}
