/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A copy of the library inside a plugin goes when the plugin is unloaded; but a signal handler and a thread go on running
 * its code. dlopen(3) with RTLD_NODELETE keeps the plugin for good. The shared library says the same of itself by a
 * flag of the linker (-z nodelete), and has MMAPGUARD_NODELETE defined.
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

/* Weak: a program that is linked statically has no such functions, and never unloads anything. Before glibc 2.34 they
   are in libdl, which is there in every process that has loaded a plugin. */
extern __typeof__(dlopen) dlopen __attribute__((weak));
extern __typeof__(dladdr) dladdr __attribute__((weak));

void
mmgi_process_keep_loaded(void)
{
    static atomic_uint is_kept;
    Dl_info here;

    if (atomic_load_explicit(&is_kept, memory_order_relaxed) != 0 || dlopen == NULL || dladdr == NULL)
        return;
    /* What is found is kept by its name, which is the name that it was loaded by. Without the name the file of the program
       itself is meant, which nobody unloads. The handle is never given back. */
    if (dladdr((const void *)&is_kept, &here) != 0 && here.dli_fname != NULL)
        (void)dlopen(here.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    atomic_store_explicit(&is_kept, 1, memory_order_relaxed);
}

#endif
