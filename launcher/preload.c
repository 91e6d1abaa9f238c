/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Guards the process before its main() runs, and keeps what the other files need to know about the process.
 */
#include "preload.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mmapguard.h>

extern char **environ;

static enum on_loss on_loss = ON_LOSS_FAIL;
static _Atomic pid_t process; /* the process that is guarded; 0: none */

const struct next_functions *
preload_next(void)
{
    static struct next_functions next;
    static _Atomic bool is_known;

    if (!atomic_load_explicit(&is_known, memory_order_acquire)) {
        /* memcpy(3) avoids a cast from a pointer to an object, which dlsym(3) returns, to a pointer to a function. */
        void *found;
#define NEXT_FIND(name, type)                                                                                          \
    found = dlsym(RTLD_NEXT, #name);                                                                                   \
    memcpy((void *)&next.name##_, (const void *)&found, sizeof found);
        NEXT_FUNCTIONS(NEXT_FIND)
#undef NEXT_FIND
        atomic_store_explicit(&is_known, true, memory_order_release);
    }
    return &next;
}

bool
preload_is_here(void)
{
    return atomic_load_explicit(&process, memory_order_relaxed) == getpid();
}

enum on_loss
preload_on_loss(void)
{
    return on_loss;
}

/* --------------------------------------------------------------------------------------------------- environment -- */

/*
 * Returns the entry of a variable in the environment, or NULL. The code edits the environment in place: the main() of
 * some programs keeps a pointer to it, and setenv(3) or unsetenv(3) could move it.
 */
static char **
variable_find(const char *name)
{
    const size_t size = strlen(name);

    for (char **at = environ; at != NULL && *at != NULL; at++)
        if (strncmp(*at, name, size) == 0 && (*at)[size] == '=')
            return at;
    return NULL;
}

static void
variable_remove(const char *name)
{
    for (char **at = variable_find(name); at != NULL; at = variable_find(name))
        do
            at[0] = at[1];
        while (*at++ != NULL);
}

/* Removes this object from the list of objects to preload, and leaves the others there. */
static void
stop_preloading(void)
{
    char **variable = variable_find(VARIABLE_PRELOAD);
    Dl_info self;

    if (variable == NULL || dladdr((const void *)&process, &self) == 0)
        return;
    char *start = *variable + sizeof VARIABLE_PRELOAD, *to = start;
    for (const char *from = start; *from != '\0';) {
        size_t size = strcspn(from, PRELOAD_SEPARATORS);
        bool is_self = strlen(self.dli_fname) == size && memcmp(from, self.dli_fname, size) == 0;
        if (size > 0 && !is_self) {
            if (to != start)
                *to++ = ':';
            memmove(to, from, size);
            to += size;
        }
        from += size;
        from += strspn(from, PRELOAD_SEPARATORS);
    }
    *to = '\0';
    if (to == start)
        variable_remove(VARIABLE_PRELOAD);
}

static void
read_environment(void)
{
    char own[MAX_PROCESS_SIZE];
    const char *word = getenv(VARIABLE_ON_LOSS);

    if (word != NULL)
        (void)on_loss_parse(word, &on_loss); /* an unknown word may come from another version, and leaves the default */
    word = getenv(VARIABLE_LOST);
    /* The ids are compared as text: strtol(3) would make the object need glibc 2.38, whose headers give that name another
       version. */
    process_write(own, (unsigned)getpid());
    if (word != NULL && strcmp(word, own) == 0)
        losses_inherit();
    variable_remove(VARIABLE_LOST);
    if (getenv(VARIABLE_NO_CHILDREN) != NULL) {
        stop_preloading();
        variable_remove(VARIABLE_NO_CHILDREN);
        variable_remove(VARIABLE_ON_LOSS);
    }
}

/* --------------------------------------------------------------------------------------------------------- begin -- */

static void
after_fork(void)
{
    signals_after_fork();
    changes_after_fork();
    losses_begin();
    atomic_store(&process, getpid());
}

static __attribute__((constructor)) void
begin(void)
{
    losses_begin();
    read_environment();
    if (!signals_begin()) {
        /* `mmapguard run` has checked the first program. So this is another one, for example a child in a sandbox. */
        fprintf(stderr, "mmapguard: %s[%d] runs without the guard: %s\n", program_invocation_short_name, (int)getpid(),
                mmg_supports(MMG_FEATURE_FOREIGN) == 1 ? "it cannot be installed"
                                                       : "the system does not tell what is mapped at an address");
        return;
    }
    changes_begin();
    losses_look_at_standard_error();
    /* If this fails, a forked child takes itself for a child of vfork(2): it is guarded, but writes no report. */
    (void)pthread_atfork(NULL, NULL, after_fork);
    atomic_store(&process, getpid());
    ending_begin();
}
