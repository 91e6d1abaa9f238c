# SPDX-License-Identifier: MIT OR Apache-2.0
"""What is known of a region and of the process, in words."""

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
    """

    size: int
    """bytes in the region"""
    offset: int
    """where in the file the region starts"""
    file_size: int
    """size of the file when it was opened; of a stream, the bytes read from it"""
    backing: str
    """what holds the bytes: 'map' or 'copy'"""
    backing_reason: str
    """why that"""
    guarantee: str
    """'contained', 'stable', or 'none'"""
    means: str
    """by what the guarantee is upheld, such as 'fault guard', 'copy', 'lease', 'reflink'"""
    shortfall: str
    """why it is not 'stable'; 'none' when it is"""
    lock: str
    """the advisory lock that is held: 'shared', 'ofd', or 'none'"""
    lock_error: int | None
    """the errno of a lock that the file system could not give"""
    os_error: int | None
    """the errno behind the last failure of the system that a call on this region met"""
    lock_reason: str
    """why there is that lock, or none"""
    exceptions: tuple[str, ...]
    """what the means of 'stable' does not hold back; `no_lease` avoids each"""
    means_tried: tuple[str, ...]
    """the means of 'stable' in the order in which they were tried; empty when 'stable' was not asked for"""
    file_system: str
    """name of the file system, such as 'ext4'; empty where it could not be found out"""
    device: int
    """as os.stat_result.st_dev, when it was opened"""
    inode: int
    """as st_ino"""
    mtime_ns: int
    """as st_mtime_ns"""
    ctime_ns: int
    """as st_ctime_ns"""
    faults: int
    """signals contained in this region"""
    fault_offset: int | None
    """first byte of the region found lost"""
    fault_cause: str | None
    """the status that tells why, such as 'MMG_E_TRUNCATED'"""
    pins: int
    """views that are out"""
    mapped_bytes: int
    """address space held for the region; 0 for a copy"""
    heap_bytes: int
    """memory held for the region, its bookkeeping included"""
    page_size: int
    """a fault takes at least this many bytes; 0 for a copy"""


@dataclass(frozen=True, slots=True)
class Stats:
    """Counters of the whole process."""

    guard_state: str
    """where the fault guard stands, as guard_state() has it"""
    handles: int
    """open regions"""
    opened: int
    """regions ever opened"""
    regions: int
    """regions alive: open ones, and closed ones whose bytes a view still shows"""
    mappings: int
    """of these, the ones that are mapped"""
    mapped_bytes: int
    """address space in these mappings"""
    heap_bytes: int
    """heap in regions"""
    faults: int
    """signals contained since the process started"""
    foreign_faults: int
    """SIGBUS signals passed on to the handler that was there before"""
    retired_slots: int
    """handles that are used up"""
    leases: int
    """leases held now"""
    leases_breaking: int
    """of these, the ones that a writer is waiting for"""
    lease_breaks: int
    """leases ever broken by a writer"""
    lease_refusals: int
    """openings with `stable` that wanted a lease and were refused one"""
    fallbacks_cap: int
    """regions no longer stable because of `max_snapshot_bytes`"""
    fallbacks_time: int
    """regions no longer stable because the time for securing them ran out"""
    fallbacks_space: int
    """regions no longer stable because there was no room for their bytes, on disk or in memory"""
    fallbacks_read: int
    """regions no longer stable because their bytes could not be read"""
    snapshot_bytes: int
    """bytes copied for `stable`, when files were opened and when leases broke"""
    snapshots: int
    """snapshots taken for `stable`, reflinks included"""
    writer_wait_ns: int
    """time that writers waited for a lease, as seen from here, in nanoseconds, added up"""
    writer_wait_max_ns: int
    """the longest of these waits"""
    losses: int
    """records ever written to the ledger"""
    losses_truncated: int
    """of these, the ones of files that were cut"""
    losses_io: int
    """... of bytes that could not be read"""
    losses_poisoned: int
    """... of hardware memory errors"""
    losses_unstable: int
    """... of bytes that were to be ``stable`` and changed"""
    losses_foreign: int
    """of all records, the ones of mappings that have no handle"""


def _means_tried(order: int) -> Iterator[str]:
    """The words in mmg_info.means_order: four bits each, the first in the lowest."""
    while order:
        yield native.term(native.TERM_MEANS, order & 15)
        order >>= 4


def info_of(raw: dict[str, Any]) -> Info:
    """The numbers of mmg_info in words."""
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
    """The words for bits of mmg_changed()."""
    return frozenset(native.term(native.TERM_CHANGED, bit) for bit in _CHANGED.values() if bits & bit)


def changes_of(bits: int) -> frozenset[str]:
    """The words for the bits of mmg_changed()."""
    return frozenset(native.term(native.TERM_CHANGED, bit) for bit in _CHANGED.values() if bits & bit)
