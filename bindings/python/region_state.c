/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The state of a region, as plain numbers. mmapguard/_region.py turns them into words.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* MADV_DONTDUMP */
#endif
#include "members.h"
#include "region.h"

#include <sys/mman.h>
#include <unistd.h>

PyObject *
mgpy_region_check(PyObject *self, PyObject *unused)
{
    struct mgpy_region *region = mgpy_region_of(self);
    mmg_status status;

    (void)unused;
    if (!mgpy_known(region))
        return NULL;
    mmg_handle handle = region->handle;
    Py_BEGIN_ALLOW_THREADS
    status = mmg_check(handle);
    Py_END_ALLOW_THREADS
    if (status != MMG_OK)
        return mgpy_raise(region, status);
    Py_RETURN_NONE;
}

/* Raises an exception if bytes of the range are lost. mmapguard.check() calls it for a view of a part of a region. */
PyObject *
mgpy_region_check_range(PyObject *self, PyObject *args)
{
    struct mgpy_region *region = mgpy_region_of(self);
    Py_ssize_t start, length;
    mmg_status status;

    if (!PyArg_ParseTuple(args, "nn:_check_range", &start, &length) || !mgpy_known(region))
        return NULL;
    mmg_handle handle = region->handle;
    Py_BEGIN_ALLOW_THREADS
    status = mgpy_range_status(handle, start, length);
    Py_END_ALLOW_THREADS
    if (status != MMG_OK)
        return mgpy_raise(region, status);
    Py_RETURN_NONE;
}

PyObject *
mgpy_region_changed(PyObject *self, PyObject *unused)
{
    struct mgpy_region *region = mgpy_region_of(self);
    mmg_status status;
    uint32_t what = 0;

    (void)unused;
    if (!mgpy_known(region))
        return NULL;
    mmg_handle handle = region->handle;
    Py_BEGIN_ALLOW_THREADS
    status = mmg_changed(handle, &what);
    Py_END_ALLOW_THREADS
    if (status == MMG_E_UNSUPPORTED)
        Py_RETURN_NONE;
    return status == MMG_OK ? PyLong_FromUnsignedLong(what) : mgpy_raise(region, status);
}

/*
 * Verifies a region at the end of a block. If the file was written to, returns MMG_OK and stores in `*what` the kinds
 * of change, which are not 0 then.
 */
static mmg_status
settle(mmg_handle handle, uint32_t *what)
{
    mmg_status status = mmg_verify(handle);

    if (status != MMG_E_CHANGED)
        return status;
    if (mmg_changed(handle, what) != MMG_OK || *what == 0)
        *what = MMG_CHANGED_MTIME; /* the kind of change cannot be found out, for example because the path is gone */
    return MMG_OK;
}

PyObject *
mgpy_region_settle(PyObject *self, PyObject *unused)
{
    struct mgpy_region *region = mgpy_region_of(self);
    mmg_status status;
    uint32_t what = 0;

    (void)unused;
    if (!mgpy_ready(region))
        return NULL;
    mmg_handle handle = region->handle;
    Py_BEGIN_ALLOW_THREADS
    status = settle(handle, &what);
    Py_END_ALLOW_THREADS
    return status == MMG_OK ? PyLong_FromUnsignedLong(what) : mgpy_raise(region, status);
}

PyObject *
mgpy_region_advise(PyObject *self, PyObject *args)
{
    struct mgpy_region *region = mgpy_region_of(self);
    uint64_t offset, length = MMG_TO_END;
    uint32_t advice;
    mmg_status status;

    if (!PyArg_ParseTuple(args, "O&O&O&:_advise", mgpy_convert_u32, &advice, mgpy_convert_u64, &offset,
                          mgpy_convert_u64, &length) ||
        !mgpy_ready(region))
        return NULL;
    mmg_handle handle = region->handle;
    Py_BEGIN_ALLOW_THREADS
    status = mmg_advise(handle, offset, length, advice);
    Py_END_ALLOW_THREADS
    if (status != MMG_OK)
        return mgpy_raise(region, status);
    Py_RETURN_NONE;
}

/*
 * Excludes whole pages of a range from core dumps, or includes them again. Python's mmap offers this, and the library
 * has no call for it. The region's pin keeps the pages mapped during the call. The function has no effect on a copy.
 */
PyObject *
mgpy_region_dump(PyObject *self, PyObject *args)
{
    struct mgpy_region *region = mgpy_region_of(self);
    Py_ssize_t start, length;
    int advice;
    mmg_status status;

    if (!PyArg_ParseTuple(args, "inn:_dump", &advice, &start, &length) || !mgpy_ready(region))
        return NULL;
    if (mgpy_bytes(region, &status) == NULL)
        return mgpy_raise(region, status);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t first = ((uintptr_t)region->data + (uintptr_t)start + page - 1) & ~(page - 1);
    uintptr_t end = ((uintptr_t)region->data + (uintptr_t)(start + length)) & ~(page - 1);
    if (!region->copied && first < end && madvise((void *)first, end - first, advice) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

PyObject *
mgpy_region_resident(PyObject *self, PyObject *args)
{
    struct mgpy_region *region = mgpy_region_of(self);
    uint64_t offset, length = MMG_TO_END, bytes;
    mmg_status status;

    if (!PyArg_ParseTuple(args, "O&O&:_resident", mgpy_convert_u64, &offset, mgpy_convert_u64, &length) ||
        !mgpy_ready(region))
        return NULL;
    mmg_handle handle = region->handle;
    Py_BEGIN_ALLOW_THREADS
    status = mmg_resident(handle, offset, length, &bytes);
    Py_END_ALLOW_THREADS
    return status == MMG_OK ? PyLong_FromUnsignedLongLong(bytes) : mgpy_raise(region, status);
}

/* A name from the library, such as that of a file system. */
#define PUT_char(name) mgpy_put(dict, #name, PyUnicode_FromString(from->name)) < 0

PyObject *
mgpy_region_describe(PyObject *self, PyObject *unused)
{
    struct mgpy_region *region = mgpy_region_of(self);
    mmg_info info = MMG_INFO_INIT;
    const mmg_info *from = &info;

    (void)unused;
    if (!mgpy_known(region))
        return NULL;
    mmg_status status = mmg_info_get(region->handle, &info);
    if (status != MMG_OK)
        return mgpy_raise(region, status);
    if (region->base.pin != 0 && !region->lent)
        info.pins--; /* the pin for indexing is not a view */
    PyObject *dict = PyDict_New();
    if (dict == NULL)
        return NULL;
    bool failed = false;
#define MMG_INFO_FIELD(type, name) failed = failed || PUT_##type(name);
#include "fields.inc"
    if (failed) {
        Py_DECREF(dict);
        return NULL;
    }
    return dict;
}

PyObject *
mgpy_stats_to_dict(const mmg_stats *from)
{
    PyObject *dict = PyDict_New();

    if (dict == NULL)
        return NULL;
    bool failed = false;
#define MMG_STATS_FIELD(type, name) failed = failed || PUT_##type(name);
#include "fields.inc"
    if (failed) {
        Py_DECREF(dict);
        return NULL;
    }
    return dict;
}
