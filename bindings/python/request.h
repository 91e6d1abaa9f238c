/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The arguments of an opening, as region_open.c reads them from the tuple that Python passes.
 */
#ifndef MMAPGUARD_PYTHON_REQUEST_H
#define MMAPGUARD_PYTHON_REQUEST_H

#include "region.h"

/** The arguments of an opening. */
struct mgpy_request {
    PyObject *arguments; /**< borrowed; the tuple that all other fields come from */
    PyObject *source;    /**< borrowed; a path, or an object with a descriptor */
    int opener;          /**< an `enum opener` of region_open.c */
    mmg_options options;
    PyObject *timeout; /**< borrowed; seconds to wait for the end of a stream, or None */
    int on_change;     /**< the C code does not use it; mmapguard/_region.py reads it from the tuple of arguments */
};

/** Reads the tuple of arguments. Returns 0, or -1 with an exception set. */
int mgpy_request_parse(PyObject *arguments, struct mgpy_request *request);

/** Opens what the request names. Returns 0, 1 for a relative path, or -1 with an exception set. */
int mgpy_request_open(struct mgpy_request *request, mmg_handle *handle);

#endif
