/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests a plugin with a copy of the library that is unloaded while its handler is installed, or while its thread runs.
 * The process must go on, and a SIGBUS of the host must still reach the host. A separate case only loads the library
 * late, since not every C library can load every model of thread-local variables late.
 */
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "copy.h"

#define PAGES 64

static volatile sig_atomic_t caught;

static void
host_handler(int signo __attribute__((unused)))
{
    caught++;
}

/* Unloads a plugin that has opened a file. */
static void
open_and_unload(void *argument)
{
    uint32_t guarantee = *(uint32_t *)argument, means = MMG_MEANS_NONE;
    const char *path = check_file("plugged", PAGES * check_page());
    __typeof__(&copy_open_and_close) run;
    signal(SIGBUS, host_handler);
    void *library = dlopen(getenv("MMAPGUARD_COPY"), RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != NULL);
    /* POSIX lets an object pointer that dlsym() returned be read as a function pointer. */
    *(void **)&run = dlsym(library, "copy_open_and_close");
    REQUIRE(run != NULL);
    CHECK_STATUS(run(path, guarantee, &means), MMG_OK);
    if (guarantee == MMG_GUARANTEE_STABLE && means != MMG_MEANS_LEASE) {
        CHECK(!check_kernel_has_leases());
        check_skip("the library has such a thread only where files have leases");
    }
    REQUIRE(dlclose(library) == 0);
    usleep(300000); /* the lease thread ends 100 ms after the last lease */
    raise(SIGBUS);
    CHECK_I64(caught, 1);
}

static void
a_plugin_may_be_unloaded_while_its_handler_is_installed(void)
{
    uint32_t guarantee = MMG_GUARANTEE_CONTAINED;
    CHECK_EXITED(check_child(open_and_unload, &guarantee));
}

static void
a_plugin_may_be_unloaded_while_its_thread_runs(void)
{
    uint32_t guarantee = MMG_GUARANTEE_STABLE;
    CHECK_EXITED(check_child(open_and_unload, &guarantee));
}

static void
lose_in_loaded(void *argument __attribute__((unused)))
{
    __typeof__(&copy_map) map;
    __typeof__(&copy_unmap) unmap;
    const char *path = check_file("loaded", PAGES * check_page());
    void *library = dlopen(getenv("MMAPGUARD_COPY"), RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != NULL);
    *(void **)&map = dlsym(library, "copy_map");
    *(void **)&unmap = dlsym(library, "copy_unmap");
    REQUIRE(map != NULL && unmap != NULL);
    const uint8_t *data = map(path);
    REQUIRE(data != NULL);
    check_truncate(path, check_page());
    CHECK_U64(*(const volatile uint8_t *)(data + 9 * check_page()), 0);
    CHECK_STATUS(unmap(), MMG_E_TRUNCATED);
}

static void
a_library_that_is_loaded_late_contains_faults(void)
{
    CHECK_EXITED(check_child(lose_in_loaded, NULL));
}

static const struct check_case cases[] = {
    {"a library that is loaded late contains faults", a_library_that_is_loaded_late_contains_faults, 0},
    {"a plugin may be unloaded while its handler is installed", a_plugin_may_be_unloaded_while_its_handler_is_installed,
     0},
    {"a plugin may be unloaded while its thread runs", a_plugin_may_be_unloaded_while_its_thread_runs, 0},
};

CHECK_MAIN(cases)
