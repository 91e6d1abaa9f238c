# SPDX-License-Identifier: MIT OR Apache-2.0
"""The host's own SIGBUS reaches the host as if the library were not there, and the library's faults are contained.

Every scenario is a list of steps for the program fault_host (see host.c). The program is run twice, with the library
and, as its twin, without it: what the host's handlers see (signal, code, address, sender, value, mask, stack, how
often), whether system calls are interrupted, how the process ends and what the kernel notes in the core dump must be
the same. The twin leaves out the steps that use the library. The step `ours` cuts a file that the library has mapped,
and demands containment.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault.programs import run, run_with_and_without

HOST = "fault_host"

HANDLERS = [
    "one",
    "three",
    "restart",
    "resethand",
    "sysv",
    "masking",
    "masking-one",
    "nodefer",
    "masking-nodefer",
    "jumping",
    "jumping-masking",
    "jumping-nodefer",
    "jumping-reinstalling",
    "reinstalling",
    "reinstalling-sysv",
    "resetting",
    "onstack",
]
PREDECESSORS = ["default", "ignore", *HANDLERS]

# What happens to the host. A test cannot cause memory errors and misaligned accesses, so their codes are sent. A
# handler sees no difference, but a process without a handler is killed by a real fault and not by a sent signal that
# looks like one.
SENT = ["raise", "kill", "sigqueue:-3", "thread:raise", "mce-ao", "read"]
FAULTS = ["fault:a", "thread:fault:a", "blocked:a"]
LOOKALIKES = ["mce-ar", "adraln"]

EVERYTHING = ["fault:a", *SENT, *LOOKALIKES, "thread:fault:a", "fault:a", "mask"]


def between(what: str, steps: list[str]) -> Iterator[str]:
    """Provide the steps with `what` before, between and behind them."""
    for step in steps:
        yield what
        yield step
    yield what


def installed(kind: str) -> list[str]:
    """Return the steps that install a handler; one that asks for an alternate stack gets a small one."""
    return (["altstack"] if kind == "onstack" else []) + [f"install:{kind}"]


# --------------------------------------------------------------------------------------------------- predecessors --


@pytest.mark.parametrize("event", [*FAULTS, *SENT])
@pytest.mark.parametrize("kind", PREDECESSORS)
def test_a_host_that_was_there_first_keeps_its_signal(kind: str, event: str, tmp_path: Path) -> None:
    steps = [*installed(kind), "open", "state:top", *between("ours", [event]), event, "ours", "mask", "close"]
    end = run_with_and_without(HOST, *steps, folder=tmp_path)
    fatal = kind == "default" or (kind == "ignore" and event in FAULTS) or event == "blocked:a"
    assert not fatal or end.signal == signal.SIGBUS, str(end)
    assert kind != "ignore" or event in FAULTS or end.code == 0, str(end)


@pytest.mark.parametrize("kind", HANDLERS)
def test_a_host_that_was_there_first_keeps_every_signal_in_a_row(kind: str, tmp_path: Path) -> None:
    run_with_and_without(
        HOST, *installed(kind), "open", *between("ours", EVERYTHING[:6]), "close", folder=tmp_path
    )
    run_with_and_without(HOST, *installed(kind), "open", *EVERYTHING, "close", folder=tmp_path / "all")


@pytest.mark.parametrize("kind", PREDECESSORS)
def test_the_guard_put_on_top_of_a_handler_passes_on_to_it(kind: str, tmp_path: Path) -> None:
    steps = ["open", *installed(kind), "state:displaced", "guard", "state:top", "guard"]
    for event in ("fault:a", "raise", "sigqueue:9"):
        folder = tmp_path / event.replace(":", "-")
        run_with_and_without(HOST, *steps, "ours", event, "ours", event, "ours", folder=folder)


def test_only_the_last_of_two_handlers_is_passed_on_to(tmp_path: Path) -> None:
    steps = [
        "install:one",
        "open",
        "install:three,owns=a",
        "guard",
        *between("ours", ["fault:a", "raise", "kill"]),
    ]
    end = run_with_and_without(HOST, *steps, folder=tmp_path)
    assert end.code == 0 and "handler 0" not in end.output


@pytest.mark.parametrize("kind", ["jumping", "jumping-masking", "jumping-nodefer", "jumping-reinstalling"])
def test_a_handler_may_leave_by_a_jump_a_thousand_times(kind: str, tmp_path: Path) -> None:
    steps = [
        f"install:{kind}",
        "open",
        "ours",
        "faults:1000",
        "ours",
        "thread:faults:1000",
        "guard",
        "ours",
        "mask",
        "close",
    ]
    end = run_with_and_without(HOST, *steps, folder=tmp_path)
    assert end.code == 0
    assert end.output.count("jumps 1000") == 2 and end.output.count("handler 0") == 2000


@pytest.mark.parametrize("kind", ["jumping", "jumping-nodefer"])
def test_a_handler_may_leave_by_a_jump_from_ever_deeper_calls(kind: str, tmp_path: Path) -> None:
    end = run_with_and_without(
        HOST, f"install:{kind}", "open", "ours", "deeper:200", "ours", "mask", folder=tmp_path
    )
    assert end.code == 0
    assert end.output.count("handler 0") == 200


def test_a_handler_may_fault_in_a_region_itself(tmp_path: Path) -> None:
    steps = ["install:nesting", "open", *between("ours", ["fault:a", "raise", "fault:a"]), "mask"]
    assert run_with_and_without(HOST, *steps, folder=tmp_path).code == 0


def test_the_core_dump_of_a_fault_shows_the_fault(tmp_path: Path) -> None:
    end = run_with_and_without(HOST, "install:default", "open", "ours", "fault:a", folder=tmp_path)
    assert end.signal == signal.SIGBUS
    if not end.dumped or end.core is None:
        pytest.skip("this system leaves no core dump in the working directory")
    bus_adrerr = 2
    assert (end.core.number, end.core.code, end.core.address % 4096) == (signal.SIGBUS, bus_adrerr, 123)


# ----------------------------------------------------------------------------------------------------- successors --

CHAINS = ["call", "restore-return", "restore-raise", "hook"]
# A handler of one argument has not the arguments for a saved handler of three.
WAYS = [
    (kind, chain)
    for kind in HANDLERS
    for chain in CHAINS
    if kind not in ("resetting", "resethand", "sysv")
    and not (kind in ("one", "masking-one") and chain in ("call", "hook"))
]


@pytest.mark.parametrize(("kind", "chain"), WAYS)
def test_a_host_that_came_later_is_undisturbed_and_passes_on(kind: str, chain: str, tmp_path: Path) -> None:
    install = [*(["altstack"] if kind == "onstack" else []), f"install:{kind},chain={chain}"]
    steps = [
        "open",
        *install,
        "state:displaced",
        "fault:a",
        "raise",
        "kill",
        "sigqueue:4",
        "read",
        "fault:a",
        "mask",
    ]
    end = run_with_and_without(HOST, *steps, "ours", "mask", "close", folder=tmp_path)
    assert end.code == 0, str(end)


@pytest.mark.parametrize("chain", ["call", "hook", "restore-raise", "restore-return"])
@pytest.mark.parametrize("kind", ["resethand", "reinstalling-sysv"])
def test_a_host_that_came_later_for_one_signal_passes_that_on(kind: str, chain: str, tmp_path: Path) -> None:
    end = run(HOST, "open", f"install:{kind},chain={chain}", "ours", folder=tmp_path)
    assert end.code == 0, str(end)


@pytest.mark.parametrize("chain", ["call", "hook", "restore-return", "restore-raise"])
@pytest.mark.parametrize("above", ["three", "masking", "onstack"])
@pytest.mark.parametrize("below", ["three", "one", "restart", "jumping"])
def test_a_fault_finds_its_way_from_handler_to_handler(
    below: str, above: str, chain: str, tmp_path: Path
) -> None:
    steps = [
        f"install:{below},owns=a,nomask",
        "open",
        f"install:{above},owns=b,chain={chain}",
        "fault:b",
        "raise",
        "fault:a",
        "fault:a",
        "raise",
        "ours",
        "mask",
    ]
    end = run_with_and_without(HOST, *steps, folder=tmp_path)
    assert end.code == 0, str(end)


@pytest.mark.parametrize("chain", CHAINS)
def test_a_sent_signal_finds_its_way_from_handler_to_handler(chain: str, tmp_path: Path) -> None:
    for event in SENT:
        steps = [
            "install:three,owns=a,nomask",
            "open",
            f"install:three,owns=none,chain={chain}",
            event,
            event,
            "ours",
        ]
        assert run_with_and_without(HOST, *steps, folder=tmp_path / event.replace(":", "-")).code == 0


@pytest.mark.parametrize("chain", CHAINS)
def test_a_fault_that_nobody_owns_kills(chain: str, tmp_path: Path) -> None:
    steps = ["install:default", "open", f"install:three,owns=b,chain={chain}", "fault:b", "fault:a"]
    assert run_with_and_without(HOST, *steps, folder=tmp_path).signal == signal.SIGBUS
    steps = ["install:default", "open", f"install:three,owns=none,chain={chain}", "raise"]
    end = run_with_and_without(HOST, *steps, folder=tmp_path / "sent")
    assert end.code == 0 if chain == "restore-return" else end.signal == signal.SIGBUS


# ----------------------------------------------------------------------------------------------------- ping-pong --


@pytest.mark.parametrize("above", ["three", "reinstalling", "nodefer", "jumping"])
@pytest.mark.parametrize("chain", ["call", "hook"])
def test_handlers_that_call_each_other_do_not_run_in_a_circle(above: str, chain: str, tmp_path: Path) -> None:
    steps = [
        "install:three,owns=a,nomask",
        "open",
        f"install:{above},owns=b,chain={chain}",
        "guard",
        "state:top",
    ]
    rounds = ["fault:a", "fault:b", "raise", "guard", "thread:fault:a"] * 3
    end = run_with_and_without(HOST, *steps, *between("ours", rounds), "mask", folder=tmp_path)
    assert end.code == 0, str(end)


@pytest.mark.parametrize(
    ("above", "chain"),
    # A handler that installs itself again, and then calls the handler that it found, calls itself in a circle.
    [
        *((above, chain) for above in ("three", "nodefer") for chain in CHAINS),
        ("reinstalling", "call"),
        ("reinstalling", "hook"),
    ],
)
def test_a_circle_ends_in_death_when_nobody_owns_the_fault(above: str, chain: str, tmp_path: Path) -> None:
    steps = ["install:default", "open", f"install:{above},owns=b,chain={chain}", "guard"]
    events = ["ours", "fault:b", "guard", "ours", "fault:a"]
    assert run_with_and_without(HOST, *steps, *events, folder=tmp_path).signal == signal.SIGBUS


def test_a_circle_of_raised_signals_ends_in_death(tmp_path: Path) -> None:
    """The handler installs itself again, then restores the action that it found and raises.

    How often it does so does not matter.
    """
    steps = ["install:default", "open", "install:reinstalling,owns=b,chain=restore-raise", "guard", "ours"]
    end = run(HOST, *steps, "fault:b", "guard", "fault:a", folder=tmp_path)
    assert end.signal == signal.SIGBUS, str(end)


def test_many_handlers_each_put_on_top_of_the_other_pass_on(tmp_path: Path) -> None:
    above = [f"install:three,owns={whose},chain=call" for whose in ("none", "b", "none")]
    steps = [
        "install:three,owns=a,nomask",
        "open",
        above[0],
        "guard",
        above[1],
        "guard",
        above[2],
        "guard",
        "state:top",
    ]
    end = run_with_and_without(
        HOST, *steps, *between("ours", ["fault:a", "fault:b", "fault:a", "raise"]), folder=tmp_path
    )
    assert end.code == 0, str(end)
    assert end.output.count("handler 0") == 2, "the first handler has its two faults"


@pytest.mark.parametrize("kind", ["three", "reinstalling"])
def test_the_guard_can_be_put_on_top_any_number_of_times(kind: str, tmp_path: Path) -> None:
    again = [f"install:{kind},owns=a", "guard", "fault:a", "guard"]
    steps = ["open", *again, *["guard"] * 50, "state:top", *between("ours", ["fault:a", "raise"])]
    end = run_with_and_without(HOST, *steps, folder=tmp_path)
    assert end.code == 0, str(end)


# ----------------------------------------------------------------------------------------------------------- more --


@pytest.mark.parametrize("kind", ["default", "ignore", "one", "three", "onstack"])
def test_a_library_that_was_closed_still_stands_in_its_place(kind: str, tmp_path: Path) -> None:
    """dlclose(3) must not take the code of an installed handler away."""
    for event in ("fault:a", "raise", "kill"):
        steps = [*installed(kind), "open", "ours", "close", "dlclose", event, event]
        run_with_and_without(HOST, *steps, folder=tmp_path / event.replace(":", "-"))


def test_a_closed_library_is_the_same_when_loaded_again(tmp_path: Path) -> None:
    steps = [
        "install:three",
        "open",
        "ours",
        "close",
        "dlclose",
        "load",
        "state:top",
        "ours",
        "fault:a",
        "ours",
    ]
    assert run_with_and_without(HOST, *steps, folder=tmp_path).code == 0


def test_a_library_that_is_loaded_and_unused_touches_nothing(tmp_path: Path) -> None:
    for event in [*FAULTS[:2], *SENT]:
        steps = ["install:onstack", "state:none", event, "state:none", "mask"]
        run_with_and_without(HOST, "altstack", *steps, folder=tmp_path / event.replace(":", "-"))


@pytest.mark.parametrize("kind", ["one", "masking", "onstack"])
def test_small_alternate_stacks_hold_the_whole_chain(kind: str, tmp_path: Path) -> None:
    steps = [
        "altstack",
        f"install:{kind},owns=a,nomask",
        "open",
        *between("ours", ["fault:a", "thread:fault:a"]),
    ]
    assert run_with_and_without(HOST, *steps, "thread:ours", folder=tmp_path).code == 0
