/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Finds the functions that the library imports and the shim does not know.
 */
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim_internal.h"

/*
 * Other functions that the library may call. They use only memory or the thread, or cannot fail in a way that matters.
 */
static const char harmless[] =
    " __cxa_finalize __errno_location __libc_current_sigrtmax __libc_current_sigrtmin __memcpy_chk __memset_chk "
    "__register_atfork __snprintf_chk __stack_chk_fail __strcpy_chk __vsnprintf_chk __xpg_strerror_r abort bcmp "
    "free getauxval getenv getpid getrlimit getrlimit64 gettid memchr memcmp memcpy memmem memmove memset "
    "__sysconf lseek64 memfd_create memrchr pthread_setcancelstate strcspn strncpy strspn "
    "strstr strtoull "
    "pthread_atfork pthread_attr_destroy pthread_attr_init pthread_attr_setdetachstate pthread_attr_setstacksize "
    "pthread_cond_broadcast pthread_cond_destroy pthread_cond_init pthread_cond_signal pthread_cond_wait "
    "pthread_join pthread_kill pthread_mutex_destroy pthread_mutex_init pthread_mutex_lock pthread_mutex_unlock "
    "pthread_once pthread_self pthread_sigmask raise sched_yield secure_getenv sigaddset sigdelset sigemptyset "
    "sigfillset sigismember snprintf strchr strcmp strerror_r strlen strncmp strnlen strrchr strtol strtoul "
    "sysconf tgkill vsnprintf ";

static bool
is_known(const char *name)
{
    /* Compilers and sanitizers add calls of these functions. */
    static const char *const foreign[] = {"_ITM_",       "__gmon", "__asan", "__ubsan", "__tsan",
                                          "__sanitizer", "__gcov", "__llvm", "mmg_"};
    for (size_t index = 0; index < SHIM_COUNT; index++) {
        if (strcmp(name, shim_names[index]) == 0) {
            return true;
        }
    }
    char word[128];
    int length = snprintf(word, sizeof word, " %s ", name);
    if (length > 0 && (size_t)length < sizeof word && strstr(harmless, word) != NULL) {
        return true;
    }
    for (size_t index = 0; index < sizeof foreign / sizeof *foreign; index++) {
        if (strncmp(name, foreign[index], strlen(foreign[index])) == 0) {
            return true;
        }
    }
    return false;
}

/**
 * Calls `tell` for each unknown import among the dynamic symbols of the file that is mapped at `file`. Returns their
 * number.
 */
static int
walk_symbols(const unsigned char *file, void (*tell)(const char *name))
{
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)(const void *)file; /* the file starts with this header */
    const ElfW(Shdr) *sections = (const ElfW(Shdr) *)(const void *)(file + header->e_shoff);
    int unknown = 0;
    for (unsigned index = 0; index < header->e_shnum; index++) {
        if (sections[index].sh_type != SHT_DYNSYM) {
            continue;
        }
        const ElfW(Sym) *symbols = (const ElfW(Sym) *)(const void *)(file + sections[index].sh_offset);
        const char *names = (const char *)file + sections[sections[index].sh_link].sh_offset;
        for (size_t at = 1; at < sections[index].sh_size / sizeof *symbols; at++) {
            if (symbols[at].st_shndx == SHN_UNDEF && !is_known(names + symbols[at].st_name)) {
                tell(names + symbols[at].st_name);
                unknown++;
            }
        }
        return unknown;
    }
    return -1;
}

/* The calls here are those of the shim, which lets every caller but the library through. */
int
shim_unknown_imports(void (*tell)(const char *name))
{
    struct stat status;
    int result = -1;
    int descriptor = open(shim_library(), O_RDONLY | O_CLOEXEC);
    if (descriptor >= 0 && fstat(descriptor, &status) == 0) {
        size_t size = (size_t)status.st_size;
        unsigned char *file = mmap(NULL, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
        if (file != MAP_FAILED) {
            result = walk_symbols(file, tell);
            munmap(file, size);
        }
    }
    close(descriptor);
    return result;
}
