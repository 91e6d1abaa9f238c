/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Calls for the process as a whole: the guard for mappings of other code, and the ledger of losses, as plain numbers.
 * mmapguard/_guard.py turns the numbers into words and exceptions.
 */
#include "members.h"
#include "region.h"

#include <stdlib.h>

/* One call of the library returns at most so many records. */
#define CHUNK 64

PyObject *
mgpy_guard_process(PyObject *module, PyObject *args)
{
    uint32_t scope, flags;

    (void)module;
    if (!PyArg_ParseTuple(args, "O&O&:guard_process", mgpy_convert_u32, &scope, mgpy_convert_u32, &flags))
        return NULL;
    mmg_status status = mmg_guard_process(scope, flags);
    if (status != MMG_OK)
        return mgpy_failure_raise(Py_None, status, NULL, MMG_TO_END);
    Py_RETURN_NONE;
}

/* Returns the address of the first byte in the buffer of an object. */
PyObject *
mgpy_address_of(PyObject *module, PyObject *object)
{
    Py_buffer view;

    (void)module;
    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) < 0)
        return NULL;
    PyObject *address = PyLong_FromVoidPtr(view.buf);
    PyBuffer_Release(&view);
    return address;
}

/* A path, in the encoding of file names. */
#define PUT_char(name) mgpy_put(dict, #name, PyUnicode_DecodeFSDefault(from->name)) < 0

static PyObject *
record_of(const mmg_loss *from)
{
    PyObject *dict = PyDict_New();
    bool failed = dict == NULL;

#define MMG_LOSS_FIELD(type, name) failed = failed || PUT_##type(name);
#include "fields.inc"
    if (failed)
        Py_CLEAR(dict);
    return dict;
}

/* Appends records to a list. Returns 0, or -1 with an exception set. */
static int
append(PyObject *list, const mmg_loss *losses, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        PyObject *record = record_of(&losses[i]);
        int failed = record == NULL ? -1 : PyList_Append(list, record);
        Py_XDECREF(record);
        if (failed)
            return -1;
    }
    return 0;
}

/*
 * Appends the records behind a mark to the list, and moves the mark. Returns the status of the library. Python may have
 * set an exception, too.
 */
static mmg_status
read_ledger(PyObject *list, mmg_loss *losses, uint64_t *mark)
{
    const mmg_loss blank = MMG_LOSS_INIT;
    uint64_t count = CHUNK;

    while (count == CHUNK) {
        uint64_t since = *mark;
        losses[0] = blank;
        mmg_status status = mmg_losses_get(since, losses, CHUNK, &count, mark);
        if (status != MMG_OK || append(list, losses, count) < 0)
            return status;
    }
    return MMG_OK;
}

/* Returns the records behind a mark as a list of dictionaries, and the mark for the next call. */
PyObject *
mgpy_losses(PyObject *module, PyObject *since)
{
    PyObject *list = PyList_New(0);
    mmg_loss *losses = calloc(CHUNK, sizeof *losses);
    mmg_status status = MMG_E_NO_MEMORY;
    uint64_t mark;

    (void)module;
    if (!mgpy_convert_u64(since, &mark)) {
        free(losses);
        Py_XDECREF(list);
        return NULL;
    }
    if (list != NULL && losses != NULL)
        status = read_ledger(list, losses, &mark);
    free(losses);
    if (status != MMG_OK && !PyErr_Occurred())
        mgpy_failure_raise(Py_None, status, NULL, MMG_TO_END);
    PyObject *result = PyErr_Occurred() ? NULL : Py_BuildValue("(OK)", list, (unsigned long long)mark);
    Py_XDECREF(list);
    return result;
}

/* Returns the mark of the newest record. */
PyObject *
mgpy_losses_mark(PyObject *module, PyObject *unused)
{
    uint64_t count, mark = 0;

    (void)module;
    (void)unused;
    mmg_status status = mmg_losses_get(0, NULL, 0, &count, &mark);
    if (status != MMG_OK)
        return mgpy_failure_raise(Py_None, status, NULL, MMG_TO_END);
    return PyLong_FromUnsignedLongLong(mark);
}
