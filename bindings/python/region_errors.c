/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * From a status to an exception or a warning. Which class it is, and what it says, is decided in mmapguard/_errors.py:
 * this is the way there, taken only when something has gone wrong.
 */
#include "region.h"

PyObject *
failure_raise(PyObject *source, mmg_status status, const mmg_error *error, uint64_t offset)
{
    const mmg_error nothing = MMG_ERROR_INIT;

    if (error == NULL)
        error = &nothing;
    if (status == MMG_E_NO_MEMORY)
        return PyErr_NoMemory();
    PyObject *module = PyImport_ImportModule("mmapguard._errors");
    if (module == NULL)
        return NULL;
    PyObject *made = PyObject_CallMethod(module, "failure", "iissKO", (int)status, (int)error->os_code,
                                         error->operation, error->message, (unsigned long long)offset, source);
    Py_DECREF(module);
    if (made != NULL) {
        PyErr_SetObject((PyObject *)Py_TYPE(made), made);
        Py_DECREF(made);
    }
    return NULL;
}

/* What the region was opened from; borrowed. */
static PyObject *
region_source(const struct region *region)
{
    return region->arguments == NULL ? Py_None : PyTuple_GetItem(region->arguments, 0);
}

PyObject *
region_raise(struct region *region, mmg_status status, const mmg_error *error)
{
    mmg_info info = MMG_INFO_INIT;
    uint64_t offset = MMG_TO_END;

    if (status == MMG_E_HANDLE) { /* closed by another thread in the middle of the call */
        PyErr_SetString(PyExc_ValueError, "region is closed");
        return NULL;
    }
    if (is_loss(status)) {
        region->untold = MMG_OK;
        region->told = true;
        if (mmg_info_get(region->handle, &info) == MMG_OK)
            offset = info.fault_offset;
    }
    return failure_raise(region_source(region), status, error, offset);
}

void
region_note(struct region *region, mmg_status status)
{
    if (is_loss(status) && !region->told)
        region->untold = status;
}

int
region_warn(struct region *region, mmg_status status)
{
    PyObject *type, *value, *traceback;
    int result = -1;

    region->untold = MMG_OK;
    region->told = true;
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *module = PyImport_ImportModule("mmapguard._errors");
    if (module != NULL) {
        PyObject *answer = PyObject_CallMethod(module, "warn", "Oi", region_source(region), (int)status);
        result = answer == NULL ? -1 : 0;
        Py_XDECREF(answer);
        Py_DECREF(module);
    }
    if (result != 0 && type == NULL)
        return -1;
    if (result != 0)
        PyErr_WriteUnraisable(NULL); /* there is room for one exception only, and that was there first */
    PyErr_Restore(type, value, traceback);
    return 0;
}

bool
region_open(const struct region *region)
{
    if (region->handle == 0)
        PyErr_SetString(PyExc_ValueError, "region is closed");
    return region->handle != 0;
}
