# SPDX-License-Identifier: MIT OR Apache-2.0
"""Unmodified programs live in the launcher when their mapped file is cut, and die without the launcher."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from launcher import cutting
from launcher.launching import environment, guarded, losses, run
from launcher.programs import PAGE, PROGRAMS, Program, needs

LOST = 75
ROUNDS = 200
PATIENCE_S = 600
"""Until then, rounds of the storm go on that has met no program yet."""
EVERY = [pytest.param(program, id=program.name) for program in PROGRAMS]
STORMED = [pytest.param(program, id=program.name) for program in PROGRAMS[:3]]


def cut_while(program: Program, command: list[str], path: Path, keeps: int) -> cutting.End:
    """Run a command, and cut the file when it is mapped."""
    end = cutting.run(command, path, lambda: os.truncate(path, keeps), environment=environment())
    assert end.was_cut, f"{program.name} has mapped nothing\n{end}"
    return end


def told(end: cutting.End, path: Path, keeps: int) -> None:
    """Check that the report names the file and the first byte that is gone."""
    (loss,) = losses(end.errors)
    assert (loss.path, loss.offset, loss.cause) == (str(path), keeps, "the file was cut short"), str(end)
    assert loss.length > 0 and loss.count >= 1


@pytest.mark.parametrize("program", EVERY)
def test_it_dies_alone_and_lives_in_the_launcher(program: Program, tmp_path: Path) -> None:
    needs(program)
    path = program.make(tmp_path)
    twin = cut_while(program, program.command(path), path, program.keeps)
    assert twin.signal == signal.SIGBUS, str(twin)

    path = program.make(tmp_path)
    end = cut_while(program, guarded(*program.command(path)), path, program.keeps)
    assert end.signal is None, str(end)
    told(end, path, program.keeps)
    if program.notices:
        assert end.code not in (0, None), str(end)
    else:
        assert end.code == LOST, str(end)


@pytest.mark.parametrize("program", EVERY)
def test_without_a_cut_it_does_the_same(program: Program, tmp_path: Path) -> None:
    needs(program)
    path = program.make(tmp_path)
    ends = [
        cutting.run(command, path, lambda: None, environment=environment())
        for command in (program.command(path), guarded(*program.command(path)))
    ]
    assert ends[0].code == 0, str(ends[0])
    assert (ends[1].code, ends[1].output, ends[1].errors) == (0, ends[0].output, ends[0].errors)


JAVA = """
import java.nio.channels.FileChannel;
import java.nio.file.*;
public class Victim {
    public static void main(String[] words) throws Exception {
        Path path = Path.of("lost");
        Files.write(path, new byte[1 << 20]);
        var bytes = FileChannel.open(path).map(FileChannel.MapMode.READ_ONLY, 0, 1 << 20);
        FileChannel.open(path, StandardOpenOption.WRITE).truncate(4096);
        for (int round = 0; round < 2; round++) {
            int sum = 0;
            try {
                for (int i = 0; i < 1 << 20; i++)
                    sum += bytes.get(i);
                System.out.println("sum " + sum);
            } catch (InternalError error) {
                System.out.println("InternalError");
            }
        }
    }
}
"""


def test_a_java_machine_tells_its_losses_itself(tmp_path: Path) -> None:
    """OpenJDK turns a fault in its own buffer into an error, which is better than zeros."""
    if shutil.which("java") is None:
        pytest.skip("not installed: java (default-jdk-headless); ./dev test launcher installs it")
    (tmp_path / "Victim.java").write_text(JAVA)
    for command in (["java", "Victim.java"], guarded("java", "Victim.java")):
        ended = run(*command, folder=tmp_path)
        assert (ended.code, ended.output) == (0, "InternalError\n" * 2), str(ended)
        assert losses(ended.errors) == []


class Storm:
    """Cuts a file and lets it grow again, at random, from rise() to the end of a `with` block."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path, self.random, self.stop = path, random.Random(seed), threading.Event()
        self.size = path.stat().st_size
        self.thread = threading.Thread(target=self.blow)

    def blow(self) -> None:
        while not self.stop.wait(self.random.random() / 1000):
            os.truncate(self.path, self.random.randrange(self.size + 1))

    def rise(self) -> None:
        self.thread.start()

    def __enter__(self) -> Storm:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop.set()
        if self.thread.ident is not None:
            self.thread.join()
        os.truncate(self.path, self.size)


@pytest.mark.parametrize("program", STORMED)
def test_it_lives_through_a_storm(program: Program, tmp_path: Path) -> None:
    """In even rounds, the file is cut once at a random place, and the loss must be reported.

    In odd rounds, it is cut all the time: since before the program starts, or since the program has mapped the file.
    """
    needs(program)
    seed = random.randrange(1 << 32)
    print("seed", seed)  # shown when the test fails
    dice = random.Random(seed)
    (tmp_path / "whole").mkdir()
    whole = program.make(tmp_path / "whole").read_bytes()
    path = tmp_path / "stormy"
    command = guarded(*program.command(path))
    stormed = 0
    until = time.monotonic() + PATIENCE_S
    for number in itertools.count():
        if number >= ROUNDS and (stormed > 0 or time.monotonic() > until):
            break
        path.write_bytes(whole)
        if number % 2 == 0:
            keeps = dice.randrange(len(whole) - 2 * PAGE)
            # A program that notices zeros may end at those of the last page, before it touches a page that is gone.
            keeps -= keeps % PAGE if program.notices else 0
            end = cut_while(program, command, path, keeps)
            told(end, path, keeps)
        else:
            with Storm(path, dice.randrange(1 << 32)) as storm:
                if number % 4 == 1:
                    storm.rise()
                start = storm.rise if number % 4 == 3 else lambda: None
                end = cutting.run(command, path, start, environment=environment())
            assert number % 4 == 1 or end.was_cut, f"{program.name} has mapped nothing\n{end}"
            assert {loss.path for loss in losses(end.errors)} <= {str(path)}, str(end)
        assert end.signal is None and end.code is not None, str(end)
        assert end.code != 0 or not losses(end.errors), str(end)
        stormed += len(losses(end.errors)) if number % 2 == 1 else 0
    assert stormed > 0, "no storm has met the program while it read"
