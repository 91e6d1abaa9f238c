# SPDX-License-Identifier: MIT OR Apache-2.0
"""The commands of the README work on a bare Debian 12 or 13, with sudo and without, from an archive."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from strangers.bare_debian import ROOT, USER, BareDebian
from support import checkout

SUITES = ("bookworm", "trixie")
README = (ROOT / "README.md").read_text(encoding="utf-8")
# The compilers with which Debian builds the web browsers are the newer ones in Debian 12.
RUST = {"bookworm": "cargo-web rustc-web", "trixie": "cargo rustc"}
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module", params=SUITES)
def debian(request: pytest.FixtureRequest) -> Iterator[BareDebian]:
    """Provide a new system without sudo, and with an unpacked archive of the sources."""
    if os.geteuid() != 0:
        pytest.skip("needs root: makes a Debian system and enters it")
    if shutil.which("debootstrap") is None:
        pytest.skip("debootstrap is not installed; ./dev test strangers installs it")
    folder = Path(ROOT / "build" / "strangers" / request.param)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = BareDebian(folder, request.param)
    made.bring("mmapguard", checkout.names())
    yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def with_sudo(debian: BareDebian) -> BareDebian:
    """Return the same system, with sudo for the user. Tests without sudo stand before those that ask for this."""
    debian.allow_sudo()
    return debian


def commands(block: int) -> list[str]:
    """Return the commands of one of the README's blocks, without the remarks beside them."""
    return [line.partition("#")[0].strip() for line in BLOCKS[block].splitlines()]


@pytest.mark.parametrize(
    ("command", "groups"),
    [
        (
            "setup",
            "cmake gcc abigail-tools libc6-dev-arm64-cross liblua5.4-dev python3 python3-dev python3-venv",
        ),
        ("demo", "cmake gcc liblua5.4-dev python3 python3-dev python3-venv"),
        ("test", "cmake gcc abigail-tools libc6-dev-arm64-cross python3 python3-venv"),
        ("test python", "cmake gcc valgrind python3 python3-dev python3-venv"),
        ("test riscv64", "cmake gcc gcc-riscv64-linux-gnu libc6-dev-riscv64-cross qemu-user-static"),
        ("test lua", "cmake gcc luarocks liblua5.1-0-dev python3-venv"),
        ("lint", "cmake gcc clang shellcheck golang-go python3-venv"),
        ("fuzz", "cmake gcc clang libclang-rt-dev"),
    ],
)
def test_a_user_without_sudo_is_told_of_all_missing_packages_at_once(
    debian: BareDebian, command: str, groups: str
) -> None:
    done = debian.run(USER, f"cd mmapguard && ./dev {command}")
    assert done.returncode == 2
    told = re.search(r"^dev: these packages are missing, .* root or sudo: (.*)$", done.stdout, re.MULTILINE)
    assert told
    assert set(groups.split()) <= set(told[1].split())
    assert "apt-get" not in done.stdout


def test_setup_leaves_nothing_to_install_for_the_demo_and_the_tests(with_sudo: BareDebian) -> None:
    said = with_sudo.checked(USER, "cd mmapguard && ./dev setup")
    assert len(re.findall(r"^==> installing (?!Python)", said, re.MULTILINE)) == 1
    shown = with_sudo.checked(USER, "cd mmapguard && sudo mv /usr/bin/apt-get /usr/bin/apt-got && ./dev demo")
    with_sudo.checked(USER, "sudo mv /usr/bin/apt-got /usr/bin/apt-get")
    assert "killed by SIGBUS" in shown
    assert "TRUNCATED at byte" in shown


def test_the_first_commands_of_the_readme_work_as_a_user_with_sudo(with_sudo: BareDebian) -> None:
    clone, change, *rest = commands(0)
    assert clone.startswith("git clone ")  # the address is not published yet, so the test uses the archive
    assert rest == ["./dev demo", "./dev test"]
    said = with_sudo.checked(USER, "\n".join([change, *rest]))
    assert re.search(r"^==> ./dev test: passed", said, re.MULTILINE)
    assert re.search(r"^\d+ tests were skipped, \d+ of them because they need root", said, re.MULTILINE)


def test_the_readme_installs_the_library_and_builds_a_program_with_it(with_sudo: BareDebian) -> None:
    said = with_sudo.checked(USER, "\n".join(["cd mmapguard", *commands(1)]))
    assert re.search(r"^\d+ lines$", said, re.MULTILINE)


def test_the_python_package_installs_as_the_readme_says(with_sudo: BareDebian) -> None:
    assert "`pip install .`" in README
    said = with_sudo.checked(
        USER,
        "cd mmapguard && python3 -m venv /tmp/v && . /tmp/v/bin/activate && pip install . "
        "&& python -c 'import mmapguard; print(len(mmapguard.open(\"README.md\")))'",
    )
    assert said.endswith(f"{(ROOT / 'README.md').stat().st_size}\n")


def test_the_python_and_lua_programs_of_the_readme_run(with_sudo: BareDebian) -> None:
    """The programs use the packages that ./dev demo has built."""
    for language, command in (
        ("python", "PYTHONPATH=$HOME/mmapguard/build/demo/python python3"),
        ("lua", "LUA_CPATH=$HOME/mmapguard/build/demo/bindings/lua/lib/5.4/?.so lua5.4"),
    ):
        program = re.search(rf"^```{language}\n(.+?)^```$", README, re.MULTILINE | re.DOTALL)
        assert program
        (with_sudo.folder / "home" / USER / "program").write_text(program[1], encoding="utf-8")
        said = with_sudo.checked(USER, f"printf 'a line\n%.0s' $(seq 20000) > big.bin; {command} program")
        if language == "lua":
            assert said.split() == ["6"] * 20000
        else:
            assert re.fullmatch(r"[0-9a-f]{64} b'a li' -1\n", said)


def test_the_rust_program_of_the_readme_runs(with_sudo: BareDebian) -> None:
    """In a crate of its own, whose one dependency is the checkout, as README says."""
    program = re.search(r"^```rust\n(.+?)^```$", README, re.MULTILINE | re.DOTALL)
    assert program
    dependency = re.search(r"`(mmapguard = .*?)` in `Cargo\.toml`", README)
    assert dependency
    crate = with_sudo.folder / "home" / USER / "reader"
    (crate / "src").mkdir(parents=True)
    (crate / "src/main.rs").write_text(program[1], encoding="utf-8")
    manifest = '[package]\nname = "reader"\nversion = "0.1.0"\nedition = "2021"\n\n[dependencies]\n'
    manifest += dependency[1].replace("bindings/", f"/home/{USER}/mmapguard/bindings/") + "\n"
    (crate / "Cargo.toml").write_text(manifest, encoding="utf-8")
    with_sudo.checked("root", f"chown -R {USER}: /home/{USER}/reader")
    with_sudo.checked(USER, f"sudo apt-get install -qy --no-install-recommends {RUST[with_sudo.folder.name]}")
    said = with_sudo.checked(USER, "cd reader && cargo run --quiet")
    pieces = manifest.split("\n")
    assert said.startswith(f'{len(pieces)} lines\nSome("mmapguard = ')


def test_the_checks_of_the_code_and_the_fuzzer_run(with_sudo: BareDebian) -> None:
    with_sudo.checked(USER, "cd mmapguard && ./dev lint")
    with_sudo.checked(USER, "cd mmapguard && ./dev fuzz -runs=2000")
