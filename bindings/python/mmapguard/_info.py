# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is known about a region and about the process, in words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from . import _mmapguard as native

_TO_END: Final = 2**64 - 1
_EXCEPTIONS: Final = [bit for name, bit in vars(native).items() if name.startswith("EXCEPT_")]
_CHANGED: Final = {name: bit for name, bit in vars(native).items() if name.startswith("CHANGED_")}


@dataclass(frozen=True, slots=True)
class Info:
    """What is known about one region, at one moment. Sizes and offsets are in bytes.

    The words of `backing`, `backing_reason`, `guarantee`, `means`, `shortfall` and `lock` are the library's own.

    size            bytes in the region
    offset          where in the file the region starts
    file_size       size of the file when it was opened; of a stream, the bytes read from it
    backing         what holds the bytes: 'map' or 'copy'
    backing_reason  why the bytes are held that way
    guarantee       'contained', 'stable', or 'none'
    means           what upholds the guarantee, such as 'fault guard', 'copy', 'lease', 'reflink'
    shortfall       why the guarantee is not 'stable'; 'none' when it is
    lock            the advisory lock that is held: 'shared', 'ofd', or 'none'
    lock_error      the errno of a lock that the file system could not give
    os_error        the errno of the last system call that failed in a call on this region
    lock_reason     why that lock is held, or why no lock is held
    exceptions      kinds of changes against which the means of 'stable' does not help; with `no_lease` there are
                    none
    means_tried     the means of 'stable' in the order in which they were tried; empty when 'stable' was not asked
                    for
    file_system     name of the file system, such as 'ext4'; empty where it could not be found out
    device          st_dev of os.stat_result, when the file was opened
    inode           st_ino, when the file was opened
    mtime_ns        st_mtime_ns, when the file was opened
    ctime_ns        st_ctime_ns, when the file was opened
    faults          number of signals that were contained in this region
    fault_offset    the first byte of the region that was found lost
    fault_cause     the status that tells why, such as 'MMG_E_TRUNCATED'
    pins            number of views that exist
    mapped_bytes    address space that the region takes; 0 for a copy
    heap_bytes      memory that the region takes, including its bookkeeping
    page_size       a loss takes at least so many bytes; 0 for a copy
    """

    size: int
    offset: int
    file_size: int
    backing: str
    backing_reason: str
    guarantee: str
    means: str
    shortfall: str
    lock: str
    lock_error: int | None
    os_error: int | None
    lock_reason: str
    exceptions: tuple[str, ...]
    means_tried: tuple[str, ...]
    file_system: str
    device: int
    inode: int
    mtime_ns: int
    ctime_ns: int
    faults: int
    fault_offset: int | None
    fault_cause: str | None
    pins: int
    mapped_bytes: int
    heap_bytes: int
    page_size: int


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of the whole process.

    guard_state         state of the fault guard, as guard_state() returns it
    handles             open regions
    opened              regions ever opened
    regions             living regions: open ones, and closed ones whose bytes a view still shows
    mappings            the number of these that are mapped
    mapped_bytes        address space in these mappings
    heap_bytes          bytes of the heap that regions take
    faults              signals contained since the process started
    foreign_faults      SIGBUS signals passed on to the handler that was installed before
    retired_slots       handles that are used up
    leases              leases held now
    leases_breaking     the number of these for which a writer is waiting
    lease_breaks        leases that a writer has broken since the process started
    lease_refusals      openings with `stable` that wanted a lease and were refused one
    fallbacks_cap       regions no longer stable because of `max_snapshot_bytes`
    fallbacks_time      regions no longer stable because the time for securing them ran out
    fallbacks_space     regions no longer stable because there was no room for their bytes, on disk or in memory, or
                        because the owner of an adopted mapping had changed it
    fallbacks_read      regions no longer stable because their bytes could not be read
    snapshot_bytes      bytes copied for `stable`, when files were opened and when leases broke
    snapshots           snapshots taken for `stable`, reflinks included
    writer_wait_ns      the sum of the times that writers have waited for a lease, in nanoseconds, as far as this
                        process knows
    writer_wait_max_ns  the longest of these waits
    losses              number of records that were written to the ledger
    losses_truncated    how many of these are about files that were cut
    losses_io           how many are about bytes that could not be read
    losses_poisoned     how many are about hardware memory errors
    losses_unstable     how many are about bytes that should have been `stable` and have changed
    losses_foreign      how many of all records are about mappings that have no handle
    """

    guard_state: str
    handles: int
    opened: int
    regions: int
    mappings: int
    mapped_bytes: int
    heap_bytes: int
    faults: int
    foreign_faults: int
    retired_slots: int
    leases: int
    leases_breaking: int
    lease_breaks: int
    lease_refusals: int
    fallbacks_cap: int
    fallbacks_time: int
    fallbacks_space: int
    fallbacks_read: int
    snapshot_bytes: int
    snapshots: int
    writer_wait_ns: int
    writer_wait_max_ns: int
    losses: int
    losses_truncated: int
    losses_io: int
    losses_poisoned: int
    losses_unstable: int
    losses_foreign: int


def _means_tried(order: int) -> Iterator[str]:
    """Yield the words in mmg_info.means_order, which has four bits for each, the first in the lowest bits."""
    while order:
        yield native.term(native.TERM_MEANS, order & 15)
        order >>= 4


def info_of(raw: dict[str, Any]) -> Info:
    """Return the Info for the numbers of mmg_info."""
    return Info(
        size=raw["size"],
        offset=raw["offset"],
        file_size=raw["file_size"],
        backing=native.term(native.TERM_BACKING, raw["backing"]),
        backing_reason=native.term(native.TERM_REASON, raw["backing_reason"]),
        guarantee=native.term(native.TERM_GUARANTEE, raw["guarantee"]),
        means=native.term(native.TERM_MEANS, raw["means"]),
        shortfall=native.term(native.TERM_SHORTFALL, raw["shortfall"]),
        lock=native.term(native.TERM_LOCK, raw["lock"]),
        lock_error=raw["lock_error"] or None,
        os_error=raw["os_error"] or None,
        lock_reason=native.term(native.TERM_LOCKING, raw["lock_reason"]),
        exceptions=tuple(
            native.term(native.TERM_EXCEPT, bit) for bit in _EXCEPTIONS if raw["exceptions"] & bit
        ),
        means_tried=tuple(_means_tried(raw["means_order"])),
        file_system=raw["file_system"],
        device=raw["device"],
        inode=raw["inode"],
        mtime_ns=raw["mtime_seconds"] * 10**9 + raw["mtime_nanoseconds"],
        ctime_ns=raw["ctime_seconds"] * 10**9 + raw["ctime_nanoseconds"],
        faults=raw["faults"],
        fault_offset=None if raw["fault_offset"] == _TO_END else raw["fault_offset"],
        fault_cause=native.status_name(raw["fault_cause"]) if raw["fault_cause"] else None,
        pins=raw["pins"],
        mapped_bytes=raw["mapped_bytes"],
        heap_bytes=raw["heap_bytes"],
        page_size=raw["page_size"],
    )


def _changes(bits: int) -> frozenset[str]:
    """Return the words for bits of mmg_changed()."""
    return frozenset(native.term(native.TERM_CHANGED, bit) for bit in _CHANGED.values() if bits & bit)


def changes_of(bits: int) -> frozenset[str]:
    """Return the words for the bits of mmg_changed()."""
    return frozenset(native.term(native.TERM_CHANGED, bit) for bit in _CHANGED.values() if bits & bit)
