# SPDX-License-Identifier: MIT OR Apache-2.0
"""A host built with AddressSanitizer, which has a SIGBUS handler of its own.

With handle_sigbus=1 that handler can be replaced, and is the guard's predecessor. With handle_sigbus=2 the sanitizer
makes sigaction(2) report success and do nothing: the guard must notice and the library must copy instead of mapping.
Either way the host's own SIGBUS ends in the sanitizer's report, as it does without the library.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from fault.programs import End, run, run_with_and_without
from support.library import library_path

HOST = "fault_host_asan"
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
def test_where_the_sanitizer_insists_the_guard_is_refused_and_files_are_copied(
    event: str, tmp_path: Path
) -> None:
    steps = ["copied", "state:refused", "copied", "thread:copied", event]
    reported(run_with_and_without(HOST, *steps, folder=tmp_path, environment=asan(2)))


def test_where_the_sanitizer_insists_a_mapping_is_refused(tmp_path: Path) -> None:
    end = run(HOST, "ours", folder=tmp_path, environment=asan(2))
    mmg_e_guard = -62
    assert end.code == 99 and f"mmg_open: {mmg_e_guard}" in end.errors, str(end)
