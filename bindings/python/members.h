/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Puts the members of a structure of the library into a dictionary. A function that includes "fields.inc" calls the
 * structure `from` and the dictionary `dict`. Each file defines PUT_char by itself, since a text may be a path.
 */
#ifndef MMAPGUARD_PYTHON_MEMBERS_H
#define MMAPGUARD_PYTHON_MEMBERS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* Puts a new value into a dictionary and releases it. Returns 0, or -1 with an exception set, also when `value` is NULL. */
static inline int
mgpy_put(PyObject *dict, const char *name, PyObject *value)
{
    int result = value == NULL ? -1 : PyDict_SetItemString(dict, name, value);

    Py_XDECREF(value);
    return result;
}

/* For each type of a member, an expression that puts the member into `dict`, and is true when this fails. */
#define PUT_int32_t(name) mgpy_put(dict, #name, PyLong_FromLongLong(from->name)) < 0
#define PUT_int64_t(name) PUT_int32_t(name)
#define PUT_mmg_status(name) PUT_int32_t(name)
#define PUT_uint32_t(name) mgpy_put(dict, #name, PyLong_FromUnsignedLongLong(from->name)) < 0
#define PUT_uint64_t(name) PUT_uint32_t(name)
#define PUT_mmg_handle(name) PUT_uint32_t(name)

#endif
