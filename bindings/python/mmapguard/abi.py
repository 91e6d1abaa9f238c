# SPDX-License-Identifier: MIT OR Apache-2.0
"""The whole C ABI of mmapguard, declared for ctypes: nothing to compile, nothing else to import.

Written by `./dev abi --accept` from abi/abi.json; do not edit. The meaning of every name is in mmapguard.h.
A structure made without `struct_size` has the right one, as its MMG_..._INIT gives it in C.

    import ctypes
    from mmapguard.abi import *

    library = load()
    handle, span = mmg_handle(), mmg_span()
    status = library.mmg_open(b"big.bin", None, ctypes.byref(handle), None)
    if status == MMG_OK:
        library.mmg_pin(handle, 0, MMG_TO_END, ctypes.byref(span))
        first = ctypes.string_at(span.data, 16)
        library.mmg_unpin(ctypes.byref(span))
        library.mmg_close(handle, 0)
"""

from __future__ import annotations

import os
from ctypes import (
    CDLL,
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_int32,
    c_int64,
    c_uint8,
    c_uint32,
    c_uint64,
    c_void_p,
    sizeof,
)
from typing import Any, Final

MMG_VERSION_MAJOR: Final = 0x1
MMG_VERSION_MINOR: Final = 0x0
MMG_VERSION_PATCH: Final = 0x0
MMG_ABI: Final = 0x10000
MMG_TO_END: Final = 0xFFFFFFFFFFFFFFFF
MMG_NO_LIMIT: Final = 0xFFFFFFFFFFFFFFFF
MMG_NOT_FOUND: Final = 0xFFFFFFFFFFFFFFFF
MMG_WAIT_FOREVER: Final = 0xFFFFFFFF

MMG_OK: Final = 0
MMG_E_ARGUMENT: Final = -1
MMG_E_HANDLE: Final = -2
MMG_E_RANGE: Final = -3
MMG_E_ABI_SIZE: Final = -4
MMG_E_ABI_NEWER: Final = -5
MMG_E_NOT_FOUND: Final = -20
MMG_E_PERMISSION: Final = -21
MMG_E_EMPTY: Final = -22
MMG_E_NOT_MAPPABLE: Final = -23
MMG_E_WOULD_BLOCK: Final = -24
MMG_E_TOO_BIG: Final = -25
MMG_E_LIMIT: Final = -26
MMG_E_NO_MEMORY: Final = -27
MMG_E_UNSTABLE: Final = -28
MMG_E_SYSTEM: Final = -29
MMG_E_TRUNCATED: Final = -40
MMG_E_IO: Final = -41
MMG_E_POISONED: Final = -42
MMG_E_CHANGED: Final = -43
MMG_E_BUSY: Final = -60
MMG_E_UNSUPPORTED: Final = -61
MMG_E_GUARD: Final = -62

MMG_BACKING_AUTO: Final = 0
MMG_BACKING_MAP: Final = 1
MMG_BACKING_COPY: Final = 2
MMG_BACKING_ADOPTED: Final = 3

MMG_REASON_ASKED: Final = 0
MMG_REASON_SMALL: Final = 1
MMG_REASON_LARGE: Final = 2
MMG_REASON_EMPTY: Final = 3
MMG_REASON_STREAM: Final = 4
MMG_REASON_VIRTUAL: Final = 5
MMG_REASON_MAP_REFUSED: Final = 6
MMG_REASON_MAP_PRIVATE: Final = 7
MMG_REASON_STABLE: Final = 8
MMG_REASON_NO_GUARD: Final = 9
MMG_REASON_BLOCK_DEVICE: Final = 10
MMG_REASON_NO_ROOM: Final = 11

MMG_GUARANTEE_NONE: Final = 0
MMG_GUARANTEE_CONTAINED: Final = 1
MMG_GUARANTEE_STABLE: Final = 2

MMG_MEANS_NONE: Final = 0
MMG_MEANS_FAULT_GUARD: Final = 1
MMG_MEANS_PRIVATE_COPY: Final = 2
MMG_MEANS_SEALED: Final = 3
MMG_MEANS_READ_ONLY_MEDIUM: Final = 4
MMG_MEANS_LEASE: Final = 5
MMG_MEANS_REFLINK: Final = 6
MMG_MEANS_SNAPSHOT: Final = 7

MMG_SHORT_NONE: Final = 0
MMG_SHORT_NOT_ASKED: Final = 1
MMG_SHORT_GUARD_OFF: Final = 2
MMG_SHORT_ENVIRONMENT: Final = 3
MMG_SHORT_CAP: Final = 4
MMG_SHORT_TIME: Final = 5
MMG_SHORT_SPACE: Final = 6
MMG_SHORT_READ: Final = 7
MMG_SHORT_FORKED: Final = 8
MMG_SHORT_LOST: Final = 9
MMG_SHORT_DISPLACED: Final = 10
MMG_SHORT_BLOCKED: Final = 11

MMG_LOCK_AUTO: Final = 0
MMG_LOCK_SHARED: Final = 1
MMG_LOCK_OFD: Final = 2
MMG_LOCK_NONE: Final = 3

MMG_LOCKING_HELD: Final = 0
MMG_LOCKING_ASKED: Final = 1
MMG_LOCKING_NO_NEED: Final = 2
MMG_LOCKING_MANDATORY: Final = 3
MMG_LOCKING_COULD_HANG: Final = 4
MMG_LOCKING_NOT_LOCAL: Final = 5
MMG_LOCKING_MISSING: Final = 6
MMG_LOCKING_NOT_OURS: Final = 7

MMG_EXCEPT_READ_ONLY_TRUNCATION: Final = 1
MMG_EXCEPT_PINNED_PAGES: Final = 2

MMG_FLAG_REJECT_EMPTY: Final = 1
MMG_FLAG_NOFOLLOW: Final = 2
MMG_FLAG_NO_FAULT_GUARD: Final = 4
MMG_FLAG_POPULATE: Final = 8
MMG_FLAG_FIFO_WAIT: Final = 16
MMG_FLAG_REQUIRE_LOCK: Final = 32
MMG_FLAG_NO_LEASE: Final = 64
MMG_FLAG_REGULAR_ONLY: Final = 128
MMG_FLAG_NO_WRITERS: Final = 256
MMG_FLAG_REQUIRE_GUARD: Final = 512
MMG_FLAG_SHARED_WRITABLE: Final = 1024

MMG_ADVICE_NORMAL: Final = 0
MMG_ADVICE_SEQUENTIAL: Final = 1
MMG_ADVICE_RANDOM: Final = 2
MMG_ADVICE_WILLNEED: Final = 3
MMG_ADVICE_HUGEPAGE: Final = 4
MMG_ADVICE_DONTNEED: Final = 5
MMG_ADVICE_POPULATE: Final = 6
MMG_ADVICE_EVICT: Final = 7

MMG_CLOSE_STRICT: Final = 1

MMG_CHANGED_SIZE: Final = 1
MMG_CHANGED_MTIME: Final = 2
MMG_CHANGED_CTIME: Final = 4
MMG_CHANGED_PATH: Final = 8

MMG_GUARD_NONE: Final = 0
MMG_GUARD_TOP: Final = 1
MMG_GUARD_DISPLACED: Final = 2
MMG_GUARD_REFUSED: Final = 3
MMG_GUARD_BLOCKED: Final = 4
MMG_GUARD_DISABLED: Final = 5

MMG_SCOPE_NONE: Final = 0
MMG_SCOPE_FILES: Final = 1

MMG_PROCESS_SHARED_WRITABLE: Final = 1
MMG_PROCESS_CHAIN_FIRST: Final = 2

MMG_ORIGIN_OWN: Final = 0
MMG_ORIGIN_ADOPTED: Final = 1
MMG_ORIGIN_FOREIGN: Final = 2

MMG_FEATURE_FAULT_GUARD: Final = 1
MMG_FEATURE_OFD_LOCK: Final = 2
MMG_FEATURE_STABLE_COPY: Final = 3
MMG_FEATURE_STABLE_LEASE: Final = 4
MMG_FEATURE_STABLE_REFLINK: Final = 5
MMG_FEATURE_ARROW: Final = 6
MMG_FEATURE_FOREIGN: Final = 7
MMG_FEATURE_FOREIGN_QUERY: Final = 8

MMG_TERM_BACKING: Final = 1
MMG_TERM_REASON: Final = 2
MMG_TERM_GUARANTEE: Final = 3
MMG_TERM_MEANS: Final = 4
MMG_TERM_SHORTFALL: Final = 5
MMG_TERM_LOCK: Final = 6
MMG_TERM_GUARD: Final = 7
MMG_TERM_CHANGED: Final = 8
MMG_TERM_LOCKING: Final = 9
MMG_TERM_EXCEPT: Final = 10
MMG_TERM_ORIGIN: Final = 11

mmg_handle = c_uint64
mmg_status = c_int32


class _Sized(Structure):
    """A structure that begins with its own size."""

    def __init__(self, **members: Any) -> None:
        super().__init__(**{"struct_size": sizeof(type(self)), **members})


class mmg_span(Structure):  # 24 bytes
    _fields_ = [
        ("data", POINTER(c_uint8)),
        ("size", c_uint64),
        ("pin", c_uint64),
    ]


class mmg_options(_Sized):  # 88 bytes
    _fields_ = [
        ("struct_size", c_uint32),
        ("backing", c_uint32),
        ("guarantee", c_uint32),
        ("lock", c_uint32),
        ("lock_wait_ms", c_uint32),
        ("access", c_uint32),
        ("flags", c_uint64),
        ("offset", c_uint64),
        ("length", c_uint64),
        ("copy_threshold", c_uint64),
        ("max_bytes", c_uint64),
        ("max_snapshot_bytes", c_uint64),
        ("max_leases", c_uint32),
        ("max_lease_wait_ms", c_uint32),
        ("stream_wait_ms", c_uint32),
        ("reserved", c_uint32),
    ]


class mmg_error(_Sized):  # 512 bytes
    _fields_ = [
        ("struct_size", c_uint32),
        ("status", mmg_status),
        ("os_code", c_int32),
        ("reserved", c_uint32),
        ("offset", c_uint64),
        ("operation", c_char * 24),
        ("message", c_char * 464),
    ]


class mmg_info(_Sized):  # 192 bytes
    _fields_ = [
        ("struct_size", c_uint32),
        ("backing", c_uint32),
        ("backing_reason", c_uint32),
        ("guarantee", c_uint32),
        ("means", c_uint32),
        ("shortfall", c_uint32),
        ("lock", c_uint32),
        ("fault_cause", mmg_status),
        ("size", c_uint64),
        ("offset", c_uint64),
        ("file_size", c_uint64),
        ("device", c_uint64),
        ("inode", c_uint64),
        ("mtime_seconds", c_int64),
        ("ctime_seconds", c_int64),
        ("mtime_nanoseconds", c_uint32),
        ("ctime_nanoseconds", c_uint32),
        ("faults", c_uint64),
        ("fault_offset", c_uint64),
        ("pins", c_uint64),
        ("mapped_bytes", c_uint64),
        ("heap_bytes", c_uint64),
        ("lock_error", c_int32),
        ("os_error", c_int32),
        ("page_size", c_uint64),
        ("lock_reason", c_uint32),
        ("exceptions", c_uint32),
        ("means_order", c_uint64),
        ("file_system", c_char * 24),
    ]


class mmg_stats(_Sized):  # 224 bytes
    _fields_ = [
        ("struct_size", c_uint32),
        ("guard_state", c_int32),
        ("handles", c_uint64),
        ("opened", c_uint64),
        ("regions", c_uint64),
        ("mappings", c_uint64),
        ("mapped_bytes", c_uint64),
        ("heap_bytes", c_uint64),
        ("faults", c_uint64),
        ("foreign_faults", c_uint64),
        ("retired_slots", c_uint64),
        ("leases", c_uint64),
        ("leases_breaking", c_uint64),
        ("lease_breaks", c_uint64),
        ("lease_refusals", c_uint64),
        ("fallbacks_cap", c_uint64),
        ("fallbacks_time", c_uint64),
        ("fallbacks_space", c_uint64),
        ("fallbacks_read", c_uint64),
        ("snapshot_bytes", c_uint64),
        ("snapshots", c_uint64),
        ("writer_wait_ns", c_uint64),
        ("writer_wait_max_ns", c_uint64),
        ("losses", c_uint64),
        ("losses_truncated", c_uint64),
        ("losses_io", c_uint64),
        ("losses_poisoned", c_uint64),
        ("losses_unstable", c_uint64),
        ("losses_foreign", c_uint64),
    ]


class mmg_loss(_Sized):  # 512 bytes
    _fields_ = [
        ("struct_size", c_uint32),
        ("cause", mmg_status),
        ("sequence", c_uint64),
        ("handle", mmg_handle),
        ("device", c_uint64),
        ("inode", c_uint64),
        ("offset", c_uint64),
        ("length", c_uint64),
        ("address", c_uint64),
        ("time_ns", c_int64),
        ("thread", c_uint32),
        ("origin", c_uint32),
        ("path", c_char * 432),
    ]


#: For each function its result and its arguments.
FUNCTIONS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    # uint32_t mmg_abi_version(void)
    "mmg_abi_version": (c_uint32, ()),
    # mmg_status mmg_adopt(const void *data, uint64_t size, int32_t fd, const mmg_options *options, mmg_handle
    #     *handle, mmg_error *error)
    "mmg_adopt": (
        mmg_status,
        (c_void_p, c_uint64, c_int32, POINTER(mmg_options), POINTER(mmg_handle), POINTER(mmg_error)),
    ),
    # mmg_status mmg_advise(mmg_handle handle, uint64_t offset, uint64_t length, uint32_t advice)
    "mmg_advise": (mmg_status, (mmg_handle, c_uint64, c_uint64, c_uint32)),
    # mmg_status mmg_changed(mmg_handle handle, uint32_t *what)
    "mmg_changed": (mmg_status, (mmg_handle, POINTER(c_uint32))),
    # mmg_status mmg_check(mmg_handle handle)
    "mmg_check": (mmg_status, (mmg_handle,)),
    # mmg_status mmg_close(mmg_handle handle, uint32_t flags)
    "mmg_close": (mmg_status, (mmg_handle, c_uint32)),
    # mmg_status mmg_explain(mmg_handle handle, mmg_error *error)
    "mmg_explain": (mmg_status, (mmg_handle, POINTER(mmg_error))),
    # mmg_status mmg_export_arrow(mmg_handle handle, uint64_t offset, uint64_t length, struct ArrowArray
    #     *array, struct ArrowSchema *schema)
    "mmg_export_arrow": (mmg_status, (mmg_handle, c_uint64, c_uint64, c_void_p, c_void_p)),
    # mmg_status mmg_find(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle, uint64_t
    #     needle_size, uint64_t *position)
    "mmg_find": (mmg_status, (mmg_handle, c_uint64, c_uint64, c_void_p, c_uint64, POINTER(c_uint64))),
    # mmg_status mmg_find_last(mmg_handle handle, uint64_t offset, uint64_t length, const void *needle,
    #     uint64_t needle_size, uint64_t *position)
    "mmg_find_last": (mmg_status, (mmg_handle, c_uint64, c_uint64, c_void_p, c_uint64, POINTER(c_uint64))),
    # mmg_status mmg_guard_install(void)
    "mmg_guard_install": (mmg_status, ()),
    # mmg_status mmg_guard_process(uint32_t scope, uint32_t flags)
    "mmg_guard_process": (mmg_status, (c_uint32, c_uint32)),
    # int32_t mmg_guard_state(void)
    "mmg_guard_state": (c_int32, ()),
    # int32_t mmg_handle_fault(int32_t signo, void *siginfo, void *ucontext)
    "mmg_handle_fault": (c_int32, (c_int32, c_void_p, c_void_p)),
    # mmg_status mmg_info_get(mmg_handle handle, mmg_info *info)
    "mmg_info_get": (mmg_status, (mmg_handle, POINTER(mmg_info))),
    # mmg_status mmg_load(const char *path, const mmg_options *options, mmg_handle *handle, mmg_error *error)
    "mmg_load": (mmg_status, (c_char_p, POINTER(mmg_options), POINTER(mmg_handle), POINTER(mmg_error))),
    # mmg_status mmg_loss_counter(mmg_handle handle, const uint32_t **counter)
    "mmg_loss_counter": (mmg_status, (mmg_handle, POINTER(POINTER(c_uint32)))),
    # mmg_status mmg_losses_get(uint64_t since, mmg_loss *losses, uint64_t capacity, uint64_t *count, uint64_t
    #     *next)
    "mmg_losses_get": (
        mmg_status,
        (c_uint64, POINTER(mmg_loss), c_uint64, POINTER(c_uint64), POINTER(c_uint64)),
    ),
    # mmg_status mmg_open(const char *path, const mmg_options *options, mmg_handle *handle, mmg_error *error)
    "mmg_open": (mmg_status, (c_char_p, POINTER(mmg_options), POINTER(mmg_handle), POINTER(mmg_error))),
    # mmg_status mmg_open_fd(int32_t fd, const mmg_options *options, mmg_handle *handle, mmg_error *error)
    "mmg_open_fd": (mmg_status, (c_int32, POINTER(mmg_options), POINTER(mmg_handle), POINTER(mmg_error))),
    # mmg_status mmg_options_init(mmg_options *options, uint32_t struct_size)
    "mmg_options_init": (mmg_status, (POINTER(mmg_options), c_uint32)),
    # mmg_status mmg_pin(mmg_handle handle, uint64_t offset, uint64_t length, mmg_span *span)
    "mmg_pin": (mmg_status, (mmg_handle, c_uint64, c_uint64, POINTER(mmg_span))),
    # mmg_status mmg_read(mmg_handle handle, uint64_t offset, void *buffer, uint64_t size, uint64_t *got)
    "mmg_read": (mmg_status, (mmg_handle, c_uint64, c_void_p, c_uint64, POINTER(c_uint64))),
    # mmg_status mmg_read_fd(int32_t fd, const mmg_options *options, mmg_handle *handle, mmg_error *error)
    "mmg_read_fd": (mmg_status, (c_int32, POINTER(mmg_options), POINTER(mmg_handle), POINTER(mmg_error))),
    # mmg_status mmg_resident(mmg_handle handle, uint64_t offset, uint64_t length, uint64_t *bytes)
    "mmg_resident": (mmg_status, (mmg_handle, c_uint64, c_uint64, POINTER(c_uint64))),
    # mmg_status mmg_stats_get(mmg_stats *stats)
    "mmg_stats_get": (mmg_status, (POINTER(mmg_stats),)),
    # const char *mmg_status_message(mmg_status status)
    "mmg_status_message": (c_char_p, (mmg_status,)),
    # const char *mmg_status_name(mmg_status status)
    "mmg_status_name": (c_char_p, (mmg_status,)),
    # int32_t mmg_supports(uint32_t feature)
    "mmg_supports": (c_int32, (c_uint32,)),
    # const char *mmg_term(uint32_t vocabulary, uint32_t value)
    "mmg_term": (c_char_p, (c_uint32, c_uint32)),
    # mmg_status mmg_unpin(mmg_span *span)
    "mmg_unpin": (mmg_status, (POINTER(mmg_span),)),
    # mmg_status mmg_verify(mmg_handle handle)
    "mmg_verify": (mmg_status, (mmg_handle,)),
    # const char *mmg_version(void)
    "mmg_version": (c_char_p, ()),
}


def declare(library: CDLL) -> CDLL:
    """Give every function of a loaded library its types. Raises AttributeError when the library lacks one."""
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype = result
        function.argtypes = arguments
    return library


def load(path: str | os.PathLike[str] | None = None) -> CDLL:
    """Load the library at `path`, else at $MMAPGUARD_LIBRARY, else the installed one, and declare its calls.

    Raises OSError when there is none, or when its ABI is another than these declarations need.
    """
    name = os.fspath(path) if path is not None else os.environ.get("MMAPGUARD_LIBRARY") or "libmmapguard.so.1"
    library = CDLL(name)
    library.mmg_abi_version.restype = c_uint32
    library.mmg_abi_version.argtypes = ()
    version = library.mmg_abi_version()
    if version >> 16 != MMG_ABI >> 16 or version < MMG_ABI:
        raise OSError(
            f"{name} has ABI {version >> 16}.{version & 0xFFFF}, "
            f"these declarations need {MMG_ABI >> 16}.{MMG_ABI & 0xFFFF} or a later minor"
        )
    return declare(library)


__all__ = [name for name in globals() if name.startswith(("MMG_", "mmg_"))] + ["FUNCTIONS", "declare", "load"]
