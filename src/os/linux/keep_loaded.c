/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * When a plugin with a copy of the library is unloaded, the signal handler and the thread of the library would still
 * run its code. dlopen(3) with RTLD_NODELETE keeps the plugin loaded. The shared library is linked with -z nodelete,
 * which has the same effect, and is compiled with MMAPGUARD_NODELETE.
 */
#include "os/process.h"

#ifdef MMAPGUARD_NODELETE

void
mmgi_process_keep_loaded(void)
{
}

#else

#include <dlfcn.h>
#include <stdatomic.h>

/*
 * Weak symbols, since a statically linked program does not have these functions, and unloads nothing. Before glibc 2.34
 * they are in libdl, which every process that has loaded a plugin has.
 */
extern __typeof__(dlopen) dlopen __attribute__((weak));
extern __typeof__(dladdr) dladdr __attribute__((weak));

void
mmgi_process_keep_loaded(void)
{
    static atomic_uint is_kept;
    Dl_info here;

    if (atomic_load_explicit(&is_kept, memory_order_relaxed) != 0 || dlopen == NULL || dladdr == NULL)
        return;
    /* The object is opened again by the name under which it was loaded. An object without a name is the program itself,
       which is never unloaded. The handle is not closed, on purpose. */
    if (dladdr((const void *)&is_kept, &here) != 0 && here.dli_fname != NULL)
        (void)dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    atomic_store_explicit(&is_kept, 1, memory_order_relaxed);
}

#endif
