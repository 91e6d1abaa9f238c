/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opens and closes regions. __new__ does all the work of opening, so no region is ever half built. Closing leaves the
 * bytes to the views that exist, so no buffer is ever without bytes.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* statx(2) */
#endif
#include "region.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum opener {
    OPENER_OPEN,
    OPENER_LOAD,
    OPENER_READ,
    OPENER_ADOPT /* such a region cannot be opened again from its arguments */
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
mgpy_convert_u64(PyObject *object, void *result)
{
    unsigned long long value;

    if (!convert_unsigned(object, UINT64_MAX, &value))
        return 0;
    *(uint64_t *)result = value;
    return 1;
}

int
mgpy_convert_u32(PyObject *object, void *result)
{
    unsigned long long value;

    if (!convert_unsigned(object, UINT32_MAX, &value))
        return 0;
    *(uint32_t *)result = (uint32_t)value; /* the cast is safe: the value was checked */
    return 1;
}

/* ---------------------------------------------------------------------------------------------------- sources -- */

/* Returns true when the source is a path, and false when it has a descriptor. */
static bool
is_path(PyObject *source)
{
    if (PyUnicode_Check(source) || PyBytes_Check(source))
        return true;
    return !PyLong_Check(source) &&
           (PyObject_HasAttrString(source, "__fspath__") || !PyObject_HasAttrString(source, "fileno"));
}

/* What to open: a path, or else a descriptor. */
struct place {
    const char *path;
    int fd;
    int opener;
};

/* The arguments of an opening. */
struct request {
    PyObject *arguments; /* borrowed; the tuple that all other fields come from */
    PyObject *source;    /* borrowed */
    int opener;
    mmg_options options;
    PyObject *timeout; /* borrowed; seconds to wait for the end of a stream, or None */
    int on_change;     /* not used here; mmapguard/_region.py reads it from the tuple of arguments */
};

static int
request_parse(PyObject *arguments, struct request *request)
{
    mmg_options options = MMG_OPTIONS_INIT;

    request->arguments = arguments;
    request->timeout = Py_None;
    request->on_change = 0;
    if (!PyArg_ParseTuple(arguments, "Oi|OO&O&O&O&O&O&O&O&O&O&O&O&O&i:Region", &request->source, &request->opener,
                          &request->timeout, mgpy_convert_u32, &options.backing, mgpy_convert_u32, &options.guarantee,
                          mgpy_convert_u32, &options.lock, mgpy_convert_u32, &options.lock_wait_ms, mgpy_convert_u32,
                          &options.access, mgpy_convert_u64, &options.flags, mgpy_convert_u64, &options.offset,
                          mgpy_convert_u64, &options.length, mgpy_convert_u64, &options.copy_threshold,
                          mgpy_convert_u64, &options.max_bytes, mgpy_convert_u64, &options.max_snapshot_bytes,
                          mgpy_convert_u32, &options.max_leases, mgpy_convert_u32, &options.max_lease_wait_ms,
                          &request->on_change))
        return -1;
    request->options = options;
    return 0;
}

static mmg_status
place_open(const struct place *place, const mmg_options *options, mmg_handle *handle, mmg_error *error)
{
    if (place->path != NULL)
        return (place->opener == OPENER_LOAD ? mmg_load : mmg_open)(place->path, options, handle, error);
    return (place->opener == OPENER_READ ? mmg_read_fd : mmg_open_fd)(place->fd, options, handle, error);
}

/*
 * Returns true when another process holds a lock on the file. The other cause of this status is a FIFO without a
 * writer.
 */
static bool
is_locked(mmg_status status, const mmg_error *error)
{
    return status == MMG_E_WOULD_BLOCK && strcmp(error->operation, "open") != 0;
}

/*
 * Opens a file without the GIL. The wait for a lock is divided into short waits, between which Python handles its
 * signals, so that Ctrl-C ends it. Returns 0, or -1 with an exception set.
 */
static int
place_open_or_raise(const struct request *request, const struct place *place, mmg_handle *handle)
{
    const uint32_t part = 100;
    mmg_options once = request->options;
    mmg_error error = MMG_ERROR_INIT;
    mmg_status status;

    for (uint32_t left = request->options.lock_wait_ms;; left -= left == MMG_WAIT_FOREVER ? 0 : once.lock_wait_ms) {
        once.lock_wait_ms = left < part ? left : part;
        Py_BEGIN_ALLOW_THREADS
        status = place_open(place, &once, handle, &error);
        Py_END_ALLOW_THREADS
        if (once.lock_wait_ms == left || !is_locked(status, &error))
            break;
        if (PyErr_CheckSignals() != 0)
            return -1;
    }
    if (status == MMG_OK)
        return 0;
    mgpy_failure_raise(request->source, status, &error, error.offset);
    return -1;
}

/* Returns true when the place is "-", by which load() means standard input. */
static bool
is_dash(const struct place *place)
{
    return place->path != NULL && place->opener == OPENER_LOAD && strcmp(place->path, "-") == 0;
}

/*
 * Returns true when the place may be a stream, whose bytes come when another program writes them. A file of size 0 may
 * be one as well, as in tracefs; mmapguard._streams finds that out.
 */
static bool
may_be_stream(const struct place *place)
{
    struct statx status;
    const char *path = place->path == NULL || is_dash(place) ? "" : place->path;
    int fd = is_dash(place) ? 0 : place->path != NULL ? AT_FDCWD : place->fd;

    /* statx(2), since stat(2) would need a symbol that older C libraries do not have. */
    if (statx(fd, path, AT_EMPTY_PATH, STATX_TYPE | STATX_SIZE, &status) != 0)
        return false;
    return S_ISFIFO(status.stx_mode) || S_ISSOCK(status.stx_mode) || S_ISCHR(status.stx_mode) ||
           (S_ISREG(status.stx_mode) && status.stx_size == 0);
}

/*
 * Lets Python read the stream into a memory file, since Ctrl-C and time limits work in Python's own waits. Returns 1
 * when `place` names that file now, 0 when the place is not a stream, or -1 with an exception set.
 */
static int
stream_collect(const struct request *request, struct place *place)
{
    const mmg_options *options = &request->options;
    bool is_standard_input = is_dash(place);
    int result = -1;

    PyObject *module = PyImport_ImportModule("mmapguard._streams");
    if (module == NULL)
        return -1;
    PyObject *made = PyObject_CallMethod(
        module, "collect", "OyiKKKKO", request->arguments, is_standard_input ? NULL : place->path,
        is_standard_input ? 0 : place->fd, (unsigned long long)options->flags, (unsigned long long)options->offset,
        (unsigned long long)options->length, (unsigned long long)options->max_bytes, request->timeout);
    Py_DECREF(module);
    if (made == Py_None) {
        result = 0;
    } else if (made != NULL) {
        *place = (struct place){.path = NULL, .fd = (int)PyLong_AsLong(made), .opener = OPENER_READ};
        result = place->fd < 0 ? -1 : 1;
    }
    Py_XDECREF(made);
    return result;
}

PyObject *
mgpy_refuse_stream(PyObject *module, PyObject *args)
{
    mmg_error error = MMG_ERROR_INIT;
    struct request request;
    PyObject *arguments;
    mmg_handle handle;
    int fd, by_path;

    (void)module;
    if (!PyArg_ParseTuple(args, "iO!p:refuse_stream", &fd, &PyTuple_Type, &arguments, &by_path) ||
        request_parse(arguments, &request) < 0)
        return NULL;
    /* The library refuses such a window as the last thing before it reads. */
    request.options.offset = 0;
    request.options.length = (uint64_t)1 << 62;
    request.options.max_bytes = 1;
    if (by_path)
        request.options.flags &= ~(uint64_t)MMG_FLAG_NOFOLLOW; /* the path was opened so */
    const struct place place = {.path = NULL, .fd = fd, .opener = request.opener};
    mmg_status status = place_open(&place, &request.options, &handle, &error);
    if (status == MMG_E_TOO_BIG)
        Py_RETURN_NONE;
    return mgpy_failure_raise(request.source, status, &error, error.offset);
}

/* Closes the memory file of a stream. An exception that is set stays set. */
static void
memory_close(int fd)
{
    PyObject *type, *value, *traceback;

    PyErr_Fetch(&type, &value, &traceback);
    PyObject *module = PyImport_ImportModule("os");
    PyObject *done = module == NULL ? NULL : PyObject_CallMethod(module, "close", "i", fd);
    if (done == NULL)
        PyErr_WriteUnraisable(module);
    Py_XDECREF(done);
    Py_XDECREF(module);
    PyErr_Restore(type, value, traceback);
}

static int
open_place(struct request *request, struct place *place, mmg_handle *handle)
{
    int collected = may_be_stream(place) ? stream_collect(request, place) : 0;

    if (collected < 0)
        return -1;
    int result = place_open_or_raise(request, place, handle);
    if (collected > 0)
        memory_close(place->fd);
    return result;
}

/* Opens what the request names. Returns 0, 1 for a relative path, or -1 with an exception set. */
static int
request_open(struct request *request, mmg_handle *handle)
{
    struct place place = {.path = NULL, .fd = -1, .opener = request->opener};
    bool relative = false;
    PyObject *path = NULL;

    if (request->opener != OPENER_READ && is_path(request->source)) {
        if (!PyUnicode_FSConverter(request->source, &path))
            return -1;
        place.path = PyBytes_AsString(path);
        relative = place.path[0] != '/';
    } else {
        place.fd = PyObject_AsFileDescriptor(request->source);
        if (place.fd < 0)
            return -1;
    }
    int result = open_place(request, &place, handle);
    Py_XDECREF(path);
    return result == 0 && relative ? 1 : result;
}

int
mgpy_open_arguments(PyObject *arguments, mmg_handle *handle)
{
    struct request request;

    return request_parse(arguments, &request) < 0 ? -1 : request_open(&request, handle) < 0 ? -1 : 0;
}

/* --------------------------------------------------------------------------------------------------- building -- */

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
adopt(const struct request *request, PyObject *lender, int fd, mmg_handle *handle)
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
    struct request request;
    mmg_handle handle;
    int fd;

    if (!PyArg_ParseTuple(args, "O!O!i:_adopt", &PyTuple_Type, &arguments, &PyMemoryView_Type, &lender, &fd) ||
        request_parse(arguments, &request) < 0 || adopt(&request, lender, fd, &handle) < 0)
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
    struct request request;
    mmg_handle handle;

    if (keywords != NULL && PyDict_Size(keywords) != 0) {
        PyErr_SetString(PyExc_TypeError, "the native region takes no keyword arguments");
        return NULL;
    }
    int opened = request_parse(args, &request) < 0 ? -1 : request_open(&request, &handle);
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
