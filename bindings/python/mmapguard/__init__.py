# SPDX-License-Identifier: MIT OR Apache-2.0
"""Map files for reading and stay alive whatever happens to them.

    import hashlib, mmapguard

    with mmapguard.open("big.bin") as region:
        digest = hashlib.sha256(region).hexdigest()

If somebody cuts the file short meanwhile, the block ends with TruncatedError; with the standard library's mmap the
process would be dead. See Region for what a region is, Options for what open() takes, and `python -m mmapguard FILE` for
what can be promised for a file.

mmapguard.abi is the whole C interface for ctypes, and needs nothing that is compiled but the library itself.
"""

from typing import TYPE_CHECKING

__all__ = [
    "DeviceError",
    "FileChangedError",
    "FileChangedWarning",
    "Info",
    "Loss",
    "LossLog",
    "Losses",
    "MapFaultError",
    "MapFaultWarning",
    "Options",
    "Region",
    "Source",
    "StaleError",
    "Stats",
    "TruncatedError",
    "UnstableError",
    "__version__",
    "adopt",
    "check",
    "guard_install",
    "guard_process",
    "guard_state",
    "load",
    "log_losses",
    "losses",
    "memmap",
    "open",
    "read_fd",
    "stats",
]

try:
    from ._mmapguard import version as _version
except ModuleNotFoundError as _missing:
    if _missing.name != f"{__name__}._mmapguard":
        raise
    # A source tree, or an installation without a compiler: mmapguard.abi works, and the rest says what is missing.
    if not TYPE_CHECKING:

        def __getattr__(name: str) -> object:
            if name in __all__:
                raise ImportError(
                    f"mmapguard.{name} needs the compiled module mmapguard._mmapguard, which is not here"
                )
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

else:
    from ._adopt import adopt
    from ._errors import (
        DeviceError,
        FileChangedError,
        FileChangedWarning,
        MapFaultError,
        MapFaultWarning,
        StaleError,
        TruncatedError,
        UnstableError,
    )
    from ._guard import Loss, Losses, guard_process, losses
    from ._info import Info, Stats
    from ._log import LossLog, log_losses
    from ._memmap import memmap
    from ._options import Options, Source
    from ._process import guard_install, guard_state, stats
    from ._region import (
        Region,
        check,
        load,
        open,  # noqa: A004, as io and gzip have it
        read_fd,
    )

    # They are known by the names that one imports, also in tracebacks and in pickles.
    for _public in map(globals().get, __all__):
        if getattr(_public, "__module__", "").startswith(f"{__name__}."):
            _public.__module__ = __name__

    __version__: str = _version()
