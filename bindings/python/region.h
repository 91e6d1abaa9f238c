/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The native half of mmapguard.Region: one Python object that owns one handle. This folder has the code that must be in
 * C, for bytes, pins and the GIL. The code for words and options is in Python, in mmapguard/_region.py. The C code uses
 * the limited API of CPython 3.11 only, so that one build serves every later version.
 */
#ifndef MMAPGUARD_PYTHON_REGION_H
#define MMAPGUARD_PYTHON_REGION_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "mmapguard.h"

/** The smallest page size of any system. A loss always ends at a multiple of it. */
#define MGPY_PAGE ((uintptr_t)4096)

/** The file from which a region was opened, as fstat(2) described it then. */
struct mgpy_identity {
    uint64_t device;
    uint64_t inode;
    uint64_t size;
    int64_t mtime_ns;
};

/**
 * One region. It is in one of three states:
 *
 *  - open: `handle` is not 0 and `closed` is false;
 *  - a reference: `handle` is 0 and `closed` is false. The first use opens the file; see region_reference.c;
 *  - closed: `closed` is true. `handle` stays alive as long as `exports` is not 0, so that check() can be asked about
 *    views that outlive the region.
 *
 * All fields are read and written under the GIL. A call that releases the GIL works on copies of the fields and on pins
 * of its own. The library decides atomically what happens when another thread closes the region meanwhile.
 */
struct mgpy_region {
    PyObject_HEAD
    mmg_handle handle;   /**< 0 when there is no handle */
    const uint8_t *data; /**< the bytes, pinned by `base`; NULL before they are first needed and after close() */
    Py_ssize_t size;     /**< bytes in the region; 0 for a reference and after close() */
    Py_ssize_t position; /**< the position of read(), seek() and similar calls */
    Py_ssize_t exports;  /**< the number of buffers that exist; each has a pin of its own */
    mmg_span base;       /**< the pin of `data` */
    bool lent;           /**< an export uses the pin `base`, which lives as long as both need it */
    bool closed;         /**< close() was called */
    bool copied;         /**< the bytes are a copy in memory, which cannot be lost */
    bool leased;         /**< a lease keeps the bytes stable; when it is lost, bytes may change without becoming zero */
    bool stream;         /**< the bytes came from a stream, which cannot be read a second time */
    bool told;           /**< an exception or a warning has reported a loss; there is at most one warning */
    mmg_status untold;   /**< the status of a loss that was found and not reported yet; MMG_OK when there is none */
    struct mgpy_identity identity; /**< the file; a reference refuses to open another one */
    PyObject *arguments;           /**< the tuple that was given to __new__ */
    PyObject *lender;              /**< a memoryview that keeps an adopted mapping while there is a handle; else NULL */
    PyObject *directory; /**< the current directory when the region was made, if the path is relative; else NULL */
    PyObject *weak_references;
    struct mgpy_region *next, *previous; /**< neighbours in the list of regions that have a handle; region_list.c */
};

/** Returns the region that is the `self` of a method. */
static inline struct mgpy_region *
mgpy_region_of(PyObject *self)
{
    return (struct mgpy_region *)(void *)self;
}

/** Returns true when the status reports lost bytes. */
static inline bool
mgpy_is_loss(mmg_status status)
{
    return status == MMG_E_TRUNCATED || status == MMG_E_IO || status == MMG_E_POISONED;
}

/** The cast goes through an integer: ISO C has no conversion between a function, or a constant text, and void *. */
#define MGPY_SLOT(content) ((void *)(uintptr_t)(content))

/** Registers the type, as `RegionBase`, and the functions with the module. Returns 0, or -1 with an exception set. */
int mgpy_module_fill(PyObject *module);

/** Refuses the module in all interpreters but the main one. Returns 0, or -1 with ImportError set. */
int mgpy_refuse_subinterpreters(void);

/* region_errors.c: makes exceptions and warnings from statuses */

/** Raises the exception that belongs to a status of a call on the region. Returns NULL. */
PyObject *mgpy_raise(struct mgpy_region *region, mmg_status status);

/** Does the same as mgpy_raise(). `offset` is where the loss is, unless the library knows an earlier one. */
PyObject *mgpy_raise_at(struct mgpy_region *region, mmg_status status, uint64_t offset);

/**
 * Does the same as mgpy_raise() when there is no region. `source` is what should have been opened; `error` has the
 * details, or is NULL.
 */
PyObject *mgpy_failure_raise(PyObject *source, mmg_status status, const mmg_error *error, uint64_t offset);

/**
 * Warns of a loss that cannot be raised. Returns 0, or -1 when the warning became an exception. An exception that is
 * already set stays set.
 */
int mgpy_warn(struct mgpy_region *region, mmg_status status);

/** Remembers the status of an unpin, if it is a loss that was not reported yet. */
void mgpy_note(struct mgpy_region *region, mmg_status status);

/* region_open.c: opening files, descriptors and streams */

/** Opens what the tuple `arguments` describes. Returns 0 and the handle, or -1 with an exception set. */
int mgpy_open_arguments(PyObject *arguments, mmg_handle *handle);

/**
 * The function refuse_stream(fd, arguments, by_path). Raises the exception with which the library refuses the stream `fd`
 * before it reads from it: the descriptor is open for writing only, or the options do not fit a stream. Reads nothing.
 */
PyObject *mgpy_refuse_stream(PyObject *module, PyObject *args);

/** An "O&" converter to uint64_t: any integer from 0 to 2^64 - 1, or OverflowError. */
int mgpy_convert_u64(PyObject *object, void *result);
/** Does the same as mgpy_convert_u64() for uint32_t. */
int mgpy_convert_u32(PyObject *object, void *result);

/* region_life.c: making and closing regions */

PyObject *mgpy_region_new(PyTypeObject *type, PyObject *args, PyObject *keywords);
PyObject *mgpy_region_close(PyObject *self, PyObject *args, PyObject *keywords);
int mgpy_region_traverse(PyObject *self, visitproc visit, void *arg);
int mgpy_region_clear(PyObject *self);
void mgpy_region_dealloc(PyObject *self);

/** Makes a region of a mapping that other code has made. `args` are the arguments, a memoryview and a descriptor. */
PyObject *mgpy_region_adopt(PyObject *type, PyObject *args);

/** Makes an empty object of the type. Returns NULL with an exception set on failure. */
struct mgpy_region *mgpy_region_allocate(PyTypeObject *type);

/** Gives a handle to a region that has none. Returns 0, or -1 with an exception set when the file is too large. */
int mgpy_region_attach(struct mgpy_region *region, mmg_handle handle);

/** Ends the handle of a region that was closed earlier, once its last view is gone. */
void mgpy_region_finish(struct mgpy_region *region);

/* region_reference.c: regions that are opened at first use */

PyObject *mgpy_region_refer(PyObject *type, PyObject *args);
PyObject *mgpy_region_identity(PyObject *self, void *unused);
/** Opens a reference. Returns true when the region is open afterwards, or false with an exception set. */
bool mgpy_reference_open(struct mgpy_region *region);

/**
 * Opens the region first if it is a reference. Returns true when the region is open. Returns false with an exception
 * set when the region is closed or the file of the reference cannot be opened.
 */
static inline bool
mgpy_ready(struct mgpy_region *region)
{
    return (region->handle != 0 && !region->closed) || mgpy_reference_open(region);
}

/**
 * Returns true when the state of the region can be asked: it is open, or closed while views of it live. Returns false
 * with an exception set otherwise.
 */
static inline bool
mgpy_known(struct mgpy_region *region)
{
    return region->handle != 0 || mgpy_reference_open(region);
}

/* region_list.c: all regions that have a handle */

void mgpy_list_add(struct mgpy_region *region);
void mgpy_list_remove(struct mgpy_region *region);
PyObject *mgpy_find_owner(PyObject *module, PyObject *object);
PyObject *mgpy_unsettled(PyObject *module, PyObject *unused);
/**
 * Returns true once the interpreter has begun to end. From then on Python code may not work any more. Any thread may call
 * the function, without the GIL.
 */
bool mgpy_exiting(void);

/* region_truth.c: finds out whether bytes that were read are true */

/**
 * Returns the bytes of an open region. The pin of the bytes lasts as long as the region. Returns NULL, without an
 * exception, when there is no such pin because a loss is known somewhere in the region.
 */
const uint8_t *mgpy_bytes(struct mgpy_region *region, mmg_status *status);

/** Returns MMG_OK when no byte of the range is lost, else the cause. The range is inside the region and not empty. */
mmg_status mgpy_range_status(mmg_handle handle, Py_ssize_t start, Py_ssize_t length);

/** Makes a bytes object from a range inside the region; raises when a byte of it is lost. */
PyObject *mgpy_copy(struct mgpy_region *region, Py_ssize_t start, Py_ssize_t length);

/**
 * Returns true when the bytes that were just read under the region's pin are certainly true. Makes no call of the
 * library.
 */
bool mgpy_certain(const struct mgpy_region *region, const uint8_t *first, const uint8_t *last);

/** Does the same as mgpy_certain() for a range within one page, and is faster. region_truth.c says why it is enough. */
static inline bool
mgpy_certain_in_page(const struct mgpy_region *region, const uint8_t *first, const uint8_t *last)
{
    /* Neither the compiler nor the processor may read the last byte before the range is copied. */
    atomic_thread_fence(memory_order_acquire);
    return !region->leased && ((uintptr_t)first ^ (uintptr_t)last) < MGPY_PAGE && *(const volatile uint8_t *)last != 0;
}

/* region_arrow.c */

/** Ends the views of the Arrow arrays that were released. Returns 0, as a pending call of the interpreter must. */
int mgpy_arrow_collect(void *unused);
PyObject *mgpy_region_arrow(PyObject *self, PyObject *args, PyObject *keywords);

/* region_view.c: buffers and indexing */
int mgpy_view_init(void);
/** Counts one view less, and ends the handle of a closed region with its last view. Warns of a loss that nobody knows. */
void mgpy_view_ended(struct mgpy_region *region);

int mgpy_region_getbuffer(PyObject *self, Py_buffer *view, int flags);
void mgpy_region_releasebuffer(PyObject *self, Py_buffer *view);
Py_ssize_t mgpy_region_length(PyObject *self);
PyObject *mgpy_region_item(PyObject *self, Py_ssize_t index);
PyObject *mgpy_region_subscript(PyObject *self, PyObject *key);
PyObject *mgpy_region_iterate(PyObject *self);
int mgpy_iterator_init(PyObject *module);

/* region_read.c: reading from the position */
PyObject *mgpy_region_read(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *mgpy_region_read_byte(PyObject *self, PyObject *unused);
PyObject *mgpy_region_read_into(PyObject *self, PyObject *args, PyObject *keywords);
PyObject *mgpy_region_readinto(PyObject *self, PyObject *buffer);
PyObject *mgpy_region_readline(PyObject *self, PyObject *unused);
PyObject *mgpy_region_seek(PyObject *self, PyObject *args);
PyObject *mgpy_region_tell(PyObject *self, PyObject *unused);

/* region_find.c: searching */
PyObject *mgpy_region_find(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *mgpy_region_rfind(PyObject *self, PyObject *const *args, Py_ssize_t count);
int mgpy_region_contains(PyObject *self, PyObject *item);

/**
 * Finds the first newline in region[start:end], and lets Python handle its signals now and then. Stores the position,
 * or -1 when there is none, in `*found`. Returns 0, or -1 with an exception set.
 */
int mgpy_find_newline(struct mgpy_region *region, Py_ssize_t start, Py_ssize_t end, Py_ssize_t *found);

/* region_state.c: the state of a region, as numbers */
PyObject *mgpy_region_advise(PyObject *self, PyObject *args);
PyObject *mgpy_region_changed(PyObject *self, PyObject *unused);
PyObject *mgpy_region_check(PyObject *self, PyObject *unused);
PyObject *mgpy_region_check_range(PyObject *self, PyObject *args);
PyObject *mgpy_region_dump(PyObject *self, PyObject *args);
PyObject *mgpy_region_describe(PyObject *self, PyObject *unused);
PyObject *mgpy_region_resident(PyObject *self, PyObject *args);
PyObject *mgpy_region_settle(PyObject *self, PyObject *unused);
PyObject *mgpy_stats_to_dict(const mmg_stats *stats);

/* process.c: the guard for mappings of other code, and the ledger of losses */
PyObject *mgpy_guard_process(PyObject *module, PyObject *args);
PyObject *mgpy_address_of(PyObject *module, PyObject *object);
PyObject *mgpy_losses(PyObject *module, PyObject *since);
PyObject *mgpy_losses_mark(PyObject *module, PyObject *unused);

#endif
