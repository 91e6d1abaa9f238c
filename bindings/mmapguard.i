/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The part of the SWIG interface that every language shares. It is read from mmapguard.h itself, so nothing that the
 * library knows is written down twice: the constants, without their prefix MMG_, and the functions that need neither a
 * handle nor a span, without their prefix mmg_. Everything else of the header is left out: regions are hand-written
 * types in each language, and raw handles never reach a script.
 *
 * A language gives its %module, and then its typemaps, before it includes this file. Those are:
 *
 *   in and out for uint32_t and int32_t, where the language's own are not integers;
 *   out for `mmg_status` of mmg_guard_install(): what the language makes of a failure;
 *   out for `mmg_stats` of stats(): a table of counters.
 */
%include <stdint.i>

%{
#include "mmapguard.h"
%}

/* The attributes say nothing to a script. */
#define MMG_NO_ATTRIBUTES

/* Nothing but what is named below: neither structures nor calls on handles, nor those that a later release adds. */
%rename("$ignore", %$isfunction) "";
%rename("$ignore", %$isclass) "";

/* Constants lose the prefix. Macros are for C; abi_version() answers for MMG_ABI. */
%rename("%(strip:[MMG_])s", %$isenumitem) "";
%ignore MMAPGUARD_H;
%ignore MMG_ABI;
%ignore MMG_VERSION_MAJOR;
%ignore MMG_VERSION_MINOR;
%ignore MMG_VERSION_PATCH;
%ignore MMG_TO_END;
%ignore MMG_NO_LIMIT;
%ignore MMG_NOT_FOUND;
%ignore MMG_WAIT_FOREVER;
%ignore MMG_SPAN_INIT;
%ignore MMG_OPTIONS_INIT;
%ignore MMG_ERROR_INIT;
%ignore MMG_INFO_INIT;
%ignore MMG_STATS_INIT;

%rename(abi_version) mmg_abi_version;
%rename(guard_install) mmg_guard_install;
%rename(guard_state) mmg_guard_state;
%rename(status_message) mmg_status_message;
%rename(status_name) mmg_status_name;
%rename(supports) mmg_supports;
%rename(term) mmg_term;
%rename(version) mmg_version;

%include "mmapguard.h"

/* The counters by value: the language's typemap for mmg_stats makes its own kind of table from them. */
%rename(stats) mmapguard_stats;
mmg_stats mmapguard_stats(void);

%{
static mmg_stats
mmapguard_stats(void)
{
    mmg_stats stats = MMG_STATS_INIT;

    mmg_stats_get(&stats); /* cannot fail: the size is the header's own */
    return stats;
}
%}
