# SPDX-License-Identifier: MIT OR Apache-2.0
"""The guard for mappings that other code makes, and the ledger of losses."""

from __future__ import annotations

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from . import _mmapguard as native
from ._errors import MapFaultError, failure, is_departure, tell_at_exit


class Loss(NamedTuple):
    """One record of the ledger: bytes of a mapping that were found lost. Offsets count bytes of the file.

    sequence  number of the record: 1, 2, 3, ... since the process started
    cause     the status that tells why, such as 'MMG_E_TRUNCATED'
    origin    who made the mapping: 'own' (a region), 'adopted', or 'foreign' (other code of the process)
    path      the path of the file, or None when it is not known
    offset    first lost byte, counted from the start of the file
    length    how many bytes of the mapping are lost from there
    device    as os.stat_result.st_dev
    inode     as st_ino
    address   where the first lost byte was mapped
    time_ns   when, as time.monotonic_ns() counts
    thread    the thread that found the loss, as threading.get_native_id() numbers threads
    """

    sequence: int
    cause: str
    origin: str
    path: str | None
    offset: int
    length: int
    device: int
    inode: int
    address: int
    time_ns: int
    thread: int

    def error(self) -> Exception:
        """Return the exception that tells of this loss: TruncatedError, DeviceError or UnstableError."""
        return failure(_STATUSES[self.cause], 0, "", "", self.offset, self.path)


_STATUSES: Final[dict[str, int]] = {
    native.status_name(status): status
    for status in (native.E_TRUNCATED, native.E_IO, native.E_POISONED, native.E_UNSTABLE)
}


class Losses(tuple[Loss, ...]):
    """What losses() returns: a tuple of Loss, oldest first.

    mark         the argument for the next call of losses(), which returns later records
    overwritten  how many records between the given mark and this one are missing, since newer ones have
                 overwritten them
    """

    mark: int
    overwritten: int


def losses(since: int = 0) -> Losses:
    """Return the records of the ledger behind the mark `since`.

    With 0, return all records that are kept, which are the newest 1024.

    The ledger has a record of every loss that was contained in this process: in regions, in adopted mappings,
    and in mappings of other code while guard_process() is active. Raises ValueError for a mark that has not
    been reached yet.

        seen = mmapguard.losses().mark
        ...
        for loss in mmapguard.losses(seen):
            print(loss.path, loss.offset, loss.cause)
    """
    records, mark = native.losses(since)
    found = Losses(_loss(record) for record in records)
    found.mark = mark
    found.overwritten = mark - since - len(records)
    return found


def _loss(record: dict[str, Any]) -> Loss:
    """Return the Loss for the numbers of mmg_loss."""
    known = {name: record[name] for name in Loss._fields if name in record}
    known["cause"] = native.status_name(record["cause"])
    known["origin"] = native.term(native.TERM_ORIGIN, record["origin"])
    known["path"] = record["path"] or None
    return Loss(**known)


_ACTIVE: Final[set[guard_process]] = set()


def any_active() -> bool:
    """Return True when a guard was started and not stopped."""
    return bool(_ACTIVE)


def untold() -> Iterator[Exception]:
    """Yield the losses of guards that were started and never checked. Called when the interpreter ends."""
    for guard in list(_ACTIVE):
        try:
            guard._raise_since(guard._told)
        except ExceptionGroup as group:
            yield from group.exceptions
        except (MapFaultError, OSError) as error:
            yield error


class guard_process:
    """Guard every file mapping of the process, whether NumPy, pyarrow, SQLite or another library makes it.

        with mmapguard.guard_process():
            weights = safetensors.numpy.load_file(path)

    While the block runs, nothing that happens to a mapped file kills the process: lost bytes read as zeros.
    If bytes of a mapping that is not a region were lost meanwhile, in any thread, the end of the block raises
    TruncatedError or DeviceError, with the path as `filename` and the first lost byte of the file as
    `offset`. If several files lost bytes, it raises an ExceptionGroup of these. As with a region, an
    exception of the block becomes the context, and an exception that ends a program or a task is not
    replaced; a loss in a block that SystemExit leaves is told when the interpreter ends. Regions report
    their own losses.

    A service can start and stop the guard without a block, and call losses() or log_losses():

        guard = mmapguard.guard_process()
        guard.start()

    With `shared_writable`, shared mappings that can be written to are guarded as well; bytes that are then
    stored into a lost page do not reach the file. With `chain_first`, a fault goes first to the SIGBUS
    handler that was installed before, for a host whose handler repairs its own mappings.

    A guard that is never stopped is checked when the interpreter ends. A line on standard error names each
    file that has lost bytes since check() raised last, and the exit status is then 120.

    Several guards may be active at the same time, and each ends on its own. Executable mappings, devices and
    memory without a file are not guarded. The guard costs nothing as long as there is no fault. start()
    raises OSError where the kernel or a sandbox does not allow the guard.
    """

    def __init__(self, *, shared_writable: bool = False, chain_first: bool = False) -> None:
        self._flags = (native.PROCESS_SHARED_WRITABLE if shared_writable else 0) | (
            native.PROCESS_CHAIN_FIRST if chain_first else 0
        )
        self._mark: int | None = None
        self._told = 0

    @property
    def active(self) -> bool:
        """True between start() and stop()."""
        return self._mark is not None

    def start(self) -> Self:
        """Begin to guard. Raises RuntimeError if the guard has been started already."""
        if self._mark is not None:
            raise RuntimeError("this guard has been started already")
        mark = native.losses_mark()
        native.guard_process(native.SCOPE_FILES, self._flags)
        self._mark = self._told = mark
        _ACTIVE.add(self)
        return self

    def stop(self) -> None:
        """Stop guarding. A second call does nothing. Other guards of the process stay active."""
        if self._mark is not None:
            self._mark = None
            _ACTIVE.discard(self)
            native.guard_process(native.SCOPE_NONE, self._flags)

    def losses(self) -> Losses:
        """Return the losses since start() in mappings that are not regions.

        Raises RuntimeError before start().
        """
        return self._losses_since(self._begin())

    def _begin(self) -> int:
        if self._mark is None:
            raise RuntimeError("this guard has not been started")
        return self._mark

    @staticmethod
    def _losses_since(mark: int) -> Losses:
        every = losses(mark)
        found = Losses(loss for loss in every if loss.origin == "foreign")
        found.mark, found.overwritten = every.mark, every.overwritten
        return found

    def check(self) -> None:
        """Raise what the end of the block would raise now, if a mapping that is not a region has lost
        bytes."""
        self._raise_since(self._begin())

    def _raise_since(self, mark: int) -> None:
        found = self._losses_since(mark)
        first: dict[tuple[int, int, str | None], Loss] = {}
        for loss in found:
            # The path is a part of the key, since a new file soon gets the inode of a removed one.
            file = (loss.device, loss.inode, loss.path)
            known = first.setdefault(file, loss)
            if loss.offset < known.offset:
                first[file] = loss
        errors = [loss.error() for loss in first.values()]
        if not errors and not found.overwritten:
            return
        error: Exception
        if len(errors) == 1:
            error = errors[0]
        elif errors:
            error = ExceptionGroup(f"bytes of {len(errors)} files were lost", errors)
        else:
            error = MapFaultError(
                "bytes were lost, and newer records have overwritten those that name the files"
            )
        if found.overwritten:
            error.add_note(f"{found.overwritten} more losses were recorded and overwritten by newer ones")
        self._told = found.mark
        raise error

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None or not (is_departure(kind) or issubclass(kind, MapFaultError)):
                self.check()
            elif issubclass(kind, SystemExit):
                tell_at_exit(self.check)
        finally:
            self.stop()
