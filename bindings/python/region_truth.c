/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whether bytes that were read are true, at the price of a comparison for short reads.
 *
 * Bytes are lost by whole pages, or from the new end of a cut file to the end of its page; all of them read as zeros. So a
 * range that contains a lost byte has a zero where it ends, or where one of its pages ends. When none of these bytes is
 * zero, the range is true and nothing else needs to be asked. When one is zero, the library is asked: it knows the losses
 * that a signal reported, and the kernel knows whether the file still reaches that far.
 */
#include "region.h"

#include <string.h>

/* Longer reads take a pin of their own, which costs little beside the copy. */
#define SHORT_READ ((Py_ssize_t)4096)
/* From this size on the GIL is released for a copy: releasing it costs about as much as copying some KiB. */
#define WORTH_RELEASING ((Py_ssize_t)64 << 10)
/* Copied between two looks at Python's signals, so that Ctrl-C is heard soon. */
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

    /* The check notes the new end of a file that was cut, also within its last page; the pin then says whether the range
       reaches beyond it. What the check says of the rest of the region is of no account here. */
    mmg_status status = mmg_check(handle);
    if (status != MMG_OK && !mgpy_is_loss(status) && status != MMG_E_UNSTABLE)
        return status;
    status = mmg_pin(handle, (uint64_t)start, (uint64_t)length, &span);
    return status == MMG_OK ? mmg_unpin(&span) : status;
}

/* Copies a range under a pin of its own, piece by piece without the GIL. Returns false when a signal handler raised. */
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

/* The long way: a pin of its own, which knows at its end whether the bytes were true. */
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
            status = MMG_OK; /* another thread closed the region after the pin had ended without a loss */
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
        return copy_pinned(region, start, length); /* a loss is known elsewhere, or there is no pin to be had */
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
