/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A program made for a later version than 1.0: it knows a member, a status, an option bit and, with -DCALL_SHIM, a
 * function more. The header that has these is made by test_gate_shims.py. It prints what the library that it meets says
 * to each, a line each.
 */
#include <stdio.h>

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

int
main(int argc, char **argv)
{
    if (argc != 2) {
        return 2;
    }
    printf("version: %s\n", mmg_abi_version() >= MMG_ABI_VERSION ? "as needed" : "older");
    try("defaults", argv[1], 0, 0);
    try("member", argv[1], 1, 0);
    try("bit", argv[1], 0, MMG_FLAG_SHIM);
    printf("status: %s\n", mmg_status_name(MMG_E_SHIM));
#ifdef CALL_SHIM
    printf("function: %d\n", (int)mmg_shim());
#endif
    return 0;
}
