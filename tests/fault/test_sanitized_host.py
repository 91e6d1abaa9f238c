# SPDX-License-Identifier: MIT OR Apache-2.0
"""A host built with AddressSanitizer, which has a SIGBUS handler of its own.

With handle_sigbus=1 the guard replaces that handler, and passes signals on to it. With handle_sigbus=2 the sanitizer
makes sigaction(3) report success and do nothing; the guard makes the system call itself and is installed all the
same. Either way the host's own SIGBUS ends in the sanitizer's report, as it does without the library. ThreadSanitizer
has no handler for SIGBUS but stands between the host's handlers and the kernel.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fault.programs import End, run, run_with_and_without
from support.library import library_path

HOST = "fault_host_asan"
THREADS = "fault_host_tsan"
REPORT = "AddressSanitizer: BUS on unknown address"


@pytest.fixture(autouse=True)
def sanitizer() -> None:
    folder = library_path().parent / "tests" / "fault"
    if folder.exists() and not (folder / HOST).exists():
        pytest.skip("this compiler, or this build, cannot make a program with AddressSanitizer")


def asan(mode: int) -> dict[str, str]:
    return {"ASAN_OPTIONS": f"handle_sigbus={mode}:detect_leaks=0:color=never:symbolize=0"}


def reported(end: End) -> None:
    assert end.code == 1 and end.signal is None, str(end)
    assert end.errors.count(REPORT) == 1, str(end)


@pytest.mark.parametrize("event", ["fault:a", "thread:fault:a"])
def test_the_sanitizer_reports_what_is_the_hosts(event: str, tmp_path: Path) -> None:
    reported(
        run_with_and_without(HOST, "open", "state:top", "ours", event, folder=tmp_path, environment=asan(1))
    )
    reported(run(HOST, "--twin", event, folder=tmp_path / "again", environment=asan(1)))


def test_the_library_contains_what_is_its_own(tmp_path: Path) -> None:
    end = run(HOST, "ours", "thread:ours", "guard", "ours", folder=tmp_path, environment=asan(1))
    assert end.code == 0 and REPORT not in end.errors, str(end)


@pytest.mark.parametrize("kind", ["one", "masking", "jumping", "reinstalling", "resethand"])
def test_handlers_of_a_sanitized_host_keep_their_signals(kind: str, tmp_path: Path) -> None:
    steps = [
        f"install:{kind}",
        "open",
        "ours",
        "fault:a",
        "ours",
        "raise",
        "ours",
        "kill",
        "ours",
        "thread:fault:a",
    ]
    run_with_and_without(HOST, *steps, folder=tmp_path, environment=asan(1))


@pytest.mark.parametrize("event", ["fault:a", "thread:fault:a"])
def test_where_the_sanitizer_insists_the_guard_is_on_top_all_the_same(event: str, tmp_path: Path) -> None:
    steps = ["open", "state:top", "ours", "thread:ours", "guard", "ours", event]
    reported(run_with_and_without(HOST, *steps, folder=tmp_path, environment=asan(2)))


@pytest.mark.parametrize("kind", ["one", "three", "masking", "resethand"])
def test_handlers_below_the_guard_keep_their_signals_under_the_thread_sanitizer(
    kind: str, tmp_path: Path
) -> None:
    if not (library_path().parent / "tests" / "fault" / THREADS).exists():
        pytest.skip("this compiler, or this build, cannot make a program with ThreadSanitizer")
    steps = [
        f"install:{kind},nomask",
        "open",
        "ours",
        "fault:a",
        "ours",
        "raise",
        "ours",
        "thread:fault:a",
        "thread:ours",
    ]
    run_with_and_without(THREADS, *steps, folder=tmp_path)


@pytest.mark.parametrize("order", ["guard first", "host first", "guard again"])
def test_every_order_contains_under_the_thread_sanitizer(order: str, tmp_path: Path) -> None:
    if not (library_path().parent / "tests" / "fault" / THREADS).exists():
        pytest.skip("this compiler, or this build, cannot make a program with ThreadSanitizer")
    host = ["install:three,nomask"]
    steps = {
        "guard first": ["ours", *host, "state:displaced", "guard"],
        "host first": [*host, "ours"],
        "guard again": ["ours", *host, "ours", "guard"],
    }[order]
    end = run_with_and_without(
        THREADS, *steps, "state:top", "ours", "fault:a", "thread:ours", "raise", folder=tmp_path
    )
    assert end.code == 0, str(end)
