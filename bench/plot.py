# SPDX-License-Identifier: MIT OR Apache-2.0
"""Draws plots as SVG: cost against size or count, both logarithmic, with one line for each contender and its name at
the end."""

from __future__ import annotations

import math
from html import escape

WIDTH, HEIGHT = 860, 460
LEFT, RIGHT, TOP, BOTTOM = 78, 210, 44, 46
OURS = "#c2185b"
COPIERS = ["#e08a00", "#b8860b", "#a0522d", "#c96a1b", "#8a6d3b", "#d2a03c"]
"""Colours of those that copy the file: yellow to brown."""
OTHERS = ["#1b6ca8", "#3a9d5d", "#6a51a3", "#008b8b", "#4a6fe3", "#556b2f", "#2f4f4f", "#17a2b8", "#7f7f7f"]
"""Colours of all others: blue to green."""
LEAST_SPAN = 20
"""The vertical axis covers at least this factor, so that a small difference looks small."""

Points = list[tuple[float, float]]


def _ticks(low: float, high: float, base: int, most: int) -> list[float]:
    """Return the powers of the base in an interval, at most so many of them."""
    first, last = math.ceil(math.log(low, base) - 1e-9), math.floor(math.log(high, base) + 1e-9)
    step = max(1, math.ceil((last - first + 1) / most))
    return [float(base) ** power for power in range(first, last + 1, step)]


def _decades(low: float, high: float) -> list[float]:
    """Return the powers of ten in an interval, with 2 and 5 of each where there are few of them."""
    powers = _ticks(low, high, 10, 8)
    if len(powers) > 3:
        return powers
    start = 10.0 ** math.floor(math.log10(low))
    steps = [start * 10**power * step for power in range(5) for step in (1, 2, 5)]
    return [tick for tick in steps if low <= tick <= high]


def _end(points: Points, x: float) -> float:
    """Return where the last part of a line would be at `x`, since a line may end before the others."""
    (x0, y0), (x1, y1) = points[-2:] if len(points) > 1 else [points[-1]] * 2
    if x1 >= x or x1 == x0:
        return y1
    slope = math.log(y1 / y0) / math.log(x1 / x0)
    return float(y1 * (x / x1) ** slope)


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
    copiers: frozenset[str] = frozenset(),
) -> str:
    """Draw the lines.

    `horizontal`: title, base of the ticks, how a tick is written; `vertical`: title, how a tick is; `copiers`: the
    names of those that copy.
    """
    # What is too short for its clock has no place on a logarithmic axis.
    lines = {name: [(x, y) for x, y in points if x > 0 and y > 0] for name, points in lines.items()}
    lines = {name: points for name, points in lines.items() if points}
    xs = [x for points in lines.values() for x, _ in points]
    ys = [y for points in lines.values() for _, y in points]
    x_low, x_high, y_low, y_high = min(xs), max(xs) * 1.0001, min(ys) / 1.25, max(ys) * 1.25
    middle = math.sqrt(y_low * y_high)
    y_low, y_high = min(y_low, middle / LEAST_SPAN**0.5), max(y_high, middle * LEAST_SPAN**0.5)
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
    for tick in _decades(y_low, y_high):
        y = y_of(tick)
        out.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#e4e4e4"/>')
        out.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{y_word(tick)}</text>')  # type: ignore[operator]
    names = list(lines)
    wanted = [max(TOP, y_of(_end(lines[name], x_high))) for name in names]
    ends = dict(zip(names, _spread(wanted, 14, TOP, HEIGHT - BOTTOM), strict=True))
    colours, copying = iter(OTHERS * 2), iter(COPIERS * 2)
    # Our line is drawn last, on top of the others.
    for name in sorted(names, key=lambda name: name == "mmapguard"):
        ours, place = name == "mmapguard", ends[name]
        if ours or name.startswith("mmapguard"):
            colour, width = OURS, 3.5 if ours else 1.4
        else:
            colour, width = next(copying if name in copiers else colours), 1.4
        path = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in lines[name])
        dash = ' stroke-dasharray="5 3"' if name.startswith("mmapguard") and not ours else ""
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>')
        end_x, end_y = x_of(lines[name][-1][0]), y_of(lines[name][-1][1])
        leader = f"M{end_x:.1f} {end_y:.1f}L{WIDTH - RIGHT + 14} {place:.1f}"
        out.append(f'<path d="{leader}" stroke="{colour}" stroke-width="0.6" stroke-dasharray="1 2"/>')
        out.append(f'<circle cx="{end_x:.1f}" cy="{end_y:.1f}" r="2" fill="{colour}"/>')
        weight = ' font-weight="bold"' if ours else ""
        out.append(
            f'<text x="{WIDTH - RIGHT + 18}" y="{place + 4:.1f}" fill="{colour}"{weight}>{escape(name)}</text>'
        )
    return "\n".join([*out, "</svg>", ""])
