/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * References are regions that know their file and have not opened it yet. The first use opens the file. The code
 * compares the identity of the file before it looks at the window, so that a file that was cut is reported as a changed
 * file and not as a wrong window. It compares the identity again after the opening, since another file may have got the
 * path in between.
 */
#include "region.h"

static PyObject *
identity_tuple(const struct mgpy_identity *identity)
{
    return Py_BuildValue("(KKKL)", (unsigned long long)identity->device, (unsigned long long)identity->inode,
                         (unsigned long long)identity->size, (long long)identity->mtime_ns);
}

PyObject *
mgpy_region_identity(PyObject *self, void *unused)
{
    (void)unused;
    return identity_tuple(&mgpy_region_of(self)->identity);
}

/*
 * The class method RegionBase._refer(arguments, identity). Returns a region that opens its file at its first use. Does
 * not touch the file.
 */
PyObject *
mgpy_region_refer(PyObject *type, PyObject *args)
{
    unsigned long long device, inode, size;
    long long mtime_ns;
    PyObject *arguments;

    if (!PyArg_ParseTuple(args, "O!(KKKL):_refer", &PyTuple_Type, &arguments, &device, &inode, &size, &mtime_ns))
        return NULL;
    struct mgpy_region *region = mgpy_region_allocate((PyTypeObject *)type);
    if (region == NULL)
        return NULL;
    region->arguments = Py_NewRef(arguments);
    region->identity = (struct mgpy_identity){device, inode, size, mtime_ns};
    return (PyObject *)region;
}

/*
 * Calls mmapguard._references.compare(path, expected[, found]), which raises StaleError when the file at the path, or
 * `found`, is another one. Returns 0, or -1 with an exception set.
 */
static int
compare(const struct mgpy_region *region, const struct mgpy_identity *found)
{
    PyObject *module = PyImport_ImportModule("mmapguard._references");
    PyObject *path = region->arguments == NULL ? Py_None : PyTuple_GetItem(region->arguments, 0);
    PyObject *expected = identity_tuple(&region->identity), *other = NULL, *answer = NULL;

    if (found != NULL)
        other = identity_tuple(found);
    if (module != NULL && path != NULL && expected != NULL && (other != NULL || found == NULL))
        answer = PyObject_CallMethod(module, "compare", "OOO", path, expected, other == NULL ? Py_None : other);
    Py_XDECREF(answer);
    Py_XDECREF(other);
    Py_XDECREF(expected);
    Py_XDECREF(module);
    return answer == NULL ? -1 : 0;
}

/*
 * Called after an opening has failed. If the file has changed or was replaced, raises StaleError instead of the
 * failure.
 */
static void
failure_explain(const struct mgpy_region *region)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    if (PyErr_GivenExceptionMatches(type, PyExc_Exception) && compare(region, NULL) < 0) {
        Py_XDECREF(type);
        Py_XDECREF(value);
        Py_XDECREF(traceback);
    } else {
        PyErr_Restore(type, value, traceback);
    }
}

/* Returns true when the handle belongs to the expected file. */
static bool
is_expected(const struct mgpy_region *region, mmg_handle handle)
{
    mmg_info info = MMG_INFO_INIT;

    mmg_info_get(handle, &info); /* cannot fail: the handle is this thread's alone */
    struct mgpy_identity found = {info.device, info.inode, info.file_size,
                                  info.mtime_seconds * 1000000000 + (int64_t)info.mtime_nanoseconds};
    if (found.device == region->identity.device && found.inode == region->identity.inode &&
        found.size == region->identity.size && found.mtime_ns == region->identity.mtime_ns)
        return true;
    return compare(region, &found) == 0;
}

bool
mgpy_reference_open(struct mgpy_region *region)
{
    mmg_handle handle;

    if (region->closed || region->arguments == NULL) {
        PyErr_SetString(PyExc_ValueError, "region is closed");
        return false;
    }
    if (compare(region, NULL) < 0)
        return false;
    if (mgpy_open_arguments(region->arguments, &handle) < 0) {
        failure_explain(region);
        return false;
    }
    if (!is_expected(region, handle)) {
        mmg_close(handle, 0);
        return false;
    }
    /* Another thread may have opened or closed the region while this one waited for the file. */
    if (region->handle == 0 && !region->closed)
        return mgpy_region_attach(region, handle) == 0;
    mmg_close(handle, 0);
    if (!region->closed)
        return true;
    PyErr_SetString(PyExc_ValueError, "region is closed");
    return false;
}
