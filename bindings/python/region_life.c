/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Makes and closes regions. __new__ opens the file before it makes the object, so no region is ever half built. Closing
 * leaves the bytes to the views that exist, so no buffer is ever without bytes.
 */
#include "request.h"

struct mgpy_region *
mgpy_region_allocate(PyTypeObject *type)
{
    allocfunc allocate = (allocfunc)(uintptr_t)PyType_GetSlot(type, Py_tp_alloc);

    return mgpy_region_of(allocate(type, 0));
}

int
mgpy_region_attach(struct mgpy_region *region, mmg_handle handle)
{
    mmg_info info = MMG_INFO_INIT;

    mmg_info_get(handle, &info); /* cannot fail: only this thread has the handle */
    if (info.size > PY_SSIZE_T_MAX) {
        PyErr_SetString(PyExc_OverflowError, "the file is larger than the address space");
        mmg_close(handle, 0);
        return -1;
    }
    region->handle = handle;
    region->size = (Py_ssize_t)info.size; /* the cast is safe: the size was checked above */
    region->copied = info.backing == MMG_BACKING_COPY;
    region->leased = info.means == MMG_MEANS_LEASE;
    region->stream = info.backing_reason == MMG_REASON_STREAM;
    region->identity = (struct mgpy_identity){info.device, info.inode, info.file_size,
                                              info.mtime_seconds * 1000000000 + (int64_t)info.mtime_nanoseconds};
    mgpy_list_add(region);
    return 0;
}

/* Adopts the bytes of a memoryview without the GIL. Returns 0, or -1 with an exception set. */
static int
adopt(const struct mgpy_request *request, PyObject *lender, int fd, mmg_handle *handle)
{
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status;
    Py_buffer view;

    if (PyObject_GetBuffer(lender, &view, PyBUF_FULL_RO) < 0)
        return -1;
    if (!PyBuffer_IsContiguous(&view, 'A')) {
        PyBuffer_Release(&view);
        PyErr_SetString(PyExc_BufferError, "the bytes of the object do not lie side by side");
        return -1;
    }
    Py_BEGIN_ALLOW_THREADS
    status = mmg_adopt(view.buf, (uint64_t)view.len, fd, &request->options, handle, &error);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&view);
    if (status == MMG_OK)
        return 0;
    mgpy_failure_raise(request->source, status, &error, error.offset);
    return -1;
}

PyObject *
mgpy_region_adopt(PyObject *type, PyObject *args)
{
    PyObject *arguments, *lender;
    struct mgpy_request request;
    mmg_handle handle;
    int fd;

    if (!PyArg_ParseTuple(args, "O!O!i:_adopt", &PyTuple_Type, &arguments, &PyMemoryView_Type, &lender, &fd) ||
        mgpy_request_parse(arguments, &request) < 0 || adopt(&request, lender, fd, &handle) < 0)
        return NULL;
    struct mgpy_region *region = mgpy_region_allocate((PyTypeObject *)type);
    if (region == NULL) {
        mmg_close(handle, 0);
        return NULL;
    }
    region->arguments = Py_NewRef(arguments);
    region->lender = Py_NewRef(lender);
    if (mgpy_region_attach(region, handle) < 0) {
        region->closed = true;
        Py_CLEAR(region->lender);
        Py_DECREF(region);
        return NULL;
    }
    return (PyObject *)region;
}

/* Returns the current directory, to which a relative path belongs; or NULL without an exception when it was removed. */
static PyObject *
current_directory(void)
{
    PyObject *module = PyImport_ImportModule("os");
    PyObject *directory = module == NULL ? NULL : PyObject_CallMethod(module, "getcwdb", NULL);

    Py_XDECREF(module);
    if (directory == NULL)
        PyErr_Clear();
    return directory;
}

PyObject *
mgpy_region_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    struct mgpy_request request;
    mmg_handle handle;

    if (keywords != NULL && PyDict_Size(keywords) != 0) {
        PyErr_SetString(PyExc_TypeError, "the native region takes no keyword arguments");
        return NULL;
    }
    int opened = mgpy_request_parse(args, &request) < 0 ? -1 : mgpy_request_open(&request, &handle);
    if (opened < 0)
        return NULL;
    struct mgpy_region *region = mgpy_region_allocate(type);
    if (region == NULL) {
        mmg_close(handle, 0);
        return NULL;
    }
    region->arguments = Py_NewRef(args);
    if (opened == 1)
        region->directory = current_directory();
    if (mgpy_region_attach(region, handle) < 0) {
        region->closed = true;
        Py_DECREF(region);
        return NULL;
    }
    return (PyObject *)region;
}

/* ---------------------------------------------------------------------------------------------------- closing -- */

/*
 * Everything of a region that ends with its handle. It is taken out of the object, so that the GIL can be released
 * while it ends.
 */
struct ending {
    mmg_handle handle;
    mmg_span base;
    PyObject *lender; /* keeps an adopted mapping until the handle has ended; else NULL */
};

static struct ending
region_end(struct mgpy_region *region)
{
    struct ending ending = {.handle = region->handle, .base = region->base, .lender = region->lender};

    if (region->lent)
        ending.base = (mmg_span)MMG_SPAN_INIT; /* from now on the pin belongs to the export */
    mgpy_list_remove(region);
    region->lender = NULL;
    region->lent = false;
    region->handle = 0;
    region->data = NULL;
    region->size = 0;
    region->base = (mmg_span)MMG_SPAN_INIT;
    return ending;
}

static mmg_status
ending_finish(struct ending *ending)
{
    mmg_status status = mmg_unpin(&ending->base);

    mmg_close(ending->handle, 0); /* cannot fail: no other code closes the handle. Other pins keep the bytes */
    return status;
}

PyObject *
mgpy_region_close(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"strict", NULL};
    struct mgpy_region *region = mgpy_region_of(self);
    int strict = 0;
    mmg_status status;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$p:close", names, &strict))
        return NULL;
    if (region->closed)
        Py_RETURN_NONE;
    if (strict && region->exports > 0) {
        PyErr_SetString(PyExc_BufferError, "cannot close exported pointers exist");
        return NULL;
    }
    region->closed = true;
    if (region->handle != 0 && region->exports > 0) {
        /* The views keep the bytes and the handle, so that check() works until the last view is gone. */
        region->data = NULL;
        region->size = 0;
    } else if (region->handle != 0) {
        struct ending ending = region_end(region);
        Py_BEGIN_ALLOW_THREADS
        status = ending_finish(&ending);
        Py_END_ALLOW_THREADS
        Py_XDECREF(ending.lender);
        mgpy_note(region, status);
    }
    if (region->untold != MMG_OK && mgpy_warn(region, region->untold) < 0)
        return NULL;
    Py_RETURN_NONE;
}

void
mgpy_region_finish(struct mgpy_region *region)
{
    struct ending ending = region_end(region);

    mgpy_note(region, ending_finish(&ending));
    Py_XDECREF(ending.lender);
}

int
mgpy_region_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(mgpy_region_of(self)->arguments);
    return 0;
}

int
mgpy_region_clear(PyObject *self)
{
    Py_CLEAR(mgpy_region_of(self)->arguments);
    return 0;
}

void
mgpy_region_dealloc(PyObject *self)
{
    struct mgpy_region *region = mgpy_region_of(self);
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)(uintptr_t)PyType_GetSlot(type, Py_tp_free);

    PyObject_GC_UnTrack(self);
    region->closed = true;
    if (region->handle != 0)
        mgpy_region_finish(region); /* first, since Python code that runs below must not find the region */
    if (region->weak_references != NULL)
        PyObject_ClearWeakRefs(self);
    if (region->untold != MMG_OK && mgpy_warn(region, region->untold) < 0)
        PyErr_WriteUnraisable(NULL);
    mgpy_region_clear(self);
    Py_CLEAR(region->directory);
    release(self);
    Py_DECREF(type);
}
