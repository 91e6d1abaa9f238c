# SPDX-License-Identifier: MIT OR Apache-2.0
"""Python's faulthandler, which installs a SIGBUS handler of its own: before the library's, after it, and both.

faulthandler prints a traceback, puts back the action that it found, and raises the signal again. So where
faulthandler is installed later, and is on top, a loss in one of the library's mappings causes one traceback on
standard error, and the process lives.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import pytest

from fault.programs import End, run_command
from support.library import ROOT

DUMP = "Fatal Python error: Bus error"

SOURCE = """\
import ctypes, faulthandler, mmap, os, signal, sys, threading

signal.alarm(120)
signal.signal(signal.SIGBUS, signal.SIG_DFL)
twin = sys.argv[1] == "twin"
if not twin:
    from mmapguard import abi
    library = abi.load()


def write(name):
    with open(name, "wb") as stream:
        stream.write(b"\\xa5" * (96 * mmap.PAGESIZE))


def open_region(name):
    write(name)
    handle, span = abi.mmg_handle(), abi.mmg_span()
    options = abi.mmg_options(struct_size=ctypes.sizeof(abi.mmg_options), backing=abi.MMG_BACKING_MAP)
    assert library.mmg_open(name.encode(), ctypes.byref(options), ctypes.byref(handle), None) == 0
    assert library.mmg_pin(handle, 0, abi.MMG_TO_END, ctypes.byref(span)) == 0
    return name, handle, span


def ours(region):
    name, handle, span = region
    os.truncate(name, mmap.PAGESIZE + 5)
    address = ctypes.cast(span.data, ctypes.c_void_p).value
    data = ctypes.string_at(address, span.size)
    assert data[: mmap.PAGESIZE + 5] == b"\\xa5" * (mmap.PAGESIZE + 5)
    assert not any(data[mmap.PAGESIZE + 5 :])
    assert library.mmg_unpin(ctypes.byref(span)) == abi.MMG_E_TRUNCATED
    info = abi.mmg_info(struct_size=ctypes.sizeof(abi.mmg_info))
    assert library.mmg_info_get(handle, ctypes.byref(info)) == 0
    assert (info.faults, info.fault_offset) == (1, mmap.PAGESIZE + 5)
    assert library.mmg_close(handle, 0) == 0


def own():
    write("own")
    with open("own", "rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    os.truncate("own", 0)
    return mapped[5 * mmap.PAGESIZE]


regions = []
for step in sys.argv[2:]:
    in_thread = step.startswith("thread:")
    step = step.removeprefix("thread:")
    if step == "enable":
        faulthandler.enable()
    elif step == "disable":
        faulthandler.disable()
    elif step == "own":
        job = own
    elif twin:
        continue
    elif step == "open":
        regions += [open_region(f"ours-{len(regions)}-{number}") for number in range(3)]
    elif step == "guard":
        assert library.mmg_guard_install() == 0
    elif step.startswith("state:"):
        state = library.mmg_term(abi.MMG_TERM_GUARD, library.mmg_guard_state())
        assert state.decode() == step[6:], state
    elif step == "ours":
        region = regions.pop()
        job = lambda: ours(region)
    if step in ("own", "ours"):
        failures = []
        threading.excepthook = failures.append
        if in_thread:
            thread = threading.Thread(target=job)
            thread.start()
            thread.join()
        else:
            job()
        assert not failures, failures
print("end")
"""


def run(folder: Path, *arguments: str) -> End:
    """Run the steps in a new interpreter: with the library, or without it when the first argument is `twin`."""
    paths = [str(ROOT / "bindings" / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    variables = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONFAULTHANDLER": ""}
    return run_command([sys.executable, "-c", SOURCE, *arguments], folder, variables)


def dump(ended: End) -> list[str]:
    """Return what faulthandler printed about the fault and its thread, without addresses.

    The other threads are left out, since their place at that moment is chance.
    """
    blocks = re.sub(r"0x[0-9a-f]+", "0x", ended.errors).split("\n\n")
    return [block.strip() for block in blocks if block.startswith(("Fatal", "Current thread"))]


ORDERS = {
    "before": "enable open state:top",
    "before, and the guard put on top": "enable open guard state:top",
    "after": "open enable state:displaced",
    "after, and the guard put on top": "open enable guard state:top",
    # A second faulthandler.enable() changes nothing.
    "before and after": "enable open enable state:top",
    # faulthandler.disable() puts back the action that it found, and so takes the guard out as well: only the host can
    # know.
    "off and on again": "enable open disable enable state:displaced",
    "off and on again, and the guard put on top": "enable open disable enable guard state:top",
    "after, off, and the guard put on top": "open enable disable guard state:top",
}
QUIET = [name for name, steps in ORDERS.items() if steps.endswith("state:top")]
PLACES = ["", "thread:"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", ORDERS)
def test_the_hosts_own_fault_is_dumped_and_deadly(order: str, place: str, tmp_path: Path) -> None:
    ended = run(tmp_path / "with", "with", *ORDERS[order].split(), f"{place}own")
    twin = run(tmp_path / "twin", "twin", *ORDERS[order].split(), f"{place}own")
    assert twin.signal == signal.SIGBUS, str(twin)
    assert ended.signal == signal.SIGBUS, str(ended)
    assert twin.errors.count(DUMP) == (0 if "off, " in order else 1)
    assert dump(ended) == dump(twin)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", QUIET)
def test_a_loss_is_contained_without_a_word_where_the_guard_is_on_top(
    order: str, place: str, tmp_path: Path
) -> None:
    ended = run(tmp_path, "with", *ORDERS[order].split(), f"{place}ours", "state:top", f"{place}ours", "ours")
    assert (ended.code, ended.output) == (0, "end\n"), str(ended)
    assert ended.errors == ""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", QUIET)
def test_after_a_contained_loss_the_hosts_own_is_dumped_as_ever(
    order: str, place: str, tmp_path: Path
) -> None:
    ended = run(tmp_path / "with", "with", *ORDERS[order].split(), "ours", "thread:ours", f"{place}own")
    twin = run(tmp_path / "twin", "twin", *ORDERS[order].split(), f"{place}own")
    assert ended.signal == signal.SIGBUS, str(ended)
    assert dump(ended) == dump(twin)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", ["after"])
def test_a_loss_is_contained_where_faulthandler_is_on_top(order: str, place: str, tmp_path: Path) -> None:
    """faulthandler prints its dump first, and removes its own handler; the process lives."""
    ended = run(tmp_path, "with", *ORDERS[order].split(), f"{place}ours", "state:top", f"{place}ours", "ours")
    assert (ended.code, ended.output) == (0, "end\n"), str(ended)
    assert ended.errors.count(DUMP) == 1


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("order", ["after"])
def test_after_such_a_loss_the_hosts_own_is_deadly(order: str, place: str, tmp_path: Path) -> None:
    ended = run(tmp_path, "with", *ORDERS[order].split(), "ours", f"{place}own")
    assert ended.signal == signal.SIGBUS, str(ended)


@pytest.mark.parametrize("place", PLACES)
def test_disabling_it_puts_the_guard_back_where_the_guard_was_first(place: str, tmp_path: Path) -> None:
    steps = ["open", "enable", "disable", "state:top"]
    ended = run(tmp_path, "with", *steps, f"{place}ours", "ours")
    assert (ended.code, ended.output, ended.errors) == (0, "end\n", ""), str(ended)


@pytest.mark.parametrize("place", PLACES)
def test_disabling_it_takes_the_guard_out_where_it_was_there_before_the_guard(
    place: str, tmp_path: Path
) -> None:
    """faulthandler restores the action from before the guard, and nothing passes faults to the guard: the next loss
    kills."""
    steps = ["enable", "open", "disable", "state:displaced"]
    ended = run(tmp_path / "lost", "with", *steps, f"{place}ours")
    assert ended.signal == signal.SIGBUS, str(ended)
    for remedy in ("guard", "open"):
        ended = run(tmp_path / remedy, "with", *steps, remedy, "state:top", f"{place}ours")
        assert (ended.code, ended.output) == (0, "end\n"), str(ended)
