# SPDX-License-Identifier: MIT OR Apache-2.0
"""Write the values of publication.toml into the files that name them; with --check, only say which files differ.

    publication.py [--check] [ROOT]

Exit code: 0 when every file says what publication.toml says, 1 when --check found a difference, 2 when a field is
missing in a file.
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

FIELDS: dict[str, list[str]] = {
    "README.md": [r"^git clone {repository}$"],
    "SECURITY.md": [r"^Please write to {email}, "],
    "CMakeLists.txt": [r'^ +HOMEPAGE_URL "{homepage}"'],
    "pyproject.toml": [
        r'^maintainers = \[\{{ name = "{maintainer}", email = "{email}" \}}\]$',
        r'^Homepage = "{homepage}"$',
        r'^Repository = "{repository}"$',
    ],
    "debian/control": [
        r"^Maintainer: {maintainer} <{email}>$",
        r"^Homepage: {homepage}$",
        r"^Vcs-Git: {repository}$",
        r"^Vcs-Browser: {homepage}$",
    ],
    "debian/changelog": [r"^ -- {maintainer} <{email}>  "],
    "debian/copyright": [r"^Upstream-Contact: {maintainer} <{email}>$", r"^Source: {repository}$"],
    "bindings/rust/Cargo.toml": [r'^homepage = "{homepage}"$', r'^repository = "{repository}"$'],
    "bindings/lua/mmapguard-1.0.0-1.rockspec": [
        r'^source = \{{ url = "git\+{repository}", ',
        r'^  homepage = "{homepage}",$',
        r'^  maintainer = "{maintainer} <{email}>",$',
    ],
}
"""Each file, and the lines in it that hold a value. What stands around the values is a regular expression."""


class MissingError(Exception):
    """A file has no line for a field."""


def rewritten(text: str, pattern: str, values: dict[str, str]) -> str:
    """Return the text with the values put into every line of this pattern."""
    names = re.findall(r"(?<!\{)\{(\w+)\}(?!\})", pattern)
    # Any value may stand there now, as long as it is of one piece or, for a name, of one line.
    anything = {name: rf"(?P<{name}>[^\n<>\"]+?)" for name in names}
    found = 0

    def with_values(match: re.Match[str]) -> str:
        nonlocal found
        found += 1
        whole = match[0]
        for name in sorted(names, key=match.start, reverse=True):
            start, end = match.start(name) - match.start(), match.end(name) - match.start()
            whole = whole[:start] + values[name] + whole[end:]
        return whole

    new = re.sub(pattern.format(**anything), with_values, text, flags=re.MULTILINE)
    if not found:
        raise MissingError(f"no line like {pattern.format(**values)}")
    return new


def main(arguments: list[str]) -> int:
    """Write, or check, every file."""
    check = "--check" in arguments
    rest = [argument for argument in arguments if argument != "--check"]
    root = Path(rest[0]) if rest else Path(__file__).resolve().parents[1]
    values = tomllib.loads((root / "publication.toml").read_text(encoding="utf-8"))
    code = 0
    for name, patterns in FIELDS.items():
        path = root / name
        text = new = path.read_text(encoding="utf-8")
        try:
            for pattern in patterns:
                new = rewritten(new, pattern, values)
        except MissingError as missing:
            print(f"{name}: {missing}", file=sys.stderr)
            return 2
        if new != text and check:
            print(
                f"{name} does not say what publication.toml says (./dev publication writes it)",
                file=sys.stderr,
            )
            code = 1
        elif new != text:
            path.write_text(new, encoding="utf-8")
            print(f"written: {name}")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
