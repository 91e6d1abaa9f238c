/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program for a later version than 1.0. It uses one more member, status, option bit and, with -DCALL_SHIM, function
 * than 1.0 has. test_gate_shims.py makes the header for it. The program prints a line for each of these, with the
 * answer of the library.
 */
#include <stdio.h>
#include <string.h>

#include "mmapguard.h"

static void
try(const char *what, const char *path, uint64_t member, uint64_t flags)
{
    mmg_handle handle = 0;
    mmg_options options = MMG_OPTIONS_INIT;
    options.shim_bytes = member;
    options.flags = flags;
    mmg_status status = mmg_open(path, &options, &handle, NULL);
    printf("%s: %s\n", what, mmg_status_name(status));
    if (status == MMG_OK) {
        mmg_close(handle, 0);
    }
}

static void
say(const char *what, mmg_status status, const uint64_t *detail)
{
    printf("%s: %s, %s behind it\n", what, mmg_status_name(status), *detail == 0 ? "zero" : "noise");
}

/* Only struct_size of an out struct is set, as the header says. The other bytes are left as they are on the stack. */
static void
ask(const char *path)
{
    mmg_error error;
    mmg_info info;
    mmg_stats stats;
    mmg_handle handle = 0;

    memset(&error, 0xaa, sizeof error);
    memset(&info, 0xaa, sizeof info);
    memset(&stats, 0xaa, sizeof stats);
    error.struct_size = (uint32_t)sizeof error;
    info.struct_size = (uint32_t)sizeof info;
    stats.struct_size = (uint32_t)sizeof stats;
    say("error", mmg_open("/no/such/file", NULL, &handle, &error), &error.shim_detail);
    if (mmg_open(path, NULL, &handle, NULL) == MMG_OK) {
        say("info", mmg_info_get(handle, &info), &info.shim_detail);
        mmg_close(handle, 0);
    }
    say("stats", mmg_stats_get(&stats), &stats.shim_detail);
}

int
main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    printf("version: %s\n", mmg_abi_version() >= MMG_ABI ? "as needed" : "older");
    try("defaults", argv[1], 0, 0);
    try("member", argv[1], 1, 0);
    try("bit", argv[1], 0, MMG_FLAG_SHIM);
    printf("status: %s\n", mmg_status_name(MMG_E_SHIM));
    ask(argv[1]);
#ifdef CALL_SHIM
    printf("function: %d\n", (int)mmg_shim());
#endif
    return 0;
}
