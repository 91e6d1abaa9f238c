# SPDX-License-Identifier: MIT OR Apache-2.0
"""The public header as Doxygen wants to read it: `header_markup.py HEADER > COPY`.

The comments of the header are written for people. What Doxygen would not see in them is spelt out in the copy, and
nothing is added that the header does not say:

- the rulers between its sections become groups;
- a call's statuses, `@return MMG_OK · MMG_E_RANGE (...) · ...`, become one `@retval` each, with what the enumeration
  says of it and what the call does; `as mmg_open()` stands for all of that call's;
- the line `Blocks: ... Threads: ... Signal safety: ... Since 1.0.` becomes paragraphs with titles;
- `MMG_ADVICE_...` as an argument or a result becomes the list of these constants;
- names become links.

What does not have this form is an error that names the line: a page must not lack a status by accident.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "abi"))

from abigate.header import Declaration, Header  # noqa: E402

_CONSTANT = re.compile(r"\b(MMG_\w+)\s*=\s*-?\d+,?\s*/\*\*<\s*(.*?)\s*\*/", re.DOTALL)
_RULER = re.compile(r"^/\* -{9,} (.+) -- \*/$", re.MULTILINE)
_NAMES = r"MMG_\w+(?:, MMG_\w+)*"
_ITEM = re.compile(rf"({_NAMES})(?::? \((?P<aside>.*)\)|(?:: |, | when )(?P<rest>.*))?")
_TAIL = re.compile(r"^(?=(?:Blocks|Threads|Signal safety|Blocks and threads): |Since )", re.MULTILINE)
_NOTE = re.compile(r"(?:^|(?<=\. ))(?=(?:Blocks|Threads|Signal safety|Blocks and threads): |Since )")
_END_OF_SENTENCE = re.compile(r"(?<!e\.g)(?<!i\.e)[.?!](?=\s|$)")


class Call:
    """What the comment of one function says, taken apart."""

    def __init__(self, markup: Markup, declaration: Declaration) -> None:
        """Take the comment apart. Raises ValueError where it has not the form that all of them have."""
        self._markup, self._declaration = markup, declaration
        text = _bare(declaration.comment)
        cut = _TAIL.search(text)
        if cut is None:
            raise self._error("no line that begins with Blocks:, Threads: or Since")
        text, self.notes = text[: cut.start()].strip(), _joined(text[cut.start() :])
        text, _, returned = text.partition("@return ")
        self.returned = _joined(returned)
        self.about, *self.parameters = (part.strip() for part in text.split("@param "))

    def _error(self, problem: str) -> ValueError:
        return ValueError(
            f"{self._markup.header.path.name}:{self._declaration.line}: {self._declaration.name}: {problem}"
        )

    def statuses(self) -> dict[str, list[str]]:
        """The statuses that the call returns, each with what the comment adds to its general meaning."""
        found: dict[str, list[str]] = {}
        for item in self.returned.split(" · "):
            if item.startswith("as "):
                for other in re.findall(r"mmg_\w+(?=\(\))", item):
                    for name, notes in self._markup.call(other).statuses().items():
                        kept = found.setdefault(name, [])
                        kept += [note for note in notes if note not in kept]
                continue
            match = _ITEM.fullmatch(item.rstrip("."))
            if match is None:
                raise self._error(f"not a status in the list after @return: {item!r}")
            note = match["aside"] or match["rest"]
            for name in match[1].split(", "):
                if name not in self._markup.constants:
                    raise self._error(f"{name} is no constant with a comment")
                found.setdefault(name, []).extend([note] if note else [])
        return found

    def _results(self) -> Iterator[str]:
        constants = self._markup.constants
        if self._declaration.text.startswith("mmg_status "):
            for name, notes in self.statuses().items():
                here = "; ".join(note.removeprefix("also: ") for note in notes)
                yield f"@retval {name} {constants[name]}" + (f". Here: {here}" if here else "")
        elif group := self._markup.group(self.returned):
            yield from (f"@retval {name} {constants[name]}" for name in group)
        elif re.fullmatch(r"\d+: .* · \d+: .*", self.returned):
            yield from ("@retval " + item.replace(": ", " ", 1) for item in self.returned.split(" · "))
        elif self.returned:
            yield f"@return {self.returned}"

    def _parameters(self) -> Iterator[str]:
        for parameter in self.parameters:
            yield f"@param {parameter}"
            for name in self._markup.group(parameter):
                yield f"  - {name}: {self._markup.constants[name]}"

    def _notes(self) -> Iterator[str]:
        notes = dict(re.split(r": | (?=\d)", note, maxsplit=1) for note in _NOTE.split(self.notes) if note)
        if "Since" not in notes or not {"Threads", "Blocks and threads"} & notes.keys():
            raise self._error("does not say what threads may do, or since when it exists")
        since = notes.pop("Since").strip().rstrip(".")
        if "Blocks and threads" not in notes:
            notes.setdefault("Signal safety", "not async-signal-safe.")
        yield from (f"@par {title}\n{text.strip()}" for title, text in notes.items())
        yield f"@since {since}"

    def __str__(self) -> str:
        end = _END_OF_SENTENCE.search(self.about)
        if end is None:
            raise self._error("the first sentence has no end")
        brief, rest = _joined(self.about[: end.end()]), self.about[end.end() :].strip()
        return "\n".join(
            [f"@brief {brief}", "", rest, "", *self._parameters(), *self._results(), *self._notes()]
        )


class Markup:
    """The header, and the copy of it."""

    def __init__(self, header: Header) -> None:
        """Read the constants of the header with their comments."""
        self.header = header
        self.constants = {name: _joined(text) for name, text in _CONSTANT.findall(header.text)}
        self._functions = {d.comment: d for d in header.functions.values()}

    def call(self, name: str) -> Call:
        """The comment of a function. Raises ValueError when there is none of that name."""
        if name not in self.header.functions:
            raise ValueError(f"{self.header.path.name}: a comment refers to {name}(), which is not declared")
        return Call(self, self.header.functions[name])

    def group(self, text: str) -> list[str]:
        """The constants meant by `MMG_ADVICE_...`, if the text begins so, or after a parameter's name."""
        match = re.match(r"(?:[\w,]+\s+)?(MMG_[A-Z]+_)\.\.\.", text)
        return [name for name in self.constants if match and name.startswith(match[1])]

    def copy(self) -> str:
        """The text of the copy."""
        text = re.sub(r"/\*\*(?!\*).*?\*/", self._comment, self.header.text, flags=re.DOTALL)
        opened = 0

        def group(match: re.Match[str]) -> str:
            nonlocal opened
            opened += 1
            title = match[1][0].upper() + match[1][1:]
            end = "/** @} */\n" if opened > 1 else ""
            return f"{end}/** @defgroup {re.sub(r'[^a-z0-9]+', '_', match[1].lower())} {title}\n * @{{ */"

        text = _RULER.sub(group, text)
        return text.replace("/* MMG_CDEF_END */", "/** @} */" if opened else "")

    def _comment(self, match: re.Match[str]) -> str:
        comment = match[0]
        if comment in self._functions:
            comment = "/**\n" + str(Call(self, self._functions[comment])) + "\n*/"
        # Names in backquotes are left as they are; the others become links.
        parts = re.split(r"(`[^`]*`)", comment.replace("\\", "\\\\"))
        return "".join(part if part.startswith("`") else self._linked(part) for part in parts)

    def _linked(self, text: str) -> str:
        text = re.sub(r"\b(mmg_\w+)\.(\w+)\b", r'@ref \1::\2 "\1.\2"', text)
        return re.sub(
            r"(?<![\w\"#])(?<!@retval )(MMG_\w+)\b(?!\.\.)",
            lambda m: ("#" if m[0] in self.constants else "") + m[0],
            text,
        )


def _bare(comment: str) -> str:
    """The text of a comment, without its frame."""
    return "\n".join(re.sub(r"^ ?\* ?", "", line) for line in comment[3:-2].strip().split("\n"))


def _joined(text: str) -> str:
    return " ".join(re.sub(r"\n\s*\* ?", " ", text).split())


def main(arguments: list[str]) -> int:
    """Write the copy to standard output."""
    if len(arguments) != 1:
        print("usage: header_markup.py HEADER", file=sys.stderr)
        return 2
    try:
        sys.stdout.write(Markup(Header(Path(arguments[0]))).copy())
    except (OSError, ValueError) as problem:
        print(f"header_markup.py: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
