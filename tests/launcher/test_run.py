# SPDX-License-Identifier: MIT OR Apache-2.0
"""`mmapguard run`: a program lives through a loss, says what it lost, and ends as the option wants it."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

import pytest

from launcher.launching import (
    LEFT,
    environment,
    guarded,
    launcher,
    losses,
    run,
    run_twin,
    run_victim,
    the_loss,
    victim,
)
from support import elf

KILLED = -signal.SIGBUS
LOST, NOT_GUARDED, NOT_FOUND, USAGE = 75, 126, 127, 2
LEFT_LINE = f"left {LEFT}"

# ------------------------------------------------------------------------------------------------ losses and the end --

ENDS = ["return=0", "exit=0", "exit=256", "_exit=0", "_Exit=0", "quick_exit=0", "pthread_exit"]


@pytest.mark.parametrize("end", ENDS)
def test_a_loss_is_reported_and_fails_the_program(end: str, tmp_path: Path) -> None:
    assert run_twin("lose", end, folder=tmp_path).code == KILLED
    ended = run_victim("lose", end, folder=tmp_path)
    assert (ended.code, ended.lines) == (LOST, [LEFT_LINE]), str(ended)
    assert losses(ended.errors) == [the_loss(tmp_path)]
    assert ended.errors.startswith("mmapguard: victim[")
    assert ended.errors.endswith("\nmmapguard: the exit status is 75 in place of 0\n")


@pytest.mark.parametrize("end", ENDS)
def test_report_leaves_the_exit_status(end: str, tmp_path: Path) -> None:
    ended = run_victim("lose", end, folder=tmp_path, options=["--on-loss=report"])
    assert (ended.code, losses(ended.errors)) == (0, [the_loss(tmp_path)]), str(ended)
    assert "exit status" not in ended.errors


@pytest.mark.parametrize("end", ["return=3", "exit=3", "_exit=3", "quick_exit=3"])
def test_a_failure_of_its_own_stays(end: str, tmp_path: Path) -> None:
    ended = run_victim("lose", end, folder=tmp_path)
    assert (ended.code, losses(ended.errors)) == (3, [the_loss(tmp_path)]), str(ended)


def test_a_program_that_aborts_reports_first(tmp_path: Path) -> None:
    ended = run_victim("lose", "abort", folder=tmp_path)
    assert (ended.code, losses(ended.errors)) == (-signal.SIGABRT, [the_loss(tmp_path)]), str(ended)


def test_abort_ends_at_the_first_loss(tmp_path: Path) -> None:
    for option in (["--on-loss=abort"], ["--on-loss", "abort"]):
        ended = run_victim("query", "lose", "query", folder=tmp_path, options=option)
        assert (ended.code, ended.lines) == (LOST, ["default"]), str(ended)
        assert losses(ended.errors) == [the_loss(tmp_path)]
        assert "ends at its first loss, because of --on-loss=abort" in ended.errors


def test_a_child_without_the_environment_is_not_guarded_and_nothing_says_so(tmp_path: Path) -> None:
    ended = run(*guarded("env", "-i", victim(), "lose"), folder=tmp_path)
    assert (ended.code, ended.output, ended.errors) == (KILLED, "", ""), str(ended)


def test_a_program_that_a_signal_ends_reports_nothing(tmp_path: Path) -> None:
    ended = run_victim("lose", "signal=9", folder=tmp_path)
    assert (ended.code, ended.lines, ended.errors) == (-signal.SIGKILL, [LEFT_LINE], ""), str(ended)


def test_without_a_loss_nothing_is_different(tmp_path: Path) -> None:
    for option in ("fail", "report", "abort"):
        for status in (0, 1, 75, 126):
            ended = run_victim(f"return={status}", folder=tmp_path, options=[f"--on-loss={option}"])
            assert (ended.code, ended.output, ended.errors) == (status, "", "")


def test_many_losses_of_a_file_are_one_line(tmp_path: Path) -> None:
    ended = run_victim(*["lose"] * 20, folder=tmp_path)
    assert ended.code == LOST
    assert sum(loss.count for loss in losses(ended.errors)) == 20, str(ended)
    assert {(loss.path, loss.offset) for loss in losses(ended.errors)} == {(str(tmp_path / "lost"), LEFT)}
    assert len(losses(ended.errors)) <= 20


def test_more_losses_than_the_ledger_keeps_are_counted() -> None:
    # On a disk, ext4 would write the file out at each close that follows a truncation to nothing.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        ended = run_victim(*["lose"] * 1100, folder=Path(folder))
    named = sum(loss.count for loss in losses(ended.errors))
    (more,) = [int(line.split()[2]) for line in ended.errors.splitlines() if line.endswith("more losses")]
    assert named + more == 1100, str(ended)


def test_a_name_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "a\x1b[31m\nb"
    folder.mkdir()
    ended = run_victim("lose", folder=folder)
    assert ended.code == LOST
    assert "\x1b" not in ended.errors
    # The kernel itself writes a line feed in octal.
    assert losses(ended.errors)[0].path.startswith(f"{tmp_path}/a\\x1b[31m"), ended.errors


# ------------------------------------------------------------------------------------------------------ standard error --


def test_a_program_that_has_closed_standard_error_lives(tmp_path: Path) -> None:
    ended = run_victim("close-stderr", "lose", folder=tmp_path)
    assert (ended.code, ended.lines, ended.errors) == (LOST, [LEFT_LINE], "")


def test_the_report_is_not_written_to_a_file_that_took_the_place_of_standard_error(tmp_path: Path) -> None:
    ended = run_victim("reuse-stderr", "lose", folder=tmp_path)
    assert (ended.code, ended.errors) == (LOST, "")
    assert (tmp_path / "reused").read_text() == ""


@pytest.mark.parametrize("kind", ["closed", "full", "pipe"])
def test_a_standard_error_that_takes_nothing_changes_nothing(kind: str, tmp_path: Path) -> None:
    def prepare() -> None:
        os.close(2)
        if kind == "full":
            assert os.open("/dev/full", os.O_WRONLY) == 2
        if kind == "pipe":
            inlet, outlet = os.pipe()
            os.dup2(outlet, 2)
            os.close(inlet)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    ended = run(*guarded(victim(), "lose"), folder=tmp_path, before=prepare)
    assert (ended.code, ended.lines) == (LOST, [LEFT_LINE])


# ------------------------------------------------------------------------------------------------------------- signals --


@pytest.mark.parametrize("how", ["sigaction", "signal", "sigset", "bsd"])
def test_the_handler_of_the_program_is_its_own(how: str, tmp_path: Path) -> None:
    steps = ["query", f"handler={how}", "query", "raise", "query", "default", "query"]
    twin, ended = run_twin(*steps, folder=tmp_path), run_victim(*steps, folder=tmp_path)
    assert twin.code == 0
    assert (ended.code, ended.output) == (twin.code, twin.output)


def test_a_handler_that_is_good_for_one_signal_gets_one(tmp_path: Path) -> None:
    steps = ["handler=sysv", "raise", "raise"]
    twin, ended = run_twin(*steps, folder=tmp_path), run_victim(*steps, folder=tmp_path)
    assert (ended.code, ended.output) == (twin.code, twin.output) == (KILLED, "default\ncaught\n")


@pytest.mark.parametrize("steps", [["raise"], ["ignore", "raise", "query"], ["hold", "raise", "query"]])
def test_signals_that_are_sent_are_as_without(steps: list[str], tmp_path: Path) -> None:
    twin, ended = run_twin(*steps, folder=tmp_path), run_victim(*steps, folder=tmp_path)
    assert (ended.code, ended.output, ended.errors) == (twin.code, twin.output, twin.errors)


@pytest.mark.parametrize("option", ["fail", "abort"])
def test_a_fault_that_is_not_guarded_goes_to_the_program(option: str, tmp_path: Path) -> None:
    options = [f"--on-loss={option}"]
    assert run_victim("lose-shared", folder=tmp_path, options=options).code == KILLED
    steps = ["handler=sigaction", "lose-shared", "return=0"]
    twin, ended = run_twin(*steps, folder=tmp_path), run_victim(*steps, folder=tmp_path, options=options)
    assert (ended.code, ended.output, ended.errors) == (0, twin.output, "")


@pytest.mark.parametrize("option", ["fail", "abort"])
def test_the_guard_stays_on_top_of_a_later_handler(option: str, tmp_path: Path) -> None:
    steps = ["handler=signal", "lose-shared", "ignore", "handler=sigset", "thread", "lose"]
    assert "caught" in run_twin(*steps[:1], *steps[4:], folder=tmp_path).output
    ended = run_victim(*steps, folder=tmp_path, options=[f"--on-loss={option}"])
    assert (ended.code, losses(ended.errors)) == (LOST, [the_loss(tmp_path)]), str(ended)
    assert ended.output.count("caught") == 1
    assert (ended.lines[-1] == LEFT_LINE) or option == "abort"


# ------------------------------------------------------------------------------------------------ children and execve --


def test_children_are_guarded_and_end_by_themselves(tmp_path: Path) -> None:
    for kind in ("fork", "vfork"):
        assert run_twin(kind, "lose", folder=tmp_path).lines == ["child killed 7"]
        ended = run_victim(kind, "lose", folder=tmp_path)
        assert (ended.code, ended.lines) == (0, [LEFT_LINE, "child exited 75"]), str(ended)
        assert losses(ended.errors) == [the_loss(tmp_path)]


def test_a_child_does_not_answer_for_its_parent(tmp_path: Path) -> None:
    ended = run_victim("lose", "fork", "query", folder=tmp_path)
    assert (ended.code, ended.lines[-1]) == (LOST, "child exited 0"), str(ended)
    assert losses(ended.errors) == [the_loss(tmp_path)]


@pytest.mark.parametrize("how", ["execv", "execl", "execle", "execvp", "fexecve"])
def test_what_is_executed_answers_for_what_was_lost_before(how: str, tmp_path: Path) -> None:
    ended = run_victim("lose", how, "query", folder=tmp_path)
    assert (ended.code, ended.lines) == (LOST, [LEFT_LINE, "default"]), str(ended)
    assert losses(ended.errors) == [the_loss(tmp_path)]
    assert "lost by the program that executed this one" in ended.errors
    ended = run_victim("lose", how, "query", folder=tmp_path, options=["--on-loss=report"])
    assert (ended.code, losses(ended.errors)) == (0, [the_loss(tmp_path)]), str(ended)


def test_only_what_is_executed_answers_for_it(tmp_path: Path) -> None:
    ended = run_victim("lose", "execv", "fork", "query", folder=tmp_path)
    assert (ended.code, ended.lines) == (LOST, [LEFT_LINE, "default", "child exited 0"]), str(ended)
    ended = run_victim("lose", "execv", "fork", "execv", "query", folder=tmp_path)
    assert (ended.code, ended.lines) == (LOST, [LEFT_LINE, "default", "child exited 0"]), str(ended)
    assert ended.errors.count("lost by the program that executed this one") == 1, str(ended)


def test_a_variable_that_another_process_left_is_no_loss(tmp_path: Path) -> None:
    variable = f"MMAPGUARD_RUN_LOST={os.getpid()}"  # as a program without the guard hands it down
    ended = run(*guarded("env", variable, victim(), "query"), folder=tmp_path)
    assert (ended.code, ended.lines, ended.errors) == (0, ["default"], ""), str(ended)


def test_an_execve_that_fails_changes_nothing(tmp_path: Path) -> None:
    ended = run_victim("lose", "ignore", "exec-nothing", "query", "lose", folder=tmp_path)
    assert (ended.code, ended.lines) == (LOST, [LEFT_LINE, "default", "ignored", LEFT_LINE]), str(ended)
    assert sum(loss.count for loss in losses(ended.errors)) == 2


def test_an_ignored_signal_is_inherited(tmp_path: Path) -> None:
    for steps in (["ignore", "execv", "query"], ["ignore", "execv", "lose", "query"]):
        ended = run_victim(*steps, folder=tmp_path)
        assert ended.lines[-1] == "ignored", str(ended)


def test_an_ignored_signal_is_inherited_through_vfork(tmp_path: Path) -> None:
    steps = ["ignore", "vfork-ignored", "query"]
    twin, ended = run_twin(*steps, folder=tmp_path), run_victim(*steps, folder=tmp_path)
    assert (ended.code, ended.output) == (0, twin.output) and "ignored" in ended.lines[1:], str(ended)


@pytest.mark.parametrize("end", ["exit=5", "_exit=5", "quick_exit=5", "exec-nothing", "return=5"])
def test_a_program_in_a_sandbox_of_its_own_makes_no_call_more(end: str, tmp_path: Path) -> None:
    steps = ["query", "sandbox", end, "_exit=5"]
    twin, ended = run_twin(*steps, folder=tmp_path), run_victim(*steps, folder=tmp_path)
    assert (ended.code, ended.output) == (twin.code, twin.output) == (5, "default\n"), str(ended)


def test_a_forked_child_keeps_to_the_standard_error_of_its_parent(tmp_path: Path) -> None:
    ended = run_victim("reuse-stderr", "fork", "lose", folder=tmp_path)
    assert (ended.code, ended.lines[-1], ended.errors) == (0, "child exited 75", ""), str(ended)
    assert (tmp_path / "reused").read_text() == ""


def test_no_children_are_guarded_where_none_shall_be(tmp_path: Path) -> None:
    only = ["--no-children"]
    assert run_victim("lose", folder=tmp_path, options=only).code == LOST
    ended = run_victim("vfork", "lose", folder=tmp_path, options=only)
    assert (ended.code, ended.lines) == (0, ["child killed 7"]), str(ended)
    assert run_victim("execv", "lose", folder=tmp_path, options=only).code == KILLED


@pytest.mark.parametrize("others", ["", "libm.so.6", "libm.so.6 libdl.so.2", "libdl.so.2:libm.so.6"])
def test_other_preloaded_objects_stay(others: str, tmp_path: Path) -> None:
    own = str(launcher().parent / "mmapguard-preload.so")
    shown = ["env"]
    before = {"LD_PRELOAD": others} if others else {}

    def listed(*options: str, twice: bool = False) -> list[str]:
        command = guarded(*guarded(*shown), options=options) if twice else guarded(*shown, options=options)
        output = run(*command, folder=tmp_path, variables=before).lines
        lines = [line.partition("=")[2] for line in output if line.startswith("LD_PRELOAD=")]
        return lines[0].replace(" ", ":").split(":") if lines else []

    kept = others.replace(" ", ":").split(":") if others else []
    assert listed() == [*kept, own]
    assert listed(twice=True) == [*kept, own]
    assert listed("--no-children") == kept


def test_no_children_leaves_no_word_of_it(tmp_path: Path) -> None:
    ended = run(*guarded("env", options=["--no-children"]), folder=tmp_path)
    assert "MMAPGUARD" not in ended.output
    assert sorted(ended.lines) == sorted(run("env", folder=tmp_path).lines)


# ------------------------------------------------------------------------------------------------------------- scripts --


@pytest.mark.parametrize(
    "first",
    ["#!/bin/sh\n", "#! /bin/sh -e\n", "#!/usr/bin/env sh\n", ""],
    ids=["shell", "argument", "env", "no first line"],
)
def test_scripts_are_run_and_what_they_run_is_guarded(first: str, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(f'{first}echo "$1"\nexec {victim()} lose\n')
    script.chmod(0o755)
    ended = run(*guarded(script, "a word"), folder=tmp_path)
    assert (ended.code, ended.lines) == (LOST, ["a word", LEFT_LINE]), str(ended)
    path = f"{tmp_path}:{os.environ['PATH']}"
    assert run(*guarded("script", "b"), folder=tmp_path, variables={"PATH": path}).lines[0] == "b"


# ------------------------------------------------------------------------------------------------- the command line --


def test_what_is_wrong_with_the_arguments_is_said(tmp_path: Path) -> None:
    for words, told in {
        (): "nothing to do",
        ("walk",): "no command 'walk'",
        ("run",): "no command to run",
        ("run", "--"): "no command to run",
        ("run", "--on-loss"): "needs a word",
        ("run", "--on-loss=die", "true"): "and not 'die'",
        ("run", "--on-losses=fail", "true"): "no option '--on-losses=fail'",
        ("run", "--children", "true"): "no option '--children'",
    }.items():
        ended = run(launcher(), *words, folder=tmp_path)
        assert (ended.code, ended.output) == (USAGE, ""), str(ended)
        assert told in ended.errors and ended.errors.count("\n") == 1


def test_help_and_version_are_answers(tmp_path: Path) -> None:
    for words in (["--help"], ["-h"], ["run", "--help"]):
        ended = run(launcher(), *words, folder=tmp_path)
        assert (ended.code, ended.errors) == (0, "") and ended.output.startswith("usage: mmapguard run ")
    assert run(launcher(), "--version", folder=tmp_path).output.startswith("mmapguard 1.")
    with open("/dev/full", "w") as full:
        assert run(launcher(), "--help", folder=tmp_path, before=lambda: os.dup2(full.fileno(), 1)).code == 1


def test_options_behind_the_command_are_the_command_s(tmp_path: Path) -> None:
    assert (
        run(launcher(), "run", "echo", "--on-loss=fail", "--", "x", folder=tmp_path).output
        == "--on-loss=fail -- x\n"
    )


def test_the_command_is_found_as_a_shell_finds_it(tmp_path: Path) -> None:
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    (tmp_path / "folder").mkdir()
    for name, code, told in (
        ("nowhere-to-be-found", NOT_FOUND, "command not found"),
        ("./nowhere", NOT_FOUND, "command not found"),
        ("", NOT_FOUND, "command not found"),
        ("./not-executable", NOT_GUARDED, "Permission denied"),
        ("not-executable", NOT_GUARDED, "Permission denied"),
        ("./folder", NOT_GUARDED, "Permission denied"),
    ):
        ended = run(*guarded(name), folder=tmp_path, variables={"PATH": f"{tmp_path}:/usr/bin:/bin"})
        assert (ended.code, ended.output) == (code, ""), str(ended)
        assert told in ended.errors
    assert run(*guarded("env"), folder=tmp_path).code == 0
    assert environment().get("PATH")


def test_the_program_and_its_object_need_nothing_newer_than_glibc_2_28() -> None:
    for file in (launcher(), launcher().with_name("mmapguard-preload.so")):
        assert elf.too_new(file) == {}
