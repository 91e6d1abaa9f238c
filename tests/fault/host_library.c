/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The steps that need the library. The host loads it by dlopen(3), so that the twin runs without it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#include "host.h"

#define OURS_PAGES 96
#define STOCK 8

static struct {
    __typeof__(&mmg_open) open;
    __typeof__(&mmg_close) close;
    __typeof__(&mmg_pin) pin;
    __typeof__(&mmg_unpin) unpin;
    __typeof__(&mmg_check) check;
    __typeof__(&mmg_info_get) info_get;
    __typeof__(&mmg_guard_state) guard_state;
    __typeof__(&mmg_guard_install) guard_install;
    __typeof__(&mmg_handle_fault) handle_fault;
    __typeof__(&mmg_term) term;
    void *library;
} api;

static mmg_handle stock[STOCK];
static char stock_paths[STOCK][32];
static int stocked;
static int taken;
static int made;

static void
find_symbol(void **where, const char *name)
{
    *where = dlsym(api.library, name);
    need(*where != NULL, name);
}

void
load_library(void)
{
    const char *path = getenv("MMAPGUARD_LIBRARY");
    api.library = dlopen(path == NULL ? "libmmapguard.so.1" : path, RTLD_NOW | RTLD_LOCAL);
    if (api.library == NULL) {
        fprintf(stderr, "host: %s\n", dlerror());
        _exit(99);
    }
    /* POSIX lets an object pointer that dlsym() returned be read as a function pointer. */
    find_symbol((void **)&api.open, "mmg_open");
    find_symbol((void **)&api.close, "mmg_close");
    find_symbol((void **)&api.pin, "mmg_pin");
    find_symbol((void **)&api.unpin, "mmg_unpin");
    find_symbol((void **)&api.check, "mmg_check");
    find_symbol((void **)&api.info_get, "mmg_info_get");
    find_symbol((void **)&api.guard_state, "mmg_guard_state");
    find_symbol((void **)&api.guard_install, "mmg_guard_install");
    find_symbol((void **)&api.handle_fault, "mmg_handle_fault");
    find_symbol((void **)&api.term, "mmg_term");
}

void
pass_on(struct slot *slot, int signo, siginfo_t *info, void *context)
{
    if (slot->chain == CHAIN_HOOK && !twin && api.handle_fault(signo, info, context) == 1) {
        return;
    }
    if (slot->chain == CHAIN_CALL || slot->chain == CHAIN_HOOK) {
        call_saved(&slot->old, signo, info, context);
        return;
    }
    sigaction(SIGBUS, &slot->old, NULL);
    if (slot->chain == CHAIN_RESTORE_RAISE) {
        raise(signo);
    }
}

static mmg_handle
open_region(char *path, size_t size, uint32_t backing)
{
    mmg_options options = MMG_OPTIONS_INIT;
    mmg_error error = MMG_ERROR_INIT;
    mmg_handle handle = 0;
    snprintf(path, size, "ours-%d", made++);
    int descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    uint8_t *bytes = malloc(page);
    need(descriptor >= 0 && bytes != NULL, path);
    memset(bytes, 0xA5, page);
    for (int index = 0; index < OURS_PAGES; index++) {
        need(write(descriptor, bytes, page) == (ssize_t)page, "write");
    }
    free(bytes);
    close(descriptor);
    options.backing = backing;
    mmg_status status = api.open(path, &options, &handle, &error);
    if (status != MMG_OK) {
        fprintf(stderr, "host: %s\n", error.message);
        fail("mmg_open", status);
    }
    return handle;
}

/**
 * Cuts the file of a region in the middle of its second page, reads behind the cut, and checks that everything is
 * reported.
 */
static void
ours(void)
{
    char path[sizeof stock_paths[0]];
    mmg_handle handle;
    mmg_span span = MMG_SPAN_INIT;
    mmg_info info = MMG_INFO_INIT;
    if (taken < stocked) {
        memcpy(path, stock_paths[taken], sizeof path);
        handle = stock[taken++];
    } else {
        handle = open_region(path, sizeof path, MMG_BACKING_MAP);
    }
    mmg_status status = api.pin(handle, 0, MMG_TO_END, &span);
    if (status != MMG_OK || span.size != OURS_PAGES * page) {
        fail("mmg_pin", status);
    }
    need(truncate(path, (off_t)(page + 100)) == 0, "truncate");
    const volatile uint8_t *bytes = span.data;
    errno = 4711;
    reading_ours = true;
    if (bytes[5 * page] != 0) {
        fail("a lost byte reads as", bytes[5 * page]);
    }
    /* The read is volatile, since the compiler sees no call that could have changed errno. */
    int left = *(volatile int *)&errno;
    if (left != 4711) {
        fail("errno after a contained fault", left);
    }
    for (size_t at = 0; at < span.size; at++) {
        if (bytes[at] != (at < page + 100 ? 0xA5 : 0)) {
            fail("wrong byte at", (int64_t)at);
        }
    }
    reading_ours = false;
    status = api.unpin(&span);
    if (status != MMG_E_TRUNCATED) {
        fail("mmg_unpin", status);
    }
    status = api.check(handle);
    if (status != MMG_E_TRUNCATED) {
        fail("mmg_check", status);
    }
    status = api.info_get(handle, &info);
    if (status != MMG_OK || info.faults != 1 || info.fault_offset != page + 100 ||
        info.fault_cause != MMG_E_TRUNCATED) {
        fail("mmg_info.fault_offset", (int64_t)info.fault_offset);
    }
    if (api.close(handle, 0) != MMG_OK) {
        fail("mmg_close", 0);
    }
    unlink(path);
}

static void
copied(void)
{
    char path[sizeof stock_paths[0]];
    mmg_span span = MMG_SPAN_INIT;
    mmg_info info = MMG_INFO_INIT;
    mmg_handle handle = open_region(path, sizeof path, MMG_BACKING_AUTO);
    if (api.info_get(handle, &info) != MMG_OK || info.backing != MMG_BACKING_COPY ||
        info.backing_reason != MMG_REASON_NO_GUARD || info.guarantee != MMG_GUARANTEE_STABLE) {
        fail("mmg_info.backing_reason", (int64_t)info.backing_reason);
    }
    mmg_status status = api.pin(handle, 0, MMG_TO_END, &span);
    if (status != MMG_OK) {
        fail("mmg_pin", status);
    }
    need(truncate(path, 0) == 0, "truncate");
    for (size_t at = 0; at < span.size; at++) {
        if (span.data[at] != 0xA5) {
            fail("wrong byte at", (int64_t)at);
        }
    }
    if (api.unpin(&span) != MMG_OK || api.check(handle) != MMG_OK || api.close(handle, 0) != MMG_OK) {
        fail("a copy", 0);
    }
    unlink(path);
}

void
touch_ours(void)
{
    mmg_span span = MMG_SPAN_INIT;
    if (twin || taken >= stocked) {
        return;
    }
    if (api.pin(stock[taken], 0, MMG_TO_END, &span) != MMG_OK || truncate(stock_paths[taken], 0) != 0) {
        fail("inside a handler", errno);
    }
    reading_ours = true;
    uint8_t value = *(const volatile uint8_t *)(span.data + 7 * page);
    reading_ours = false;
    if (value != 0 || api.unpin(&span) != MMG_E_TRUNCATED) {
        fail("not contained inside a handler", 0);
    }
    taken++;
}

static void
close_stock(void)
{
    for (; stocked > 0; stocked--) {
        if (stocked > taken && api.close(stock[stocked - 1], 0) != MMG_OK) {
            fail("mmg_close", stocked);
        }
    }
    taken = 0;
}

void
library_step(const char *step)
{
    if (twin) {
        return;
    }
    if (strcmp(step, "open") == 0) {
        for (; stocked < STOCK; stocked++) {
            stock[stocked] = open_region(stock_paths[stocked], sizeof stock_paths[0], MMG_BACKING_MAP);
        }
    } else if (strcmp(step, "close") == 0) {
        close_stock();
    } else if (strcmp(step, "ours") == 0) {
        ours();
    } else if (strcmp(step, "copied") == 0) {
        copied();
    } else if (strcmp(step, "guard") == 0) {
        mmg_status status = api.guard_install();
        if (status != MMG_OK) {
            fail("mmg_guard_install", status);
        }
    } else if (strncmp(step, "state:", 6) == 0) {
        int32_t state = api.guard_state();
        if (strcmp(api.term(MMG_TERM_GUARD, (uint32_t)state), step + 6) != 0) {
            fail(step, state);
        }
    } else if (strcmp(step, "load") == 0) {
        load_library();
    } else {
        need(dlclose(api.library) == 0, "dlclose");
    }
}
