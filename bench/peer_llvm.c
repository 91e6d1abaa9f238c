/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * LLVM's MemoryBuffer as a contender, through LLVM's C interface. The library is large, so it is not installed for
 * this. It is loaded where the machine has it.
 */
#include "contenders.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* The declarations of <llvm-c/Core.h>, which have not changed since LLVM 3. */
static struct {
    int (*create)(const char *path, void **buffer, char **message);
    const char *(*start)(void *buffer);
    size_t (*size)(void *buffer);
    void (*dispose)(void *buffer);
    void (*dispose_message)(char *message);
    char name[32];
} llvm;

static bool
open_llvm(const char *path, struct view *view)
{
    char *message = NULL;
    if (llvm.create(path, &view->owner, &message) != 0) {
        llvm.dispose_message(message);
        return false;
    }
    view->data = (const uint8_t *)llvm.start(view->owner);
    view->size = llvm.size(view->owner);
    return true;
}

static void
close_llvm(struct view *view)
{
    llvm.dispose(view->owner);
}

/* Store the address of a function of a loaded library, in the way that dlsym(3) describes. */
static void
look_up(void *library, const char *name, void *function)
{
    *(void **)function = dlsym(library, name);
}

const char *
llvm_library(void)
{
    return llvm.name[0] != '\0' ? llvm.name : NULL;
}

const struct contender *
llvm_buffer(void)
{
    static const struct contender contender = {"LLVM MemoryBuffer", open_llvm, close_llvm, false, NULL};
    void *library = NULL;
    if (llvm.dispose_message != NULL)
        return &contender;
    for (int version = 22; library == NULL && version >= 13; version--) {
        snprintf(llvm.name, sizeof llvm.name, version >= 19 ? "libLLVM.so.%d.1" : "libLLVM-%d.so.1", version);
        library = dlopen(llvm.name, RTLD_LAZY | RTLD_LOCAL);
    }
    if (library != NULL) {
        look_up(library, "LLVMCreateMemoryBufferWithContentsOfFile", &llvm.create);
        look_up(library, "LLVMGetBufferStart", &llvm.start);
        look_up(library, "LLVMGetBufferSize", &llvm.size);
        look_up(library, "LLVMDisposeMemoryBuffer", &llvm.dispose);
        look_up(library, "LLVMDisposeMessage", &llvm.dispose_message);
    }
    if (llvm.create == NULL || llvm.start == NULL || llvm.size == NULL || llvm.dispose == NULL ||
        llvm.dispose_message == NULL) {
        llvm.name[0] = '\0';
        llvm.dispose_message = NULL;
        return NULL;
    }
    return &contender;
}
