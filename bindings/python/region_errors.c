/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Makes exceptions and warnings from statuses. mmapguard/_errors.py decides on the class and the text. This file calls
 * it, only after a failure.
 */
#include "region.h"

PyObject *
mgpy_failure_raise(PyObject *source, mmg_status status, const mmg_error *error, uint64_t offset)
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

/* Returns what the region was opened from, as a borrowed reference. */
static PyObject *
region_source(const struct mgpy_region *region)
{
    return region->arguments == NULL ? Py_None : PyTuple_GetItem(region->arguments, 0);
}

PyObject *
mgpy_raise_at(struct mgpy_region *region, mmg_status status, uint64_t offset)
{
    mmg_info info = MMG_INFO_INIT;

    if (status == MMG_E_HANDLE) { /* another thread closed the region in the middle of the call */
        PyErr_SetString(PyExc_ValueError, "region is closed");
        return NULL;
    }
    if (mgpy_is_loss(status)) {
        region->untold = MMG_OK;
        region->told = true;
        /* The check records where the file ends now. Its result is not needed, since the loss is known. */
        if (mmg_check(region->handle) != MMG_E_HANDLE && mmg_info_get(region->handle, &info) == MMG_OK &&
            info.fault_offset != MMG_TO_END)
            offset = info.fault_offset;
    }
    return mgpy_failure_raise(region_source(region), status, NULL, offset);
}

PyObject *
mgpy_raise(struct mgpy_region *region, mmg_status status)
{
    return mgpy_raise_at(region, status, MMG_TO_END);
}

void
mgpy_note(struct mgpy_region *region, mmg_status status)
{
    if (mgpy_is_loss(status) && !region->told)
        region->untold = status;
}

/* Prints one line to standard error without running Python code, since the interpreter is ending. */
static void
print_line(const struct mgpy_region *region, mmg_status status)
{
    PyObject *name = PyObject_Repr(region_source(region));
    const char *text = name == NULL ? NULL : PyUnicode_AsUTF8AndSize(name, NULL);

    PySys_WriteStderr("mmapguard: %.500s: %.100s; what was computed from its bytes does not hold\n",
                      text == NULL ? "a region" : text, mmg_status_message(status));
    PyErr_Clear();
    Py_XDECREF(name);
}

/* Calls mmapguard._errors.warn(). Returns 0, or -1 with an exception set. */
static int
call_warn(const struct mgpy_region *region, mmg_status status)
{
    PyObject *answer = NULL, *module = PyImport_ImportModule("mmapguard._errors");

    if (module != NULL)
        answer = PyObject_CallMethod(module, "warn", "Oi", region_source(region), (int)status);
    Py_XDECREF(answer);
    Py_XDECREF(module);
    return answer == NULL ? -1 : 0;
}

int
mgpy_warn(struct mgpy_region *region, mmg_status status)
{
    PyObject *type, *value, *traceback;

    region->untold = MMG_OK;
    region->told = true;
    PyErr_Fetch(&type, &value, &traceback);
    if (mgpy_exiting()) {
        print_line(region, status);
    } else if (call_warn(region, status) < 0) {
        if (type == NULL)
            return -1;
        PyErr_WriteUnraisable(NULL); /* only one exception can be set, and the earlier one has priority */
    }
    PyErr_Restore(type, value, traceback);
    return 0;
}
