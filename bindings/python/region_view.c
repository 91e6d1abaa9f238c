/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Gives access to the bytes without a copy: the buffer protocol, indexing and iteration.
 */
#include "region.h"

/* The token of an export's pin is kept in Py_buffer.internal. */
_Static_assert(sizeof(void *) >= sizeof(uint64_t), "a pointer holds a pin token");

/* ---------------------------------------------------------------------------------------------------- buffers -- */

/*
 * Pins the bytes for an export. Uses the region's pin if no other export uses it, else makes a new pin, which fails
 * when a loss is known. Returns false with an exception set.
 */
static bool
export_pin(struct mgpy_region *region, mmg_span *span)
{
    mmg_status status = MMG_OK;

    if (!mgpy_ready(region))
        return false;
    if (region->lent || region->told)
        status = mmg_pin(region->handle, 0, MMG_TO_END, span);
    else if (mgpy_bytes(region, &status) != NULL)
        *span = region->base;
    if (status != MMG_OK)
        mgpy_raise(region, status);
    return status == MMG_OK;
}

/* Ends the pin of an export, unless the region still uses that pin. */
static mmg_status
export_unpin(struct mgpy_region *region, mmg_span *span)
{
    if (span->pin != region->base.pin)
        return mmg_unpin(span);
    region->lent = false;
    return MMG_OK;
}

int
mgpy_region_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    struct mgpy_region *region = mgpy_region_of(self);
    mmg_span span;

    view->obj = NULL;
    if (!export_pin(region, &span))
        return -1;
    bool is_base = span.pin == region->base.pin;
    /* The buffer protocol has no const pointers. The 1 says that the buffer is read-only. */
    if (PyBuffer_FillInfo(view, self, (void *)(uintptr_t)span.data, region->size, 1, flags) < 0) {
        mmg_status status = is_base ? MMG_OK : mmg_unpin(&span);
        mgpy_note(region, status);
        return -1;
    }
    view->internal = (void *)(uintptr_t)span.pin; /* this comes after PyBuffer_FillInfo(), which clears the member */
    region->lent |= is_base;
    region->exports++;
    return 0;
}

void
mgpy_region_releasebuffer(PyObject *self, Py_buffer *view)
{
    struct mgpy_region *region = mgpy_region_of(self);
    mmg_span span = {view->buf, (uint64_t)view->len, (uint64_t)(uintptr_t)view->internal};

    mgpy_note(region, export_unpin(region, &span));
    mgpy_view_ended(region);
}

void
mgpy_view_ended(struct mgpy_region *region)
{
    region->exports--;
    if (!region->closed)
        return; /* a loss stays on record for check() */
    if (region->exports == 0 && region->handle != 0)
        mgpy_region_finish(region);
    if (region->untold != MMG_OK && mgpy_warn(region, region->untold) < 0)
        PyErr_WriteUnraisable((PyObject *)region);
}

/* --------------------------------------------------------------------------------------------------- indexing -- */

/* The numbers from 0 to 255 as objects. They are made once and never released. */
static PyObject *byte_objects[256];

int
mgpy_view_init(void)
{
    for (int i = 0; i < 256; i++) {
        if (byte_objects[i] == NULL)
            byte_objects[i] = PyLong_FromLong(i);
        if (byte_objects[i] == NULL)
            return -1;
    }
    return 0;
}

PyObject *
mgpy_region_item(PyObject *self, Py_ssize_t index)
{
    struct mgpy_region *region = mgpy_region_of(self);
    mmg_status status;
    mmg_span piece;

    /* The cast makes a negative index a large one, so one comparison is enough. A region that is not open has the size
       0. */
    if ((size_t)index < (size_t)region->size && region->data != NULL)
        return Py_NewRef(byte_objects[region->data[index]]);
    if (!mgpy_ready(region))
        return NULL;
    if ((size_t)index >= (size_t)region->size) {
        PyErr_SetString(PyExc_IndexError, "region index out of range");
        return NULL;
    }
    if (mgpy_bytes(region, &status) != NULL)
        return Py_NewRef(byte_objects[region->data[index]]);
    /* A loss is known in another part of the region, so this byte gets a pin of its own. */
    status = mmg_pin(region->handle, (uint64_t)index, 1, &piece);
    if (status != MMG_OK)
        return mgpy_raise(region, status);
    PyObject *byte = Py_NewRef(byte_objects[piece.data[0]]);
    status = mmg_unpin(&piece);
    if (status == MMG_OK)
        return byte;
    Py_DECREF(byte);
    return mgpy_raise(region, status);
}

/* Python handles its signals after so many bytes. */
#define SIGNALS_AFTER ((Py_ssize_t)1 << 24)

/* Returns `length` bytes of the copy, from `start` on and then at every step. */
static PyObject *
bytes_by_step(PyObject *copy, Py_ssize_t start, Py_ssize_t length, Py_ssize_t step)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, length);

    if (bytes == NULL)
        return NULL;
    char *out = PyBytes_AsString(bytes);
    const char *from = PyBytes_AsString(copy) + start;
    for (Py_ssize_t i = 0; i < length; i++) {
        out[i] = from[i * step];
        if (i % SIGNALS_AFTER == SIGNALS_AFTER - 1 && PyErr_CheckSignals() != 0) {
            Py_DECREF(bytes);
            return NULL;
        }
    }
    return bytes;
}

static PyObject *
region_slice(struct mgpy_region *region, PyObject *slice)
{
    Py_ssize_t start, stop, step;

    /* This comes first, since it may run Python code of the indices, which may close the region. */
    if (PySlice_Unpack(slice, &start, &stop, &step) < 0 || !mgpy_ready(region))
        return NULL;
    Py_ssize_t length = PySlice_AdjustIndices(region->size, &start, &stop, step);
    if (step == 1)
        return mgpy_copy(region, start, length);
    if (length == 0)
        return PyBytes_FromStringAndSize(NULL, 0);
    Py_ssize_t last = start + (length - 1) * step, low = step < 0 ? last : start;
    PyObject *copy = mgpy_copy(region, low, (step < 0 ? start : last) - low + 1);
    if (copy == NULL)
        return NULL;
    PyObject *bytes = bytes_by_step(copy, start - low, length, step);
    Py_DECREF(copy);
    return bytes;
}

PyObject *
mgpy_region_subscript(PyObject *self, PyObject *key)
{
    struct mgpy_region *region = mgpy_region_of(self);
    Py_ssize_t index;

    if (Py_IS_TYPE(key, &PySlice_Type))
        return region_slice(region, key);
    if (Py_IS_TYPE(key, &PyLong_Type)) {
        index = PyLong_AsSsize_t(key);
        if (index == -1 && PyErr_Occurred()) {
            PyErr_SetString(PyExc_IndexError, "cannot fit 'int' into an index-sized integer");
            return NULL;
        }
    } else {
        if (!PyIndex_Check(key)) {
            PyErr_SetString(PyExc_TypeError, "region indices must be integers or slices");
            return NULL;
        }
        index = PyNumber_AsSsize_t(key, PyExc_IndexError);
        if (index == -1 && PyErr_Occurred())
            return NULL;
    }
    if (index < 0) {
        if (!mgpy_ready(region)) /* a reference has no size before it is opened */
            return NULL;
        index += region->size;
    }
    return mgpy_region_item(self, index);
}

Py_ssize_t
mgpy_region_length(PyObject *self)
{
    return mgpy_ready(mgpy_region_of(self)) ? mgpy_region_of(self)->size : -1;
}

/* -------------------------------------------------------------------------------------------------- iteration -- */

/*
 * The iterator over the bytes. Without it, iteration would look __getitem__ up for each byte, since Region is a Python
 * class.
 */
struct iterator {
    PyObject_HEAD
    struct mgpy_region *region; /* NULL at the end */
    Py_ssize_t index;
};

static PyTypeObject *iterator_type;

static struct iterator *
iterator_of(PyObject *self)
{
    return (struct iterator *)(void *)self;
}

PyObject *
mgpy_region_iterate(PyObject *self)
{
    allocfunc allocate = (allocfunc)(uintptr_t)PyType_GetSlot(iterator_type, Py_tp_alloc);
    PyObject *made = allocate(iterator_type, 0);

    if (made != NULL)
        iterator_of(made)->region = mgpy_region_of(Py_NewRef(self));
    return made;
}

static PyObject *
iterator_next(PyObject *self)
{
    struct iterator *iterator = iterator_of(self);
    struct mgpy_region *region = iterator->region;

    if (region == NULL)
        return NULL;
    if ((size_t)iterator->index < (size_t)region->size && region->data != NULL)
        return Py_NewRef(byte_objects[region->data[iterator->index++]]);
    if (!mgpy_ready(region))
        return NULL;
    if (iterator->index < region->size) {
        PyObject *byte = mgpy_region_item((PyObject *)region, iterator->index);
        iterator->index += byte != NULL;
        return byte;
    }
    iterator->region = NULL;
    Py_DECREF(region);
    return NULL;
}

static PyObject *
iterator_hint(PyObject *self, PyObject *unused)
{
    const struct iterator *iterator = iterator_of(self);

    (void)unused;
    return PyLong_FromSsize_t(iterator->region == NULL || iterator->region->size < iterator->index
                                  ? 0
                                  : iterator->region->size - iterator->index);
}

static int
iterator_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(iterator_of(self)->region);
    return 0;
}

static int
iterator_clear(PyObject *self)
{
    Py_CLEAR(iterator_of(self)->region);
    return 0;
}

static void
iterator_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)(uintptr_t)PyType_GetSlot(type, Py_tp_free);

    PyObject_GC_UnTrack(self);
    iterator_clear(self);
    release(self);
    Py_DECREF(type);
}

int
mgpy_iterator_init(PyObject *module)
{
    static PyMethodDef methods[] = {
        {"__length_hint__", iterator_hint, METH_NOARGS,
         PyDoc_STR("__length_hint__($self, /)\n--\n\nReturn the number of bytes that are left.")},
        {NULL, NULL, 0, NULL}};
    static PyType_Slot slots[] = {{Py_tp_dealloc, MGPY_SLOT(iterator_dealloc)},
                                  {Py_tp_traverse, MGPY_SLOT(iterator_traverse)},
                                  {Py_tp_clear, MGPY_SLOT(iterator_clear)},
                                  {Py_tp_iter, MGPY_SLOT(PyObject_SelfIter)},
                                  {Py_tp_iternext, MGPY_SLOT(iterator_next)},
                                  {Py_tp_methods, methods},
                                  {0, NULL}};
    static PyType_Spec spec = {.name = "mmapguard._mmapguard.region_iterator",
                               .basicsize = (int)sizeof(struct iterator),
                               .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                               .slots = slots};

    if (iterator_type == NULL)
        iterator_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return iterator_type == NULL ? -1 : 0;
}
