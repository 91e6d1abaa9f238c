/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Opens a file, a descriptor or a stream for a region: reads the arguments, opens without the GIL, and raises an
 * exception when that fails.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1 /* statx(2) */
#endif
#include "request.h"

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

int
mgpy_request_parse(PyObject *arguments, struct mgpy_request *request)
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
place_open_or_raise(const struct mgpy_request *request, const struct place *place, mmg_handle *handle)
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
stream_collect(const struct mgpy_request *request, struct place *place)
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
    struct mgpy_request request;
    PyObject *arguments;
    mmg_handle handle;
    int fd, by_path;

    (void)module;
    if (!PyArg_ParseTuple(args, "iO!p:refuse_stream", &fd, &PyTuple_Type, &arguments, &by_path) ||
        mgpy_request_parse(arguments, &request) < 0)
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
open_place(struct mgpy_request *request, struct place *place, mmg_handle *handle)
{
    int collected = may_be_stream(place) ? stream_collect(request, place) : 0;

    if (collected < 0)
        return -1;
    int result = place_open_or_raise(request, place, handle);
    if (collected > 0)
        memory_close(place->fd);
    return result;
}

int
mgpy_request_open(struct mgpy_request *request, mmg_handle *handle)
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
    struct mgpy_request request;

    return mgpy_request_parse(arguments, &request) < 0 ? -1 : mgpy_request_open(&request, handle) < 0 ? -1 : 0;
}
