/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The type RegionBase: its tables of methods and slots, with the texts of help().
 */
#include "region.h"

#include <stddef.h>
#include <structmember.h>

static PyObject *
region_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(mgpy_region_of(self)->closed);
}

static PyObject *
region_exports(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(mgpy_region_of(self)->exports);
}

/* Returns True when there is a handle: the region is open, or it is closed and views of it live. */
static PyObject *
region_opened(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(mgpy_region_of(self)->handle != 0);
}

static PyObject *
region_lost(PyObject *self, void *unused)
{
    struct mgpy_region *region = mgpy_region_of(self);
    const uint32_t *counter;

    (void)unused;
    if (!mgpy_known(region))
        return NULL;
    mmg_status status = mmg_loss_counter(region->handle, &counter);
    return status == MMG_OK ? PyBool_FromLong(*(const volatile uint32_t *)counter != 0) : mgpy_raise(region, status);
}

/*
 * The cast goes through void (*)(void), since compilers warn of a direct cast of a function with more than two
 * arguments.
 */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {
    {"close", METHOD(mgpy_region_close), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR(
         "close($self, /, *, strict=False)\n--\n\n"
         "Close the region. A second call does nothing.\n\n"
         "Existing views keep their bytes until the last view is gone; until then check(), info and changed() still\n"
         "work. New views and every other use raise ValueError. With `strict`, as with mmap, existing views raise\n"
         "BufferError, and the region stays open. Warns with MapFaultWarning when bytes that were read are known to\n"
         "be lost and no exception has reported that.")},
    {"check", mgpy_region_check, METH_NOARGS,
     PyDoc_STR(
         "check($self, /)\n--\n\n"
         "Raise an exception if bytes of the region are lost.\n\n"
         "It is TruncatedError when the file is shorter than the region, and DeviceError when the device failed. A\n"
         "known loss is raised every time. Also works on a closed region while views of it live.")},
    {"find", METHOD(mgpy_region_find), METH_FASTCALL,
     PyDoc_STR(
         "find($self, sub, start=None, end=None, /)\n--\n\n"
         "Return the lowest index of `sub` in region[start:end], or -1.\n\n"
         "`sub` is any bytes-like object. `start` is the position of tell() if it is not given, as with mmap;\n"
         "otherwise the arguments are those of bytes.find(). Raises MapFaultError if bytes of the range are lost.\n"
         "During a long search other threads run, and Ctrl-C works.")},
    {"rfind", METHOD(mgpy_region_rfind), METH_FASTCALL,
     PyDoc_STR("rfind($self, sub, start=None, end=None, /)\n--\n\n"
               "Return the highest index of `sub` in region[start:end], or -1. Otherwise does the same as find().")},
    {"read", METHOD(mgpy_region_read), METH_FASTCALL,
     PyDoc_STR(
         "read($self, n=None, /)\n--\n\n"
         "Return up to `n` bytes from the position on, and move it behind them; to the end if `n` is None or\n"
         "negative.\n\n"
         "Threads that share a region get each byte once. Raises MapFaultError if any of the bytes is lost. Other\n"
         "threads run while much is copied.")},
    {"read_byte", mgpy_region_read_byte, METH_NOARGS,
     PyDoc_STR("read_byte($self, /)\n--\n\n"
               "Return the byte at the position as an integer, and move behind it.\n\n"
               "Raises ValueError at the end, MapFaultError if the byte is lost.")},
    {"read_into", METHOD(mgpy_region_read_into), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR(
         "read_into($self, buffer, /, offset=0)\n--\n\n"
         "Copy bytes from `offset` on into a writable buffer, and return their number.\n\n"
         "The number is smaller than the buffer only at the end of the region. The call neither uses nor moves the\n"
         "position. The kernel copies, so no signal can come, and other threads run meanwhile. Raises\n"
         "MapFaultError if any of the bytes is lost, ValueError if `offset` is beyond the end.")},
    {"readinto", mgpy_region_readinto, METH_O,
     PyDoc_STR(
         "readinto($self, buffer, /)\n--\n\n"
         "Copy bytes from the position on into a writable buffer, move behind them, and return their number, which\n"
         "is 0 at the end. io.BufferedReader(region) uses this. Otherwise does the same as read_into().")},
    {"readline", mgpy_region_readline, METH_NOARGS,
     PyDoc_STR(
         "readline($self, /)\n--\n\n"
         "Return the bytes from the position to the next newline, which is included, or to the end; b'' at the end.\n"
         "The position moves behind them. Raises MapFaultError if any of the bytes is lost.")},
    {"seek", mgpy_region_seek, METH_VARARGS,
     PyDoc_STR("seek($self, pos, whence=0, /)\n--\n\n"
               "Move the position, counted from the start (0), the position (1) or the end (2), and return it.\n\n"
               "Raises ValueError for a position outside the region.")},
    {"tell", mgpy_region_tell, METH_NOARGS,
     PyDoc_STR("tell($self, /)\n--\n\nReturn the position, in bytes from the start of the region.")},
    {"__arrow_c_array__", METHOD(mgpy_region_arrow), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR(
         "__arrow_c_array__($self, requested_schema=None)\n--\n\n"
         "The Arrow PyCapsule interface: the region as an array of uint8 without nulls, for pyarrow.array(region),\n"
         "polars.Series(region) and others. Nothing is copied, and the array keeps the bytes after close(). Raises\n"
         "ValueError if the region is closed, MapFaultError if bytes are known to be lost.")},
    {"_adopt", mgpy_region_adopt, METH_VARARGS | METH_CLASS,
     PyDoc_STR("_adopt($type, arguments, view, fd, /)\n--\n\n")},
    {"_advise", mgpy_region_advise, METH_VARARGS, PyDoc_STR("_advise($self, advice, offset, length, /)\n--\n\n")},
    {"_changed", mgpy_region_changed, METH_NOARGS, PyDoc_STR("_changed($self, /)\n--\n\n")},
    {"_check_range", mgpy_region_check_range, METH_VARARGS, PyDoc_STR("_check_range($self, start, length, /)\n--\n\n")},
    {"_describe", mgpy_region_describe, METH_NOARGS, PyDoc_STR("_describe($self, /)\n--\n\n")},
    {"_dump", mgpy_region_dump, METH_VARARGS, PyDoc_STR("_dump($self, advice, start, length, /)\n--\n\n")},
    {"_refer", mgpy_region_refer, METH_VARARGS | METH_CLASS,
     PyDoc_STR("_refer($type, arguments, identity, /)\n--\n\n")},
    {"_resident", mgpy_region_resident, METH_VARARGS, PyDoc_STR("_resident($self, offset, length, /)\n--\n\n")},
    {"_settle", mgpy_region_settle, METH_NOARGS, PyDoc_STR("_settle($self, /)\n--\n\n")},
    {NULL, NULL, 0, NULL}};

/*
 * Copies the methods into a class that inherits from RegionBase. CPython calls a C method on its fast path only when
 * the method belongs to the class of the object itself.
 */
static PyObject *
give_methods(PyObject *module, PyObject *type)
{
    (void)module;
    if (!PyType_Check(type))
        return PyErr_Format(PyExc_TypeError, "a class is needed");
    for (PyMethodDef *method = methods; method->ml_name != NULL; method++) {
        if (method->ml_name[0] == '_')
            continue;
        PyObject *descriptor = PyDescr_NewMethod((PyTypeObject *)type, method);
        int failed = descriptor == NULL ? -1 : PyObject_SetAttrString(type, method->ml_name, descriptor);
        Py_XDECREF(descriptor);
        if (failed)
            return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"give_methods", give_methods, METH_O, PyDoc_STR("give_methods($module, kind, /)\n--\n\n")},
    {"find_owner", mgpy_find_owner, METH_O, PyDoc_STR("find_owner($module, object, /)\n--\n\n")},
    {"address_of", mgpy_address_of, METH_O, PyDoc_STR("address_of($module, view, /)\n--\n\n")},
    {"guard_process", mgpy_guard_process, METH_VARARGS, PyDoc_STR("guard_process($module, scope, flags, /)\n--\n\n")},
    {"losses", mgpy_losses, METH_O, PyDoc_STR("losses($module, since, /)\n--\n\n")},
    {"losses_mark", mgpy_losses_mark, METH_NOARGS, PyDoc_STR("losses_mark($module, /)\n--\n\n")},
    {"refuse_stream", mgpy_refuse_stream, METH_VARARGS,
     PyDoc_STR("refuse_stream($module, fd, arguments, by_path, /)\n--\n\n")},
    {"unsettled", mgpy_unsettled, METH_NOARGS, PyDoc_STR("unsettled($module, /)\n--\n\n")},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef properties[] = {
    {"closed", region_closed, NULL, PyDoc_STR("True when the region was closed."), NULL},
    {"exports", region_exports, NULL,
     PyDoc_STR("The number of views (buffers) that exist. Each keeps the bytes, also after close()."), NULL},
    {"lost", region_lost, NULL,
     PyDoc_STR(
         "True once a signal has reported lost bytes. It reads a counter in memory, so a loop can ask each time.\n"
         "It stays False when a file was cut within its last page; check() finds that, too."),
     NULL},
    {"_identity", mgpy_region_identity, NULL, NULL, NULL},
    {"_opened", region_opened, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL}};

static PyMemberDef members[] = {
    {"_arguments", T_OBJECT, offsetof(struct mgpy_region, arguments), READONLY, NULL},
    {"_directory", T_OBJECT, offsetof(struct mgpy_region, directory), READONLY, NULL},
    {"_stream", T_BOOL, offsetof(struct mgpy_region, stream), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct mgpy_region, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_doc, MGPY_SLOT("The native half of a region; see mmapguard.Region.")},
                              {Py_tp_new, MGPY_SLOT(mgpy_region_new)},
                              {Py_tp_dealloc, MGPY_SLOT(mgpy_region_dealloc)},
                              {Py_tp_traverse, MGPY_SLOT(mgpy_region_traverse)},
                              {Py_tp_clear, MGPY_SLOT(mgpy_region_clear)},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_getset, properties},
                              {Py_bf_getbuffer, MGPY_SLOT(mgpy_region_getbuffer)},
                              {Py_bf_releasebuffer, MGPY_SLOT(mgpy_region_releasebuffer)},
                              {Py_tp_iter, MGPY_SLOT(mgpy_region_iterate)},
                              {Py_mp_length, MGPY_SLOT(mgpy_region_length)},
                              {Py_mp_subscript, MGPY_SLOT(mgpy_region_subscript)},
                              {Py_sq_length, MGPY_SLOT(mgpy_region_length)},
                              {Py_sq_item, MGPY_SLOT(mgpy_region_item)},
                              {Py_sq_contains, MGPY_SLOT(mgpy_region_contains)},
                              {0, NULL}};

static PyType_Spec spec = {.name = "mmapguard._mmapguard.RegionBase",
                           .basicsize = (int)sizeof(struct mgpy_region),
                           .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                           .slots = slots};

int
mgpy_module_fill(PyObject *module)
{
    if (mgpy_view_init() < 0 || mgpy_iterator_init(module) < 0 || PyModule_AddFunctions(module, functions) < 0)
        return -1;
    PyObject *type = PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type == NULL)
        return -1;
    int result = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return result;
}

int
mgpy_refuse_subinterpreters(void)
{
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) == 0)
        return 0;
    PyErr_SetString(PyExc_ImportError, "mmapguard does not support subinterpreters: import it in the main interpreter");
    return -1;
}
