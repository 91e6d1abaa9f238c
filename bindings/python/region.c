/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The type: its table of methods and slots, with what help() says of them.
 */
#include "region.h"

#include <stddef.h>
#include <structmember.h>

static PyObject *
region_closed(PyObject *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(as_region(self)->handle == 0);
}

static PyObject *
region_exports(PyObject *self, void *unused)
{
    (void)unused;
    return PyLong_FromSsize_t(as_region(self)->exports);
}

/* Through void (*)(void), as the compilers want it, for methods that take more than two arguments. */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

static PyMethodDef methods[] = {
    {"close", METHOD(region_close), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR(
         "close($self, /, *, strict=False)\n--\n\n"
         "Close the region; a second time does nothing.\n\n"
         "Buffers that are out keep their bytes; new ones, and every other use, raise ValueError. With `strict`,\n"
         "as mmap does: BufferError while there are such buffers, and the region stays open. Warns with\n"
         "MapFaultWarning when bytes that were read are known to be lost and nothing has told so yet.")},
    {"check", region_check, METH_NOARGS,
     PyDoc_STR("check($self, /)\n--\n\n"
               "Raise if anything that was handed out so far is not true: TruncatedError when the file is shorter\n"
               "than the region, DeviceError when the device failed. A loss once seen is raised every time.")},
    {"find", region_find, METH_VARARGS,
     PyDoc_STR("find($self, sub, start=None, end=None, /)\n--\n\n"
               "The lowest index of `sub` in region[start:end], or -1.\n\n"
               "`start` is the position of tell() if not given, as with mmap; else all is as with bytes. Raises\n"
               "MapFaultError if bytes of the range are lost. Other threads run meanwhile.")},
    {"rfind", region_rfind, METH_VARARGS,
     PyDoc_STR("rfind($self, sub, start=None, end=None, /)\n--\n\n"
               "The highest index of `sub` in region[start:end], or -1; otherwise as find().")},
    {"read", region_read, METH_VARARGS,
     PyDoc_STR(
         "read($self, n=None, /)\n--\n\n"
         "Up to `n` bytes from the position on, which moves behind them; everything if `n` is None or negative.\n\n"
         "Raises MapFaultError if any of them is lost. Other threads run while much is copied.")},
    {"read_byte", region_read_byte, METH_NOARGS,
     PyDoc_STR("read_byte($self, /)\n--\n\nThe byte at the position, as an integer; ValueError at the end.")},
    {"read_into", METHOD(region_read_into), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR(
         "read_into($self, buffer, /, offset=0)\n--\n\n"
         "Copy bytes from `offset` on into a writable buffer; the number of bytes copied, less than its size only\n"
         "at the end.\n\n"
         "The kernel copies, without a signal whatever happens to the file, and other threads run meanwhile.\n"
         "Raises MapFaultError if any of the bytes is lost, ValueError if `offset` is beyond the end.")},
    {"readline", region_readline, METH_NOARGS,
     PyDoc_STR("readline($self, /)\n--\n\n"
               "The bytes from the position to the next newline, that included, or to the end; b'' at the end.")},
    {"seek", region_seek, METH_VARARGS,
     PyDoc_STR("seek($self, pos, whence=0, /)\n--\n\n"
               "Move the position, counted from the start (0), the position (1) or the end (2), and return it.\n"
               "ValueError outside the region.")},
    {"tell", region_tell, METH_NOARGS, PyDoc_STR("tell($self, /)\n--\n\nThe position, in bytes from the start.")},
    {"__arrow_c_array__", METHOD(region_arrow), METH_VARARGS | METH_KEYWORDS,
     PyDoc_STR(
         "__arrow_c_array__($self, requested_schema=None)\n--\n\n"
         "The Arrow PyCapsule interface: the region as an array of uint8 without nulls, for pyarrow.array(region),\n"
         "polars.Series(region) and others. Nothing is copied; the array keeps the bytes past close(). Raises\n"
         "ValueError if the region is closed, MapFaultError if bytes are known to be lost.")},
    {"_advise", region_advise, METH_VARARGS, PyDoc_STR("_advise($self, advice, offset, length, /)\n--\n\n")},
    {"_changed", region_changed, METH_NOARGS, PyDoc_STR("_changed($self, /)\n--\n\n")},
    {"_describe", region_describe, METH_NOARGS, PyDoc_STR("_describe($self, /)\n--\n\n")},
    {"_resident", region_resident, METH_VARARGS, PyDoc_STR("_resident($self, offset, length, /)\n--\n\n")},
    {"_settle", region_settle, METH_NOARGS, PyDoc_STR("_settle($self, /)\n--\n\n")},
    {NULL, NULL, 0, NULL}};

static PyGetSetDef properties[] = {{"closed", region_closed, NULL, PyDoc_STR("Is the region closed?"), NULL},
                                   {"exports", region_exports, NULL,
                                    PyDoc_STR("The number of buffers that are out, each with a pin of its own."), NULL},
                                   {NULL, NULL, NULL, NULL, NULL}};

static PyMemberDef members[] = {
    {"_arguments", T_OBJECT, offsetof(struct region, arguments), READONLY, NULL},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(struct region, weak_references), READONLY, NULL},
    {NULL, 0, 0, 0, NULL}};

static PyType_Slot slots[] = {{Py_tp_doc, SLOT("The native half of a region; see mmapguard.Region.")},
                              {Py_tp_new, SLOT(region_new)},
                              {Py_tp_dealloc, SLOT(region_dealloc)},
                              {Py_tp_traverse, SLOT(region_traverse)},
                              {Py_tp_clear, SLOT(region_clear)},
                              {Py_tp_methods, methods},
                              {Py_tp_members, members},
                              {Py_tp_getset, properties},
                              {Py_bf_getbuffer, SLOT(region_getbuffer)},
                              {Py_bf_releasebuffer, SLOT(region_releasebuffer)},
                              {Py_mp_length, SLOT(region_length)},
                              {Py_mp_subscript, SLOT(region_subscript)},
                              {Py_sq_length, SLOT(region_length)},
                              {Py_sq_item, SLOT(region_item)},
                              {Py_sq_contains, SLOT(region_contains)},
                              {0, NULL}};

static PyType_Spec spec = {.name = "mmapguard._mmapguard.RegionBase",
                           .basicsize = (int)sizeof(struct region),
                           .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
                           .slots = slots};

int
region_type_add(PyObject *module)
{
    PyObject *type = region_view_init() < 0 ? NULL : PyType_FromModuleAndSpec(module, &spec, NULL);
    if (type == NULL)
        return -1;
    int result = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return result;
}

int
region_refuse_subinterpreters(void)
{
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) == 0)
        return 0;
    PyErr_SetString(PyExc_ImportError, "mmapguard does not support subinterpreters: import it in the main interpreter");
    return -1;
}
