/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The native half of mmapguard.Region: one Python object that owns one handle. What has to do with C stands here, bytes
 * and pins and the GIL; what has to do with words and options is Python, in mmapguard/_region.py. Limited API of CPython
 * 3.11, so that one build serves every later version.
 */
#ifndef MMAPGUARD_PYTHON_REGION_H
#define MMAPGUARD_PYTHON_REGION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdbool.h>

#include "mmapguard.h"

/**
 * All fields are read and written under the GIL. A call that releases it works on copies of what it needs, and on pins of
 * its own; that the region may be closed meanwhile is the library's business, which decides it atomically.
 */
struct region {
    PyObject_HEAD mmg_handle handle; /**< 0: closed */
    const uint8_t
        *data;       /**< the bytes for indexing, pinned by `base`; NULL until they are first needed, and once closed */
    Py_ssize_t size; /**< bytes in the region; 0 once closed */
    Py_ssize_t position; /**< of read(), seek() and their like */
    Py_ssize_t exports;  /**< buffers that are out; each has a pin of its own */
    mmg_span base;       /**< the pin of `data` */
    bool lent;           /**< an export owns that pin now: if the region ends first, the export ends the pin */
    mmg_status untold;   /**< a loss that was found and that nobody has been told of yet; MMG_OK: none */
    bool told;           /**< somebody has been told of a loss: once is enough for a warning */
    PyObject *arguments; /**< what the region was made from: the tuple that was given to __new__ */
    PyObject *weak_references;
};

/** The object behind `self` of a method. */
static inline struct region *
as_region(PyObject *self)
{
    return (struct region *)(void *)self;
}

/** Through an integer: ISO C has no way from a function, or from a constant text, to the void * of a slot, or back. */
#define SLOT(content) ((void *)(uintptr_t)(content))

/** Register the type, as `RegionBase`, with the module. 0, or -1 with an exception set. */
int region_type_add(PyObject *module);

/** Refuse the module in all interpreters but the main one. 0, or -1 with ImportError set. */
int region_refuse_subinterpreters(void);

/* region_errors.c */

/** Raise what belongs to a status. `error` has the details, or is NULL. Returns NULL. */
PyObject *region_raise(struct region *region, mmg_status status, const mmg_error *error);

/** The same without a region; `source` is what was to be opened. */
PyObject *failure_raise(PyObject *source, mmg_status status, const mmg_error *error, uint64_t offset);

/** Warn of a loss that cannot be raised. 0, or -1 when the warning became an exception. Keeps an exception that is set. */
int region_warn(struct region *region, mmg_status status);

/** Remember what unpinning said, if it was a loss and nobody has been told. */
void region_note(struct region *region, mmg_status status);

/** Is the region open? Sets ValueError if not. */
bool region_open(const struct region *region);

/** Is it a status that tells of lost bytes? */
static inline bool
is_loss(mmg_status status)
{
    return status == MMG_E_TRUNCATED || status == MMG_E_IO || status == MMG_E_POISONED;
}

/* The slots and methods, for the table in region.c. */

/* region_life.c */
PyObject *region_new(PyTypeObject *type, PyObject *args, PyObject *keywords);
PyObject *region_close(PyObject *self, PyObject *args, PyObject *keywords);
int region_traverse(PyObject *self, visitproc visit, void *arg);
int region_clear(PyObject *self);
void region_dealloc(PyObject *self);

/* region_arrow.c */
PyObject *region_arrow(PyObject *self, PyObject *args, PyObject *keywords);

/* region_view.c */
int region_view_init(void);
int region_getbuffer(PyObject *self, Py_buffer *view, int flags);
void region_releasebuffer(PyObject *self, Py_buffer *view);
Py_ssize_t region_length(PyObject *self);
PyObject *region_item(PyObject *self, Py_ssize_t index);
PyObject *region_subscript(PyObject *self, PyObject *key);

/* region_read.c */
PyObject *region_find(PyObject *self, PyObject *args);
PyObject *region_rfind(PyObject *self, PyObject *args);
PyObject *region_read(PyObject *self, PyObject *args);
PyObject *region_read_byte(PyObject *self, PyObject *unused);
PyObject *region_read_into(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *region_readline(PyObject *self, PyObject *unused);
PyObject *region_seek(PyObject *self, PyObject *args);
PyObject *region_tell(PyObject *self, PyObject *unused);
int region_contains(PyObject *self, PyObject *item);

/* region_state.c */
PyObject *region_advise(PyObject *self, PyObject *args);
PyObject *region_changed(PyObject *self, PyObject *unused);
PyObject *region_check(PyObject *self, PyObject *unused);
PyObject *region_describe(PyObject *self, PyObject *unused);
PyObject *region_resident(PyObject *self, PyObject *args);
PyObject *region_settle(PyObject *self, PyObject *unused);
PyObject *stats_to_dict(const mmg_stats *stats);

/** An "O&" converter to uint64_t: any integer from 0 to 2^64 - 1, or OverflowError. */
int convert_u64(PyObject *object, void *result);
/** The same for uint32_t. */
int convert_u32(PyObject *object, void *result);

#endif
