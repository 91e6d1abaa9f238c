/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opening and closing. __new__ does all the work, so there is no half-built region; closing is deferred, so there is no
 * buffer without bytes.
 */
#include "region.h"

#include <limits.h>
#include <string.h>

enum opener {
    OPENER_OPEN,
    OPENER_LOAD,
    OPENER_READ
};

static int
convert_unsigned(PyObject *object, unsigned long long limit, unsigned long long *result)
{
    PyObject *index = PyNumber_Index(object);

    if (index == NULL)
        return 0;
    *result = PyLong_AsUnsignedLongLong(index);
    Py_DECREF(index);
    if (*result == ULLONG_MAX && PyErr_Occurred())
        return 0;
    if (*result > limit) {
        PyErr_Format(PyExc_OverflowError, "%llu is more than %llu", *result, limit);
        return 0;
    }
    return 1;
}

int
convert_u64(PyObject *object, void *result)
{
    unsigned long long value;

    if (!convert_unsigned(object, UINT64_MAX, &value))
        return 0;
    *(uint64_t *)result = value;
    return 1;
}

int
convert_u32(PyObject *object, void *result)
{
    unsigned long long value;

    if (!convert_unsigned(object, UINT32_MAX, &value))
        return 0;
    *(uint32_t *)result = (uint32_t)value; /* at most UINT32_MAX: checked */
    return 1;
}

/* Is it a path, or something with a descriptor? */
static bool
is_path(PyObject *source)
{
    if (PyUnicode_Check(source) || PyBytes_Check(source))
        return true;
    return !PyLong_Check(source) &&
           (PyObject_HasAttrString(source, "__fspath__") || !PyObject_HasAttrString(source, "fileno"));
}

/* Where to open from: a path, or else a descriptor. */
struct place {
    const char *path;
    int fd;
    int opener;
};

static mmg_status
place_open(const struct place *place, const mmg_options *options, mmg_handle *handle, mmg_error *error)
{
    if (place->path != NULL)
        return (place->opener == OPENER_LOAD ? mmg_load : mmg_open)(place->path, options, handle, error);
    return (place->opener == OPENER_READ ? mmg_read_fd : mmg_open_fd)(place->fd, options, handle, error);
}

/* Was it a lock held elsewhere? The other thing that would block is a FIFO, and it is no use to wait for that. */
static bool
is_locked(mmg_status status, const mmg_error *error)
{
    return status == MMG_E_WOULD_BLOCK && strcmp(error->operation, "open") != 0;
}

/*
 * Open without the GIL. The wait for a lock is taken in small parts, with a look at Python's signals in between: else Ctrl-C
 * would have to wait as well. 0, or -1 with an exception set.
 */
static int
place_open_or_raise(PyObject *source, const struct place *place, const mmg_options *options, mmg_handle *handle)
{
    const uint32_t part = 100;
    mmg_options once = *options;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status;

    for (uint32_t left = options->lock_wait_ms;; left -= left == MMG_WAIT_FOREVER ? 0 : once.lock_wait_ms) {
        once.lock_wait_ms = left < part ? left : part;
        Py_BEGIN_ALLOW_THREADS status = place_open(place, &once, handle, &error);
        Py_END_ALLOW_THREADS if (once.lock_wait_ms == left || !is_locked(status, &error)) break;
        if (PyErr_CheckSignals() != 0)
            return -1;
    }
    if (status == MMG_OK)
        return 0;
    failure_raise(source, status, &error, error.offset);
    return -1;
}

static int
open_source(PyObject *source, int opener, const mmg_options *options, mmg_handle *handle)
{
    struct place place = {.path = NULL, .fd = -1, .opener = opener};
    PyObject *path = NULL;

    if (opener != OPENER_READ && is_path(source)) {
        if (!PyUnicode_FSConverter(source, &path))
            return -1;
        place.path = PyBytes_AsString(path);
    } else {
        place.fd = PyObject_AsFileDescriptor(source);
        if (place.fd < 0)
            return -1;
    }
    int result = place_open_or_raise(source, &place, options, handle);
    Py_XDECREF(path);
    return result;
}

PyObject *
region_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_info info = MMG_INFO_INIT;
    mmg_handle handle;
    PyObject *source;
    int opener;

    if (keywords != NULL && PyDict_Size(keywords) != 0) {
        PyErr_SetString(PyExc_TypeError, "the native region takes no keyword arguments");
        return NULL;
    }
    if (!PyArg_ParseTuple(args, "Oi|O&O&O&O&O&O&O&O&O&O&O&:Region", &source, &opener, convert_u32, &options.backing,
                          convert_u32, &options.guarantee, convert_u32, &options.lock, convert_u32,
                          &options.lock_wait_ms, convert_u32, &options.access, convert_u64, &options.flags, convert_u64,
                          &options.offset, convert_u64, &options.length, convert_u64, &options.copy_threshold,
                          convert_u64, &options.max_bytes, convert_u64, &options.max_snapshot_bytes) ||
        open_source(source, opener, &options, &handle) < 0)
        return NULL;
    mmg_info_get(handle, &info); /* cannot fail: the handle is this thread's alone */
    allocfunc allocate = (allocfunc)(uintptr_t)PyType_GetSlot(type, Py_tp_alloc);
    struct region *region = NULL;
    if (info.size > PY_SSIZE_T_MAX)
        PyErr_SetString(PyExc_OverflowError, "the file is larger than the address space");
    else
        region = as_region(allocate(type, 0));
    if (region == NULL) {
        mmg_close(handle, 0);
        return NULL;
    }
    region->handle = handle;
    region->size = (Py_ssize_t)info.size; /* checked above */
    region->arguments = Py_NewRef(args);
    return (PyObject *)region;
}

/* Everything that close() ends, taken out of the object, so that the GIL can be released for the rest. */
struct ending {
    mmg_handle handle;
    mmg_span base;
};

static struct ending
region_end(struct region *region)
{
    struct ending ending = {.handle = region->handle, .base = region->base};

    if (region->lent)
        ending.base = (mmg_span)MMG_SPAN_INIT; /* it is the export's from here on */
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

    mmg_close(ending->handle, 0); /* nobody else closes it; what pins remain keep the bytes */
    return status;
}

PyObject *
region_close(PyObject *self, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"strict", NULL};
    struct region *region = as_region(self);
    int strict = 0;
    mmg_status status;

    if (!PyArg_ParseTupleAndKeywords(args, keywords, "|$p:close", names, &strict))
        return NULL;
    if (region->handle == 0)
        Py_RETURN_NONE;
    if (strict && region->exports > 0) {
        PyErr_SetString(PyExc_BufferError, "cannot close exported pointers exist");
        return NULL;
    }
    struct ending ending = region_end(region);
    Py_BEGIN_ALLOW_THREADS status = ending_finish(&ending);
    Py_END_ALLOW_THREADS region_note(region, status);
    if (region->untold != MMG_OK && region_warn(region, region->untold) < 0)
        return NULL;
    Py_RETURN_NONE;
}

int
region_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(as_region(self)->arguments);
    return 0;
}

int
region_clear(PyObject *self)
{
    Py_CLEAR(as_region(self)->arguments);
    return 0;
}

void
region_dealloc(PyObject *self)
{
    struct region *region = as_region(self);
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)(uintptr_t)PyType_GetSlot(type, Py_tp_free);

    PyObject_GC_UnTrack(self);
    if (region->weak_references != NULL)
        PyObject_ClearWeakRefs(self);
    if (region->handle != 0) {
        struct ending ending = region_end(region);
        region_note(region, ending_finish(&ending));
    }
    if (region->untold != MMG_OK && region_warn(region, region->untold) < 0)
        PyErr_WriteUnraisable(NULL);
    region_clear(self);
    release(self);
    Py_DECREF(type);
}
