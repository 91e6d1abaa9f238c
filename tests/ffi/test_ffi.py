# SPDX-License-Identifier: MIT OR Apache-2.0
"""Every language passes every case, and its twin on a plain mapping dies."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ffi import matrix
from ffi.cases import CASES, PATIENCE, Case, Talk, prepare
from ffi.languages import LANGUAGES, Language
from support.library import ROOT

built: dict[str, str | None] = {}
"""Why a language could not be built, or None."""


def missing_tool(language: Language) -> str | None:
    """Return the first missing tool of a language, or None when none is missing."""
    words = [*(command[0] for command in language.build), language.run[0]]
    absent = [word for word in words if "{" not in word and shutil.which(word) is None]
    return absent[0] if absent else None


@pytest.fixture
def program(language: Language, library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder in which the language's program is built, once for all cases."""
    out = tmp_path_factory.getbasetemp() / language.folder.name
    if language.name not in built:
        absent = missing_tool(language)
        if absent is not None:
            if os.environ.get("CI"):
                pytest.fail(f"{absent} is not installed")
            pytest.skip(f"{absent} is not installed; ./dev test ffi installs it")
        out.mkdir()
        built[language.name] = None
        for words in language.build:
            command = language.words(words, library, out)
            done = subprocess.run(
                command,
                cwd=out,
                env=language.environment(library, out),
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                built[language.name] = f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
                break
        matrix.versions[language.name] = language.reported_version(library, out)
    failure = built[language.name]
    assert failure is None, failure
    return out


def start(language: Language, library: Path, out: Path, case: Case, path: Path) -> Talk:
    """Run the program, without a core dump if it dies."""
    process = subprocess.Popen(
        [*language.words(language.run, library, out), case.name, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=language.environment(library, out),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0)),
        text=True,
    )
    return Talk(process, path, language.number)


@pytest.mark.parametrize(
    ("language", "case"),
    [
        pytest.param(language, case, id=f"{language.name}|{case.name}")
        for language in LANGUAGES
        for case in CASES
    ],
)
def test_a_language_does_what_it_must(
    language: Language, case: Case, library: Path, program: Path, tmp_path: Path
) -> None:
    if case.own and language.twin:
        pytest.skip(f"{language.name}: {language.twin}")
    path = tmp_path / "file"
    lock = prepare(case, path)
    try:
        talk = start(language, library, program, case, path)
        with talk.process:
            try:
                case.act(talk)
                out, errors = talk.process.communicate(timeout=PATIENCE)
            except BaseException:
                talk.process.kill()
                raise
    finally:
        if lock is not None:
            os.close(lock)
    code = talk.process.returncode
    if case.own and language.twin_survives:
        # The runtime's own handler runs first, and turns the fault into an error.
        assert (code, out) == (0, f"error {language.twin_survives}\n"), f"{code}: {out}{errors}"
    elif not case.deaths:
        assert (code, case.holds(out.rstrip("\n"), path)) == (0, True), f"{code}: {out}{errors}"
    elif language.name == "Go":
        # The runtime takes the fault for its own and ends the program with exit code 2.
        assert (code, "SIGBUS" in errors) == (2, True), f"{code}: {out}{errors}"
    else:
        assert -code in case.deaths, f"{code}: {out}{errors}"


@pytest.mark.parametrize("processor", ["i386", "arm", "amd64"])
def test_the_generated_module_has_the_layout_of_other_processors(processor: str, tmp_path: Path) -> None:
    """Nim computes the layouts of a processor by itself, and compares them with those of the description."""
    if shutil.which("nim") is None:
        if os.environ.get("CI"):
            pytest.fail("nim is not installed")
        pytest.skip("nim is not installed; ./dev test ffi installs it")
    module = tmp_path / "mmapguard.nim"
    source = ROOT / "tests" / "ffi" / "generated" / "generate.py"
    subprocess.run([sys.executable, source, "nim", ROOT / "abi" / "abi.json", module], check=True)
    text = module.read_text(encoding="utf-8")
    assert "when defined(i386):\n  static: doAssert sizeof(mmg_span) == 20" in text

    def checked() -> subprocess.CompletedProcess[str]:
        words = ["nim", "check", "--hints:off", "--os:linux", f"--cpu:{processor}", str(module)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    done = checked()
    assert done.returncode == 0, done.stdout + done.stderr
    module.write_text(text.replace("offsetOf(mmg_span, `size`) == ", "offsetOf(mmg_span, `size`) == 1"))
    assert checked().returncode != 0


def test_there_are_languages_enough() -> None:
    assert len(LANGUAGES) >= matrix.LEAST
    assert sum(not case.deaths for case in CASES) >= 11


def test_the_matrix_in_the_readme_is_that_of_this_run(request: pytest.FixtureRequest) -> None:
    ran = {language for language, _ in matrix.outcomes}
    if len(matrix.outcomes) < len(LANGUAGES) * len(CASES) or len(ran) < len(LANGUAGES):
        pytest.skip("not every language and case was run")
    if request.config.getoption("--write-matrix"):
        pytest.skip("it is about to be written")
    found = matrix.MARKS.search(matrix.README.read_text())
    assert found is not None
    assert found[0].removeprefix(found[1]).removesuffix(found[2]) == matrix.matrix()
