/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The extension mmapguard._mmapguard: what all languages share, and the hand-written type RegionBase. SWIG's own class
 * wrappers have no place here: they cannot be had together with native buffers and the limited API, and they leave a
 * pointer that outlives its object.
 */
%module _mmapguard

%{
#include "region.h"
%}

%init %{
    /* First: a type of the main interpreter that appears in another one breaks both. */
    if (mgpy_refuse_subinterpreters() < 0)
        return -1;
%}

%typemap(out) mmg_stats {
    $result = mgpy_stats_to_dict(&$1);
}

%typemap(out) mmg_status mmg_guard_install {
    if ($1 != MMG_OK) {
        mgpy_failure_raise(Py_None, $1, NULL, MMG_TO_END);
        SWIG_fail;
    }
    $result = Py_NewRef(Py_None);
}

%typemap(out) int32_t mmg_supports {
    $result = PyBool_FromLong($1);
}

%include "../mmapguard.i"

%init %{
    if (mgpy_module_fill(m) < 0)
        return -1;
%}
