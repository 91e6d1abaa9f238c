# SPDX-License-Identifier: MIT OR Apache-2.0
"""Draws lines of the demo as an SVG that needs no font and no program of its own, for light and dark pages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape

from console import without_colour

_ESCAPE = re.compile(r"\x1b\[(\d+)m")
_WORDS = re.compile(r"\S+(?: \S+)*")
"""Text without two spaces in a row, which programs that show an SVG may draw as one."""
_CLASSES = {"1": "bold", "2": "dim", "31": "bad", "32": "good"}
"""What the codes that Console.paint() writes are called in the style below."""
_WIDTH, _HEIGHT, _MARGIN = 8.4, 19, 16
"""Of a character of 14 pixels, of a line, and around all of them."""
_STYLE = """
text { font: 14px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #24292f }
rect { fill: #f6f8fa; stroke: #d0d7de }
.bold { font-weight: bold } .dim { fill: #6e7781 } .bad { fill: #cf222e } .good { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } rect { fill: #161b22; stroke: #30363d }
  .dim { fill: #8b949e } .bad { fill: #ff7b72 } .good { fill: #3fb950 }
}
"""


def _pieces(line: str) -> Iterator[tuple[str, str]]:
    """Yield each stretch of one colour: its class, or "", and its text."""
    style = ""
    for number, part in enumerate(_ESCAPE.split(line)):
        if number % 2:
            style = _CLASSES.get(part, "")
        elif part:
            yield style, part


def svg(lines: Iterable[str], title: str) -> str:
    """Return the picture of the lines, which may hold the codes for colours that Console.paint() writes."""
    shown = list(lines)
    width = 2 * _MARGIN + _WIDTH * max((len(without_colour(line)) for line in shown), default=0)
    height = 2 * _MARGIN + _HEIGHT * len(shown)
    texts = []
    for row, line in enumerate(shown):
        column, spans = 0, []
        for style, text in _pieces(line):
            for words in _WORDS.finditer(text):
                # Each piece has its place and its length, so that a font of another width does not shift the columns.
                x, length = _MARGIN + _WIDTH * (column + words.start()), _WIDTH * len(words[0])
                kind = f' class="{style}"' if style else ""
                spans.append(
                    f'<tspan x="{x:.1f}" textLength="{length:.1f}"{kind}>{escape(words[0], quote=False)}</tspan>'
                )
            column += len(text)
        if spans:
            texts.append(f'<text y="{_MARGIN + _HEIGHT * (row + 0.75):.1f}">{"".join(spans)}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n"
        f'<rect x="0.5" y="0.5" width="{width - 1:.0f}" height="{height - 1}" rx="6"/>\n'
        + "\n".join(texts)
        + "\n</svg>\n"
    )
