# SPDX-License-Identifier: MIT OR Apache-2.0
"""The man pages, from what Doxygen read in the public header: `make_man.py --xml FOLDER --version V PLACE`.

One page for each function, mmapguard(3) for all the rest: conventions, types, constants, and a list of the functions.
Nothing in them is written here but their titles.
"""

from __future__ import annotations

import argparse
import itertools
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from mdoc import Piece, argument, escaped, flow

OVERVIEW = "mmapguard"
_NAME = re.compile(r"\bmmg_\w+\(\)|\b[a-z][a-z_0-9]*\(\d\)|\bMMG_[A-Z0-9_]+(?:\.\.\.)?|\bmmg_\w+\b|\bNULL\b")


def words(element: Element | None) -> str:
    """The text of an element, white space squeezed."""
    return " ".join("".join(element.itertext()).split()) if element is not None else ""


def is_empty(element: Element | None) -> bool:
    """Whether there is no text in it."""
    return not words(element)


@dataclass
class Group:
    """A section of the header: its title, and what it declares."""

    title: str
    functions: list[Element] = field(default_factory=list)
    enumerations: list[Element] = field(default_factory=list)
    types: list[Element] = field(default_factory=list)
    structs: list[Element] = field(default_factory=list)


class Reference:
    """What Doxygen read in the header."""

    def __init__(self, folder: Path) -> None:
        """Read the XML in that folder."""
        files = [
            c.get("refid", "") for c in ElementTree.parse(folder / "index.xml").getroot().findall("compound")
        ]
        self.compounds = {name: self._compound(folder / f"{name}.xml") for name in files}
        self.file = next(
            c
            for c in self.compounds.values()
            if c.get("kind") == "file" and words(c.find("compoundname")) == "mmapguard.h"
        )
        groups = [c for c in self.compounds.values() if c.get("kind") == "group"]
        self.groups = sorted((self._group(g) for g in groups), key=lambda group: self._place(group))
        self.functions = {words(f.find("name")): f for group in self.groups for f in group.functions}
        self.structs = [words(s.find("compoundname")) for group in self.groups for s in group.structs]
        self.macros = [
            m
            for m in self.file.iter("memberdef")
            if m.get("kind") == "define" and not is_empty(m.find("briefdescription"))
        ]
        values = [v for group in self.groups for e in group.enumerations for v in e.findall("enumvalue")]
        self.constants = {words(value.find("name")): value for value in values}

    def group_of(self, text: str) -> list[Element]:
        """The constants meant by `MMG_ADVICE_...` at the start of a text."""
        match = re.match(r"(MMG_[A-Z]+_)\.\.\.", text)
        return [value for name, value in self.constants.items() if match and name.startswith(match[1])]

    def results(self, name: str) -> dict[str, list[str]]:
        """What a function returns, each value with what is said of it; "as mmg_open()" stands for all of that call's.

        Raises ValueError when the comment refers to a function or a constant that does not exist.
        """
        details = self.functions[name].find("detaileddescription")
        found: dict[str, list[str]] = {}
        if details is None:
            return found
        returned = words(details.find(".//simplesect[@kind='return']"))
        if returned.startswith("as "):
            for other in re.findall(r"(mmg_\w+)\(\)", returned):
                if other not in self.functions:
                    raise ValueError(f"{name} refers to {other}(), which is not declared")
                for value, notes in self.results(other).items():
                    found.setdefault(value, []).extend(notes)
        for item in details.findall(".//parameterlist[@kind='retval']/parameteritem"):
            value, note = words(item.find(".//parametername")), words(item.find("parameterdescription"))
            if value.startswith("MMG_") and value not in self.constants:
                raise ValueError(f"{name} returns {value}, which is no constant")
            found.setdefault(value, []).extend([note] if note else [])
        return found

    @staticmethod
    def _compound(path: Path) -> Element:
        compound = ElementTree.parse(path).getroot().find("compounddef")
        if compound is None:
            raise ValueError(f"{path} describes nothing")
        return compound

    def _group(self, compound: Element) -> Group:
        group = Group(words(compound.find("title")))
        lists = {"function": group.functions, "enum": group.enumerations, "typedef": group.types}
        for member in compound.iter("memberdef"):
            lists[member.get("kind", "")].append(member)
        group.structs = [self.compounds[c.get("refid", "")] for c in compound.findall("innerclass")]
        return group

    @staticmethod
    def _place(group: Group) -> int:
        """Where in the header the group stands."""
        members = [*group.functions, *group.enumerations, *group.types, *group.structs]
        places = (member.find("location") for member in members)
        return min(int(place.get("line", "0")) for place in places if place is not None)


class Page:
    """A man page in the making."""

    def __init__(self, reference: Reference, version: str, name: str, *also: str, summary: str) -> None:
        """Begin the page, which has a name and perhaps more."""
        self.reference, self.name = reference, name
        self.seen: set[str] = set()  # the pages it refers to
        moment = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))
        month, day = time.strftime("%B", moment), moment.tm_mday
        self.lines = [
            '.\\" SPDX-License-Identifier: MIT OR Apache-2.0',
            '.\\" Made from mmapguard.h; do not edit.',
            f".Dd {month} {day}, {moment.tm_year}",
            f".Dt {name.upper()} 3",
            f".Os mmapguard {version}",
            ".Sh NAME",
            *(f".Nm {other} ," for other in [name, *also][:-1]),
            f".Nm {[name, *also][-1]}",
            f".Nd {escaped(summary)}",
            ".Sh LIBRARY",
            "mmapguard (libmmapguard, \\-lmmapguard)",
            ".Sh SYNOPSIS",
            ".In mmapguard.h",
        ]

    def add(self, *lines: str) -> None:
        """Lines as they stand."""
        self.lines += lines

    # ---------------------------------------------------------------------------------------- text with names in it

    def named(self, text: str, macro: str = "") -> Iterator[Piece]:
        """Text, with the names in it recognised."""
        end = 0
        for match in _NAME.finditer(text):
            if piece := self._name(match[0]):
                yield Piece(text[end : match.start()], macro)
                yield piece
                end = match.end()
        yield Piece(text[end:], macro)

    def _name(self, name: str) -> Piece | None:
        bare = name.removesuffix("()")
        if bare in self.reference.functions:
            if bare == self.name:
                return Piece(bare, "Fn")
            self.seen.add(bare)
            return Piece(f"{bare}(3)", "Xr")
        if re.fullmatch(r"[a-z]\w*\(\d\)", name):
            return Piece(name, "Xr")
        if name.startswith("mmg_"):
            return Piece(name, "Vt")
        return Piece(name, "Dv")

    def pieces(self, element: Element) -> Iterator[Piece]:
        """What stands in a paragraph, lists excepted."""
        yield from self.named(element.text or "")
        for child in element:
            text = words(child)
            if child.tag == "computeroutput":
                yield from self._code(text)
            elif child.tag == "emphasis":
                yield Piece(text, "Em")
            elif child.tag == "bold":
                yield Piece(text, "Sy")
            elif child.tag in ("ref", "ulink"):
                yield from self.named(text)
            elif child.tag == "ndash":  # what Doxygen makes of the two hyphens of an option
                yield Piece("--")
            elif child.tag not in _BLOCKS:
                raise ValueError(f"{self.name}: no form for <{child.tag}>")
            yield from self.named(child.tail or "")

    def _code(self, text: str) -> Iterator[Piece]:
        if _NAME.fullmatch(text):
            yield from self.named(text)
        elif re.fullmatch(r"\w+(\.\w+)?", text):
            yield Piece(text, "Fa")
        else:
            yield Piece(text, "Ql")

    def text(self, element: Element | None) -> list[str]:
        """The lines of a single paragraph or of the paragraphs of a description, without what is a section."""
        lines: list[str] = []
        for paragraph in [] if element is None else element.iter("para"):
            lines += flow(self.pieces(paragraph))
        return lines

    def described(self, element: Element, more: str = "") -> list[str]:
        """What is said of a member, a constant or a macro, and `more` as sentences behind it."""
        pieces: list[Piece] = []
        for part in ("briefdescription", "detaileddescription"):
            for paragraph in element.iterfind(f"{part}//para"):
                pieces += [Piece(" "), *self.pieces(paragraph)] if pieces else self.pieces(paragraph)
        if more:
            ended = pieces and pieces[-1].text.rstrip().endswith(".")
            pieces += [Piece(" " if ended or not pieces else ". "), *self.named(more)]
        return flow(pieces)

    def paragraphs(self, element: Element | None) -> None:
        """Paragraphs and lists of a description, without what is a section of its own."""
        for paragraph in [] if element is None else element.findall("para"):
            lines = flow(self.pieces(paragraph))
            if lines:
                self.add(*([".Pp"] if not self.lines[-1].startswith((".Sh", ".Ss")) else []), *lines)
            for items in paragraph.findall("itemizedlist"):
                self.add(".Bl -bullet")
                for item in items.findall("listitem"):
                    self.add(".It", *self.text(item))
                self.add(".El")

    # -------------------------------------------------------------------------------------------------------- lists

    def tagged(self, items: Iterable[tuple[str, list[str]]]) -> None:
        """A list of terms, each a line of macros, with their explanations."""
        self.add(".Bl -tag -width Ds")
        for term, lines in items:
            self.add(f".It {term}", *lines)
        self.add(".El")

    def constants(self, values: Iterable[Element]) -> None:
        """The members of an enumeration."""
        self.tagged(
            (
                f"Dv {words(value.find('name'))} Pq {escaped(words(value.find('initializer')).removeprefix('= '))}",
                self.described(value),
            )
            for value in values
        )

    def see_also(self, names: Iterable[str]) -> None:
        """References to other pages, in the order of the alphabet."""
        names = sorted(names)
        self.add(".Sh SEE ALSO")
        self.add(*(f".Xr {name} 3" + (" ," if name != names[-1] else "") for name in names))

    def history(self, since: str) -> None:
        """The release that brought it."""
        self.add(".Sh HISTORY", f"In mmapguard since {since}.")

    def __str__(self) -> str:
        return "\n".join(self.lines) + "\n"


#: What stands in a paragraph of the XML, but not in its text.
_BLOCKS = ("parameterlist", "simplesect", "itemizedlist")


def summary_of(element: Element | None) -> str:
    """A first sentence as what follows the dash under NAME: small letter, no full stop, no second half."""
    text = re.split(r"[:;] ", words(element))[0].rstrip(".?")
    return text[:1].lower() + text[1:]


def declaration(function: Element) -> list[str]:
    """A prototype, as the SYNOPSIS wants it."""
    lines = [
        f".Ft {argument(words(function.find('type'))).strip(chr(34))}",
        f".Fo {words(function.find('name'))}",
    ]
    for parameter in function.findall("param"):
        kind, name = words(parameter.find("type")), words(parameter.find("declname"))
        lines.append(f".Fa {argument(kind + ('' if kind.endswith('*') else ' ') * bool(name) + name)}")
    return [*lines, ".Fc"]


def function_page(reference: Reference, group: Group, function: Element, version: str) -> Page:
    """The page of one function."""
    name = words(function.find("name"))
    brief, details = function.find("briefdescription"), function.find("detaileddescription")
    if brief is None or details is None or is_empty(brief):
        raise ValueError(f"{name} is not documented")
    page = Page(reference, version, name, summary=summary_of(brief))
    page.add(*declaration(function), ".Sh DESCRIPTION")
    page.paragraphs(brief)
    page.paragraphs(details)

    if described := details.findall(".//parameterlist[@kind='param']/parameteritem"):
        page.add(".Pp", "The arguments:")
        page.tagged((parameter_names(item), parameter_text(page, item)) for item in described)
    results = reference.results(name)
    returned = details.find(".//simplesect[@kind='return']")
    errors = {value: notes for value, notes in results.items() if value.startswith("MMG_E_")}
    page.add(".Sh RETURN VALUES")
    if group_of_results := reference.group_of(words(returned)):
        page.constants(group_of_results)
    elif returned is not None and not words(returned).startswith("as "):
        page.add(*page.text(returned))
    elif not results:
        page.paragraphs(brief)
    if plain := {value: notes for value, notes in results.items() if value not in errors}:
        page.tagged((f"Dv {value}", result_text(page, value, notes)) for value, notes in plain.items())
    if errors:
        page.add("Any other value is an error.", ".Sh ERRORS")
        page.tagged((f"Dv {value}", result_text(page, value, notes)) for value, notes in errors.items())

    page.add(".Sh BLOCKING, THREADS AND SIGNALS")
    notes = {words(n.find("title")): page.text(n) for n in details.findall(".//simplesect[@kind='par']")}
    if "Blocks and threads" not in notes:
        notes.setdefault("Signal safety", ["Not async\\-signal\\-safe."])
    page.tagged((f"Sy {argument(title)}", text) for title, text in notes.items())
    page.see_also({OVERVIEW, *page.seen, *(words(other.find("name")) for other in group.functions)} - {name})
    page.history(words(details.find(".//simplesect[@kind='since']")))
    return page


def parameter_names(item: Element) -> str:
    """The term for one parameter or for several that share their explanation."""
    names = [words(name) for name in item.findall("parameternamelist/parametername")]
    return " , ".join(f"Fa {name}" for name in ", ".join(names).replace(",", " ").split())


def parameter_text(page: Page, item: Element) -> list[str]:
    """What is said of a parameter, the constants that it takes included."""
    lines: list[str] = []
    for paragraph in item.findall("parameterdescription/para"):
        lines += flow(page.pieces(paragraph))
    if constants := page.reference.group_of(words(item.find("parameterdescription"))):
        lines.append(".Bl -bullet -compact")
        for constant in constants:
            lines += [".It", f".Dv {words(constant.find('name'))} :", *page.described(constant)]
        lines.append(".El")
    return lines


def result_text(page: Page, value: str, notes: list[str]) -> list[str]:
    """What is said of a value that is returned: what it means everywhere, and what it means here."""
    constant = page.reference.constants.get(value)
    if constant is None:
        return flow(page.named(". ".join(notes)))
    here = "; ".join(dict.fromkeys(note.removeprefix("also: ") for note in notes))
    return page.described(constant, f"Here: {here}" if here else "")


def overview(reference: Reference, version: str, example: str | None) -> Page:
    """The page of the library."""
    first, *rest = (reference.file.find("detaileddescription") or Element("none")).findall("para")
    page = Page(reference, version, OVERVIEW, *reference.structs, summary=summary_of(first))
    page.add(".Sh DESCRIPTION")
    about = Element("detaileddescription")
    about.extend(rest)
    page.paragraphs(about)

    page.add(".Sh CALLS")
    for group in (group for group in reference.groups if group.functions):
        page.add(f".Ss {group.title}")
        page.tagged(
            (f"Xr {words(function.find('name'))} 3", page.text(function.find("briefdescription")))
            for function in group.functions
        )
    page.add(".Sh TYPES")
    for group in reference.groups:
        plain = [kind for kind in group.types if not words(kind.find("type")).startswith("struct")]
        if plain:
            page.tagged((definition(kind), page.described(kind)) for kind in plain)
        for struct in group.structs:
            page.add(f".Ss struct {words(struct.find('compoundname'))}")
            page.paragraphs(struct.find("briefdescription"))
            page.paragraphs(struct.find("detaileddescription"))
            page.tagged((member_term(member), page.described(member)) for member in struct.iter("memberdef"))
    page.add(".Sh CONSTANTS")
    for enumeration in (enumeration for group in reference.groups for enumeration in group.enumerations):
        values = enumeration.findall("enumvalue")
        page.add(f".Ss {common_prefix([words(value.find('name')) for value in values])}")
        page.paragraphs(enumeration.find("briefdescription"))
        page.paragraphs(enumeration.find("detaileddescription"))
        page.constants(values)
    page.add(".Ss Macros")
    page.tagged((f"Dv {words(m.find('name'))}", page.described(m)) for m in reference.macros)
    if example:
        code = (escaped(line) for line in example.splitlines())
        page.add(".Sh EXAMPLES", ".Bd -literal", *code, ".Ed")
    page.see_also(reference.functions)
    page.history("1.0")
    return page


def definition(kind: Element) -> str:
    """A typedef of a number as a term."""
    return f"Vt {words(kind.find('name'))} Pq Vt {words(kind.find('type'))}"


def member_term(member: Element) -> str:
    """A member of a structure as a term."""
    kind = words(member.find("type"))
    name = words(member.find("name")) + words(member.find("argsstring"))
    return f"Fa {argument(kind + ('' if kind.endswith('*') else ' ') + name)}"


def common_prefix(names: list[str]) -> str:
    """`MMG_LOCK_*` for the constants of the locks; what begins otherwise stands before."""
    same = zip(*names, strict=False)
    prefix = names[0][: sum(1 for _ in itertools.takewhile(lambda letters: len(set(letters)) == 1, same))]
    if prefix == "MMG_":
        return f"{names[0]}, {common_prefix(names[1:])}"
    return prefix[: prefix.rindex("_") + 1] + "*" if len(names) > 1 else names[0]


def first_example(path: Path) -> str:
    """The first C program in a Markdown file. Raises ValueError when there is none."""
    match = re.search(r"^```c\n(.*?)^```$", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if match is None:
        raise ValueError(f"{path} holds no C program")
    return match[1]


def write_pages(xml: Path, version: str, example: Path | None, place: Path) -> int:
    """Write every page into the folder `place`, and tell how many."""
    reference = Reference(xml)
    pages = [overview(reference, version, first_example(example) if example else None)]
    pages += [
        function_page(reference, group, f, version) for group in reference.groups for f in group.functions
    ]
    place.mkdir(parents=True, exist_ok=True)
    for page in pages:
        (place / f"{page.name}.3").write_text(str(page), encoding="ascii")
    for name in reference.structs:
        (place / f"{name}.3").symlink_to(f"{OVERVIEW}.3")
    return len(pages)


def main() -> int:
    """Run as a program."""
    parser = argparse.ArgumentParser(description="Write the man pages from Doxygen's XML.")
    parser.add_argument("--xml", type=Path, required=True, help="the folder with Doxygen's XML")
    parser.add_argument("--version", required=True, help="the release that the pages are of")
    parser.add_argument("--example", type=Path, help="a Markdown file whose first C program is shown")
    parser.add_argument("place", type=Path, help="the folder to write into")
    chosen = parser.parse_args()
    try:
        write_pages(chosen.xml, chosen.version, chosen.example, chosen.place)
    except (OSError, ValueError, KeyError, StopIteration, ElementTree.ParseError) as problem:
        print(f"make_man.py: {problem!r}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
