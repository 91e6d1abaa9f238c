/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Tests who has asked for the guard of the process, with which flags and for how long, and which handlers come before the guard.
 */
#include <errno.h>
#include <string.h>

#include "guard/process_guard.h"
#include "os/map_query.h"
#include "standing_in.h"

#define ALL_FLAGS (MMG_PROCESS_SHARED_WRITABLE | MMG_PROCESS_CHAIN_FIRST)

static const char *library; /* the file of which the handler is a part; NULL: of none that is known */

int __wrap_mmgi_map_find(uintptr_t address, char *path, char *text, struct map_area *area);

int
__wrap_mmgi_map_find(uintptr_t address, char *path, char *text, struct map_area *area)
{
    (void)address;
    (void)text;
    (void)area;
    if (library == NULL) {
        return ENOENT;
    }
    memcpy(path, library, strlen(library) + 1);
    return 0;
}

static void
check_flags(bool is_on, uint32_t flags)
{
    uint32_t found = 77;
    CHECK(mmgi_process_guard_is_on(&found) == is_on);
    CHECK_U64(found, flags);
}

/** Every combination is a wish of its own, and counts as often as it was made. */
static void
the_flags_of_a_caller_end_with_the_caller(void)
{
    check_flags(false, 0);
    for (uint32_t flags = 0; flags <= ALL_FLAGS; flags++) {
        for (int count = 1; count <= 2; count++) {
            CHECK_STATUS(mmgi_process_guard_begin(flags), MMG_OK);
            check_flags(true, flags);
        }
        for (uint32_t other = 0; other <= ALL_FLAGS; other++) {
            CHECK_STATUS(mmgi_process_guard_begin(other), MMG_OK);
            check_flags(true, flags | other);
            CHECK_STATUS(mmgi_process_guard_end(other), MMG_OK);
        }
        CHECK_STATUS(mmgi_process_guard_end(flags), MMG_OK);
        check_flags(true, flags);
        CHECK_STATUS(mmgi_process_guard_end(flags), MMG_OK);
        check_flags(false, 0);
        CHECK_STATUS(mmgi_process_guard_end(flags), MMG_E_ARGUMENT);
    }
}

static void
an_unknown_flag_is_an_error_of_the_caller(void)
{
    static const uint32_t unknown[] = {ALL_FLAGS + 1, UINT32_C(1) << 31, UINT32_MAX};
    for (size_t index = 0; index < sizeof unknown / sizeof *unknown; index++) {
        CHECK_STATUS(mmgi_process_guard_begin(unknown[index]), MMG_E_ARGUMENT);
        CHECK_STATUS(mmgi_process_guard_end(unknown[index]), MMG_E_ARGUMENT);
        check_flags(false, 0);
    }
}

/** The name of the file decides, and neither its folder nor a part of the name does. */
static void
handlers_that_repair_their_own_mappings_come_first(void)
{
    static const struct {
        const char *path;
        bool comes_first;
    } handlers[] = {
        {"/usr/lib/jvm/java/lib/server/libjvm.so", true},
        {"/usr/lib/libyara.so.10.0.1", true},
        {"/usr/lib/python3/dist-packages/yara.cpython-312-x86_64-linux-gnu.so", true},
        {"/usr/lib/libeina.so.1", true},
        {"/usr/lib/librpm.so.9", true},
        {"/usr/lib/librpmio.so.9", true},
        {"libjvm.so", true},
        {"/usr/lib/libjvmother.so", false},
        {"/usr/lib/mylibjvm.so", false},
        {"/usr/lib/librpm/libother.so", false},
        {"/usr/lib/jvm/libjvm.so/program", false},
        {"/usr/bin/program", false},
        {"", false},
        {NULL, false},
    };
    for (size_t index = 0; index < sizeof handlers / sizeof *handlers; index++) {
        library = handlers[index].path;
        CHECK(!mmgi_process_guard_comes_second(4711)); /* without the guard of the process nothing changes */
        CHECK_STATUS(mmgi_process_guard_begin(0), MMG_OK);
        CHECK(mmgi_process_guard_comes_second(4711) == handlers[index].comes_first);
        CHECK_STATUS(mmgi_process_guard_begin(MMG_PROCESS_CHAIN_FIRST), MMG_OK);
        CHECK(mmgi_process_guard_comes_second(4711));
        CHECK_STATUS(mmgi_process_guard_end(MMG_PROCESS_CHAIN_FIRST), MMG_OK);
        CHECK_STATUS(mmgi_process_guard_end(0), MMG_OK);
    }
}

static const struct check_case cases[] = {
    {"the flags of a caller end with the caller", the_flags_of_a_caller_end_with_the_caller, 0},
    {"an unknown flag is an error of the caller", an_unknown_flag_is_an_error_of_the_caller, 0},
    {"handlers that repair their own mappings come first", handlers_that_repair_their_own_mappings_come_first, 0},
};

CHECK_MAIN(cases)
