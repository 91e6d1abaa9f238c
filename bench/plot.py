# SPDX-License-Identifier: MIT OR Apache-2.0
"""Draws plots as SVG: cost against size or count, both logarithmic, with one line for each contender and its name at
the end."""

from __future__ import annotations

import math
from html import escape

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 78, 210, 44, 46
OURS = "#c2185b"
OTHERS = [
    "#1b6ca8",
    "#3a9d5d",
    "#8a6d3b",
    "#6a51a3",
    "#008b8b",
    "#b8860b",
    "#7f7f7f",
    "#4a6fe3",
    "#2f4f4f",
    "#a0522d",
    "#556b2f",
    "#9467bd",
    "#17becf",
    "#bcbd22",
]

Points = list[tuple[float, float]]


def _ticks(low: float, high: float, base: int, most: int) -> list[float]:
    """Return the powers of the base in an interval, at most so many of them."""
    first, last = math.ceil(math.log(low, base) - 1e-9), math.floor(math.log(high, base) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / most))
    return [float(base) ** power for power in range(first, last + 1, step)]


def _spread(wanted: list[float], gap: float, low: float, high: float) -> list[float]:
    """Return places for labels near where they are wanted, none closer to the next than the gap."""
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    places, at = list(wanted), low
    for index in order:
        places[index] = at = max(wanted[index], at)
        at += gap
    excess = max(0.0, at - gap - high)
    if excess:
        ceiling = high
        for index in reversed(order):
            places[index] = ceiling = min(places[index], ceiling)
            ceiling -= gap
    return places


def plot(
    title: str,
    lines: dict[str, Points],
    horizontal: tuple[str, int, object],
    vertical: tuple[str, object],
) -> str:
    """Draw the lines. `horizontal`: title, base of the ticks, how a tick is written; `vertical`: title, how a tick is."""
    lines = {name: points for name, points in lines.items() if points}
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x_low, x_high, y_low, y_high = min(xs), max(xs) * 1.0001, min(ys) / 1.25, max(ys) * 1.25
    x_title, x_base, x_word = horizontal
    y_title, y_word = vertical

    def x_of(x: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / x_low) / math.log(x_high / x_low)

    def y_of(y: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(y / y_low) / math.log(y_high / y_low)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_title)}</text>',
        f'<text x="16" y="{HEIGHT / 2:.0f}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2:.0f})">{escape(y_title)}</text>',
    ]
    for tick in _ticks(x_low, x_high, x_base, 10):
        x = x_of(tick)
        out.append(f'<path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>')
        out.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{x_word(tick)}</text>'  # type: ignore[operator]
        )
    for tick in _ticks(y_low, y_high, 10, 8):
        y = y_of(tick)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{y_word(tick)}</text>')  # type: ignore[operator]
    names = list(lines)
    ends = _spread([y_of(lines[name][-1][1]) for name in names], 14, TOP, HEIGHT - BOTTOM)
    colours = iter(OTHERS * 2)
    for name, place in zip(names, ends, strict=True):
        ours = name == "mmapguard"
        colour, width = (OURS, 3.5) if ours else (next(colours), 1.4)
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in lines[name])
        dash = ' stroke-dasharray="5 3"' if name.startswith("mmapguard") and not ours else ""
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')
        end_x, end_y = x_of(lines[name][-1][0]), y_of(lines[name][-1][1])
        out.append(
            f'<path d="M{end_x:.1f} {end_y:.1f}L{WIDTH - RIGHT + 14} {place:.1f}" stroke="{colour}" stroke-width="0.6"/>'
        )
        weight = ' font-weight="bold"' if ours else ""
        out.append(
            f'<text x="{WIDTH - RIGHT + 18}" y="{place + 4:.1f}" fill="{colour}"{weight}>{escape(name)}</text>'
        )
    return "\n".join([*out, "</svg>", ""])
