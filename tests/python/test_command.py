# SPDX-License-Identifier: MIT OR Apache-2.0
"""python -m mmapguard FILE: prints what can be promised, by which means, and why not more.

Each exit code has a meaning.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import mmapguard
import mmapguard.__main__ as command
from support import children, files


def run(*arguments: str | Path, feed: bytes = b"") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mmapguard", *arguments], input=feed, capture_output=True, timeout=60
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def report(*arguments: str | Path, feed: bytes = b"") -> tuple[int, dict[str, Any]]:
    code, out, err = run("--json", *arguments, feed=feed)
    assert not err
    told = json.loads(out)
    assert told["exit_code"] == code
    return code, told


def attempt(told: dict[str, Any], demand: str) -> dict[str, Any]:
    (found,) = (one for one in told["attempts"] if one["demand"] == demand)
    return dict(found)


def test_a_large_file_is_contained_by_the_guard(large: Path) -> None:
    code, told = report(large)
    assert code == 0
    assert told["promise"] == told["info"]["guarantee"] == "contained"
    assert told["info"]["size"] == files.LARGE
    assert told["guard_state"] == "top"
    assert 0 <= told["resident_bytes"] <= files.LARGE
    assert attempt(told, "contained, mapped")["means"] == told["info"]["means"] == "fault guard"
    stable = attempt(told, "stable, by any means")
    assert stable["attained"] and stable["guarantee"] == "stable"
    assert attempt(told, "lock: shared")["attained"] and attempt(told, "lock: ofd")["attained"]


def test_it_is_readable_in_a_terminal(large: Path, small: Path) -> None:
    code, out, err = run(large)
    assert (code, err) == (0, "")
    for word in (
        str(large),
        "contained",
        "fault guard",
        "1.0 MiB",
        "lock",
        "in memory",
        "stable, by any means",
    ):
        assert word in out
    assert max(map(len, out.splitlines())) < 120
    assert "\033" not in out
    code, out, _ = run(small)
    assert code == 0 and "stable" in out and "2.9 KiB" in out


def test_a_long_reason_goes_on_in_the_next_lines(large: Path) -> None:
    """As on a file system without leases and reflinks, where every means has a reason of its own."""
    found = command.examine(str(large))
    reason = " ".join(f"means-{number}: not possible;" for number in range(20))
    told = dataclasses.replace(found, attempts=[command.Attempt("stable, mapped", False, None, None, reason)])
    lines = command._told(told, False)
    assert max(map(len, lines)) < 120
    assert " ".join(" ".join(lines).split()).endswith(f"no stable, mapped {reason}")


def test_a_demand_that_cannot_be_met_is_exit_code_3(large: Path) -> None:
    with large.open("r+b"):  # with a writer there is no lease
        code, told = report("--copy-limit", "1", large)
        assert code == 0
        assert not attempt(told, "stable, mapped")["attained"]
        assert attempt(told, "stable, mapped")["reason"]
        assert "not tried" in attempt(told, "stable, by any means")["reason"]
    code, told = report("--stable", large)
    assert code == 0 and told["promise"] == "stable"


def test_the_environment_that_switches_the_guard_off_is_told(large: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mmapguard", "--json", large],
        env={**os.environ, "MMAPGUARD_NO_SIGNAL": "1"},
        capture_output=True,
        timeout=60,
    )
    told = json.loads(done.stdout)
    assert told["guard_state"] == "disabled"
    assert not attempt(told, "contained, mapped")["attained"]
    assert done.returncode == (0 if told["promise"] in ("contained", "stable") else 3)


def test_what_cannot_be_opened_is_exit_code_1(tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        code, told = report(path)
        assert code == 1 and words in told["error"] and told["errno"] and told["promise"] is None
        code, out, err = run(path)
        assert code == 1 and words in out and not err


def test_wrong_arguments_are_exit_code_2() -> None:
    assert run()[0] == 2
    assert run("--nonsense", "x")[0] == 2
    code, out, _ = run("--help")
    assert code == 0
    for number in "01234":
        assert f"\n  {number}  " in out


def test_a_locked_file_is_exit_code_4(large: Path) -> None:
    with files.held_elsewhere(large, "flock exclusive"):
        code, told = report(large)
    assert code == 4 and told["errno"]


def test_standard_input_and_other_sources(tmp_path: Path) -> None:
    code, told = report("-", feed=b"piped")
    assert code == 0 and told["info"]["size"] == 5 and told["attempts"] == []
    (tmp_path / "empty").touch()
    code, told = report(tmp_path / "empty")
    assert code == 0 and told["info"]["size"] == 0
    code, told = report(Path("/proc/self/status"))
    assert code == 0 and told["info"]["backing"] == "copy" and told["info"]["size"] > 100


def test_a_name_that_is_no_text_is_printed_all_the_same(tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe")
    files.sample(Path(name), 10)
    code, out, err = run(name)
    assert code == 0 and "\\udcff" in out and not err
    assert report(name)[1]["file"] == name


def test_it_looks_and_does_not_touch(large: Path) -> None:
    before = large.stat()
    run(large)
    after = large.stat()
    assert (before.st_mtime_ns, before.st_ctime_ns, before.st_size) == (
        after.st_mtime_ns,
        after.st_ctime_ns,
        after.st_size,
    )


def test_without_permission_it_says_so() -> None:
    def look(path: Path) -> int:
        from mmapguard.__main__ import examine

        children.become_nobody()
        told = examine(str(path))
        assert told.error == "Permission denied"
        return told.exit_code

    files.require_root("becomes another user for the attempt")
    with files.public_folder() as folder:
        path = files.sample(folder / "secret", 100).path
        path.chmod(0)
        assert children.in_child(look, path) == 1


def test_the_version_is_the_librarys() -> None:
    assert run("--version")[1].strip() == mmapguard.__version__
    with pytest.raises(SystemExit):
        __import__("mmapguard.__main__").__main__.main(["--version"])


def test_a_full_disk_is_told(large: Path) -> None:
    for form in ([], ["--json"]):
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [sys.executable, "-m", "mmapguard", *form, large],
                stdout=full,
                stderr=subprocess.PIPE,
                timeout=60,
            )
        assert done.returncode == 5
        assert done.stderr.decode() == "mmapguard: the report cannot be written: No space left on device\n"


def test_a_closed_standard_output_is_told(large: Path) -> None:
    for form in ("", "--json"):
        command = f'exec "$0" -m mmapguard {form} "$1" >&-'
        done = subprocess.run(
            ["sh", "-c", command, sys.executable, large], capture_output=True, timeout=60, check=False
        )
        assert done.returncode == 5
        said = "mmapguard: the report cannot be written: standard output is closed\n"
        assert done.stderr.decode() == said


def test_a_stable_file_is_told_in_json(large: Path) -> None:
    code, told = report("--stable", large)
    assert code == 0 and told["promise"] == "stable"
    assert told["info"]["means"] != "fault guard"
    assert told["info"]["lock_reason"] and told["info"]["exceptions"] is not None
