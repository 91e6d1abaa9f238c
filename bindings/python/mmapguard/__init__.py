# SPDX-License-Identifier: MIT OR Apache-2.0
"""Map files for reading and stay alive whatever happens to them.

    import hashlib, mmapguard

    with mmapguard.open("big.bin") as region:
        digest = hashlib.sha256(region).hexdigest()

If another process cuts the file short meanwhile, the block ends with TruncatedError. With the mmap of the
standard library, the process would die. Region explains what a region is, Options lists the keywords of
open(), and `python -m mmapguard FILE` shows what can be promised for a file.

mmapguard.abi has the whole C interface for ctypes. It needs only the library, and not the compiled module.
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
    # This is a source tree, or an installation without a compiler. mmapguard.abi works, and any other name
    # raises an error that says what is missing.
    if not TYPE_CHECKING:

        def __getattr__(name: str) -> object:
            if name in __all__:
                raise ImportError(
                    f"mmapguard.{name} needs the compiled module mmapguard._mmapguard, which is missing"
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

    # Tracebacks and pickles show the names that users import.
    for _public in map(globals().get, __all__):
        if getattr(_public, "__module__", "").startswith(f"{__name__}."):
            _public.__module__ = __name__

    __version__: str = _version()
