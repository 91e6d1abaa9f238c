/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The status registry gives each status its number, its name and its words. The public header repeats the numbers,
 * because some of its readers see no macros; status.c asserts that both agree.
 */
#ifndef MMGI_BASE_STATUS_H
#define MMGI_BASE_STATUS_H

#include "mmapguard.h"

#define STATUS_REGISTRY(X)                                                                                             \
    X(MMG_OK, 0, "success")                                                                                            \
    X(MMG_E_ARGUMENT, -1, "invalid argument")                                                                          \
    X(MMG_E_HANDLE, -2, "not a live handle or pin")                                                                    \
    X(MMG_E_RANGE, -3, "offset or length out of range")                                                                \
    X(MMG_E_ABI_SIZE, -4, "struct_size is not a size of this struct")                                                  \
    X(MMG_E_ABI_NEWER, -5, "the struct uses members that this library is too old to know")                             \
    X(MMG_E_NOT_FOUND, -20, "no such file")                                                                            \
    X(MMG_E_PERMISSION, -21, "permission denied")                                                                      \
    X(MMG_E_EMPTY, -22, "the file is empty")                                                                           \
    X(MMG_E_NOT_MAPPABLE, -23, "not a file with bytes to map")                                                         \
    X(MMG_E_WOULD_BLOCK, -24, "would block: locked elsewhere, or no writer")                                           \
    X(MMG_E_TOO_BIG, -25, "larger than the cap allows")                                                                \
    X(MMG_E_LIMIT, -26, "out of descriptors, mappings or address space")                                               \
    X(MMG_E_NO_MEMORY, -27, "out of memory")                                                                           \
    X(MMG_E_UNSTABLE, -28, "stable bytes cannot be had for this file")                                                 \
    X(MMG_E_SYSTEM, -29, "the operating system reported an error")                                                     \
    X(MMG_E_TRUNCATED, -40, "the file was truncated and bytes are gone")                                               \
    X(MMG_E_IO, -41, "the device failed to deliver bytes")                                                             \
    X(MMG_E_POISONED, -42, "a hardware memory error hit the bytes")                                                    \
    X(MMG_E_CHANGED, -43, "the file was written to since it was opened")                                               \
    X(MMG_E_BUSY, -60, "pins are still live")                                                                          \
    X(MMG_E_UNSUPPORTED, -61, "not supported here")                                                                    \
    X(MMG_E_GUARD, -62, "the fault guard could not be put in place")

/** Returns the status for an errno of open(2), fstat(2), read(2) and similar calls. */
mmg_status mmgi_status_from_errno(int os_code);

/** Returns the status for an errno that an open region meets, where only the contents can be at fault. */
mmg_status mmgi_status_of_contents(int os_code);

#endif
