# SPDX-License-Identifier: MIT OR Apache-2.0
"""./dev soak: everything at once, for a number of minutes, with a live view.

usage: run.py MINUTES --build FOLDER [--python PROGRAM] [--lua INTERPRETER MODULE FOLDER]...

Four programs change 5 000 files on up to five file systems (storm.py). Meanwhile run a service of 16 threads with 200 000
regions, leases, signals and forked children (service.c), a process with 10 000 foreign mappings (soak.c), readers in
Python and Lua, and a Dask cluster. Each program judges what it reads. At the end each must still live, and must have as many
descriptors and mappings and as much memory as after a third of the time. That is judged from ten minutes on: before, the
service has not opened its 200 000 regions.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from stable import mounts  # noqa: E402

STORMS = 4
FLAT_FROM_MINUTES = 10.0
SHOWN_EVERY = 10.0
#: These may come and go without a leak: caches of interpreters, stacks of threads, the pool of a cluster.
MORE_DESCRIPTORS, MORE_MAPPINGS, MORE_MEMORY = 64, 200, 96 << 20
#: The service holds regions, whose numbers follow what the storm leaves of the files.
SHARE = 0.1


@dataclass
class State:
    """What a process and its children use."""

    descriptors: int = 0
    mappings: int = 0
    memory: int = 0

    def add(self, pid: int) -> None:
        """Add what one process uses. A process that has ended uses nothing."""
        place = Path("/proc", str(pid))
        with contextlib.suppress(OSError):
            self.descriptors += len(os.listdir(place / "fd"))
            self.mappings += (place / "maps").read_text(errors="replace").count("\n")
            self.memory += int((place / "statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def children_of(pid: int) -> Iterator[int]:
    """Provide a process, its children, and theirs."""
    yield pid
    with contextlib.suppress(OSError):
        for task in Path("/proc", str(pid), "task").iterdir():
            for child in (task / "children").read_text().split():
                yield from children_of(int(child))


@dataclass
class Player:
    """A program of the soak, what it printed last, and what it used when it had settled."""

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    #: True for a program that ends by itself when the time is up.
    ends: bool = False
    #: True for a program whose children are part of it. The children of the others live for a moment.
    has_children: bool = False
    last: str = ""
    settled: State | None = None

    def start(self, log: Path) -> None:
        """Start the program. A thread reads what it prints."""
        self.log = log / f"{self.name}.log"
        with self.log.open("wb") as errors:
            self.process = subprocess.Popen(
                self.command,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | self.environment,
                start_new_session=True,
            )
        self.is_ready = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.strip():
                self.last = line.strip()
                self.is_ready.set()
        self.is_ready.set()

    def state(self) -> State:
        """Return what the program uses now."""
        state = State()
        for pid in children_of(self.process.pid) if self.has_children else [self.process.pid]:
            state.add(pid)
        return state

    def stop(self) -> int:
        """End the program. Return its exit status, which is 0 for one that had to be told."""
        if not self.ends and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(60)
                return 0
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(300)
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        return -1

    def faults(self, status: int, now: State) -> list[str]:
        """Return what is wrong with the program at the end."""
        wrong = [f"{self.name} ended with {status}: {self.log.read_text()[-2000:]}"] if status != 0 else []
        if self.settled is None:
            return wrong
        before = self.settled
        for what, unit, more in (
            ("descriptors", 1, MORE_DESCRIPTORS),
            ("mappings", 1, MORE_MAPPINGS),
            ("memory", 1 << 20, MORE_MEMORY),
        ):
            had, has = getattr(before, what), getattr(now, what)
            if has > had * (1 + SHARE) + more:
                wrong.append(f"{self.name}: {what} grew from {had // unit} to {has // unit}")
        return wrong


@contextlib.contextmanager
def file_systems() -> Iterator[list[Path]]:
    """Provide a folder on each of five file systems, as far as this system has them. It says what is missing."""
    with contextlib.ExitStack() as stack:
        made = []
        for kind in mounts.WRITABLE:
            try:
                made.append(stack.enter_context(mounts.writable(kind, 400 << 20)))
            except mounts.Unavailable as why:
                print(f"without {kind}: {why}")
        yield made or [stack.enter_context(mounts.folder())]


def show(players: list[Player], seconds: float) -> None:
    """Print one line for each program. A terminal shows the newest lines in place of the ones before."""
    lines = [f"{seconds:6.0f} s{'descriptors':>22}{'mappings':>10}{'MiB':>8}"]
    for player in players:
        state = player.state()
        lines.append(
            f"  {player.name:12}{state.descriptors:16}{state.mappings:10}{state.memory >> 20:8}  {player.last}"
        )
    text = "\n".join(lines)
    if sys.stdout.isatty():
        width = os.get_terminal_size().columns
        print(f"\x1b[{len(lines)}F", *(f"\x1b[K{line[: width - 1]}" for line in lines), sep="\n", flush=True)
    else:
        print(text, flush=True)


def watch(players: list[Player], seconds: float) -> None:
    """Show the programs until the time is up, or until one has ended too early."""
    start = time.monotonic()
    shown = -SHOWN_EVERY
    while (passed := time.monotonic() - start) < seconds:
        ended = [player for player in players if player.process.poll() is not None]
        if ended:
            raise SystemExit("\n".join(f"{one.name} ended:\n{one.log.read_text()[-3000:]}" for one in ended))
        if passed - shown >= SHOWN_EVERY:
            show(players, passed)
            shown = passed
        if passed > seconds / 3 and players[0].settled is None and seconds >= FLAT_FROM_MINUTES * 60:
            for player in players:
                player.settled = player.state()
        time.sleep(0.5)


def cast(given: argparse.Namespace, folders: list[str], place: Path) -> list[Player]:
    """Return the programs that read."""
    foreign = place / "foreign"
    foreign.mkdir()
    # The two in C end by themselves, a little after the time is up.
    seconds = given.minutes * 60 + 30
    players = [
        Player(
            "service", [f"{given.build}/tests/soak/mmapguard_soak_service", str(seconds), *folders], ends=True
        ),
        Player(
            "foreign",
            [f"{given.build}/tests/soak/mmapguard_soak", str(seconds / 60), str(foreign)],
            ends=True,
        ),
    ]
    if given.python:
        players.append(Player("python", [given.python, str(HERE / "readers.py"), *folders]))
        players.append(
            Player(
                "dask",
                [given.python, str(HERE / "cluster.py"), *folders],
                {"DASK_LOGGING__DISTRIBUTED": "critical"},
                has_children=True,
            )
        )
    for interpreter, module, folder in given.lua:
        name = Path(interpreter).name
        paths = {
            "LUA_CPATH": f"{folder}/lib/{'5.1' if 'jit' in name else name[3:]}/?.so",
            "LUA_PATH": f"{folder}/share/?.lua",
        }
        players.append(Player(name, [interpreter, str(HERE / "reader.lua"), module, *folders], paths))
    return players


def soak(given: argparse.Namespace, folders: list[str], place: Path) -> list[str]:
    """Run everything. Return what is wrong."""
    storms = [
        Player(f"storm {index}", [sys.executable, str(HERE / "storm.py"), str(index), str(STORMS), *folders])
        for index in range(STORMS)
    ]
    players = cast(given, folders, place)
    try:
        for storm in storms:
            storm.start(place)
        for storm in storms:
            storm.is_ready.wait()
        for player in players:
            player.start(place)
        watch([*storms, *players], given.minutes * 60)
        now = [player.state() for player in players]
        show([*storms, *players], given.minutes * 60)
        wrong = [
            fault
            for player, state in zip(players, now, strict=True)
            for fault in player.faults(player.stop(), state)
        ]
        return wrong + [fault for storm in storms for fault in storm.faults(storm.stop(), State())]
    finally:
        for player in [*players, *storms]:
            if hasattr(player, "process"):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(player.process.pid, signal.SIGKILL)
                player.process.wait()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("minutes", type=float)
    parser.add_argument("--build", required=True, help="folder of the build")
    parser.add_argument("--python", help="a Python that has mmapguard, NumPy and distributed")
    parser.add_argument(
        "--lua", nargs=3, action="append", default=[], metavar=("INTERPRETER", "MODULE", "FOLDER")
    )
    given = parser.parse_args()
    # So that the file systems are unmounted.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    with mounts.folder() as place, file_systems() as made:
        folders = []
        for base in made:
            (base / "soak").mkdir()
            folders.append(str(base / "soak"))
        print(f"5000 files on {len(folders)} file systems: {' '.join(folders)}", flush=True)
        wrong = soak(given, folders, place)
    print(
        "\n".join(wrong)
        if wrong
        else "all programs lived, and read nothing wrong; from ten minutes on: they use no more than after a third of the time"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
