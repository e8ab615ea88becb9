# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG, by hand: panels of lines over a common x axis, and bars of ratios."""

import math
from typing import NamedTuple
from xml.sax.saxutils import escape

COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
FONT = 'font-family="sans-serif" font-size="12"'


class Series(NamedTuple):
    name: str
    points: list  # (x, y), x rising
    steps: bool = False  # y holds until the next x


class Panel(NamedTuple):
    title: str
    y_label: str
    series: list
    limit: float | None = None  # a dashed line, the most that there can be
    logarithmic: bool = False


def nice_step(span: float, count: int = 5) -> float:
    """1, 2 or 5 times a power of ten, so that `span` has about `count` of them."""
    raw = max(span, 1e-9) / count
    power = 10 ** math.floor(math.log10(raw))
    return next(power * f for f in (1, 2, 5, 10) if raw <= power * f * 1.0001)


def text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {FONT} {more}>{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, colour: str = "#ddd", more: str = "") -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {more}/>'


def document(width: float, height: float, body: list) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


class Axis:
    """Maps values from low to high to pixels from begin to end."""

    def __init__(self, low: float, high: float, begin: float, end: float, logarithmic: bool = False):
        self._log = logarithmic
        self.low, self.high = low, high if high > low else low + 1
        self._begin, self._end = begin, end

    def at(self, value: float) -> float:
        if self._log:
            low, high = math.log10(self.low), math.log10(self.high)
            share = (math.log10(max(value, self.low)) - low) / (high - low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self._begin + share * (self._end - self._begin)

    def ticks(self) -> list:
        if self._log:
            powers = range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)
            return [10.0**p for p in powers]
        step = nice_step(self.high - self.low)
        first = math.ceil(self.low / step - 1e-9)
        return [i * step for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


def y_axis(panel: Panel, bottom: float, top: float) -> Axis:
    values = [y for series in panel.series for _, y in series.points]
    values += [panel.limit] if panel.limit else []
    if panel.logarithmic:
        positive = [v for v in values if v > 0] or [1]
        low = 10 ** math.floor(math.log10(min(positive)))
        return Axis(low, max(10 ** math.ceil(math.log10(max(positive))), 10 * low), bottom, top, True)
    return Axis(0, max(values, default=1) * 1.05, bottom, top)


def path(series: Series, x: Axis, y: Axis, colour: str) -> str:
    if not series.points:
        return ""
    words, before = [], None
    for px, py in series.points:
        if before is not None and series.steps:
            words.append(f"L{x.at(px):.1f},{y.at(before):.1f}")
        words.append(f"{'M' if before is None else 'L'}{x.at(px):.1f},{y.at(py):.1f}")
        before = py
    return f'<path d="{" ".join(words)}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def draw_panel(panel: Panel, x: Axis, left: float, right: float, top: float, bottom: float) -> list:
    y = y_axis(panel, bottom, top)
    body = [text(left, top - 8, panel.title, more='font-weight="bold"')]
    for tick in y.ticks():
        body += [
            line(left, y.at(tick), right, y.at(tick)),
            text(left - 6, y.at(tick) + 4, f"{tick:g}", "end"),
        ]
    for tick in x.ticks():
        body += [
            line(x.at(tick), bottom, x.at(tick), bottom + 4, "#888"),
            text(x.at(tick), bottom + 16, f"{tick:g}", "middle"),
        ]
    body.append(
        text(
            left - 44,
            (top + bottom) / 2,
            panel.y_label,
            "middle",
            f'transform="rotate(-90 {left - 44:.1f} {(top + bottom) / 2:.1f})"',
        )
    )
    if panel.limit:
        body.append(
            line(left, y.at(panel.limit), right, y.at(panel.limit), "#888", 'stroke-dasharray="5 4"')
        )
    at = right - 8
    for series, colour in reversed([(s, c) for s, c in zip(panel.series, COLOURS) if s.points]):
        body.append(path(series, x, y, colour))
        body.append(text(at, top - 8, series.name, "end", f'fill="{colour}"'))
        at -= 7 * len(series.name) + 14
    return body + [line(left, bottom, right, bottom, "#888"), line(left, top, left, bottom, "#888")]


def panels(columns: list, x_label: str) -> str:
    """Columns of panels; the panels of a column share its x axis."""
    wide, high, left, gap = 430, 130, 70, 52
    body = []
    for i, column in enumerate(columns):
        begin = left + i * (wide + left)
        last = max((p[0] for panel in column for s in panel.series for p in s.points), default=1)
        x = Axis(0, last, begin, begin + wide)
        for j, panel in enumerate(column):
            top = 30 + j * (high + gap)
            body += draw_panel(panel, x, begin, begin + wide, top, top + high)
    rows = max(len(column) for column in columns)
    width, height = len(columns) * (wide + left) + 20, rows * (high + gap) + 40
    body.append(text(width / 2, height - 12, x_label, "middle"))
    return document(width, height, body)


class Bar(NamedTuple):
    name: str
    low: float
    middle: float
    high: float
    target: float | None
    met: bool | None


def bars(entries: list, title: str) -> str:
    """Ratios on a logarithmic axis: a bar to the median, a whisker for the range, a mark for the target."""
    left, wide, step = 430, 420, 22
    values = [v for e in entries for v in (e.low, e.middle, e.high, e.target) if v and v > 0] or [1]
    x = Axis(
        10 ** math.floor(math.log10(min(values))),
        10 ** math.ceil(math.log10(max(values) * 1.0001)),
        left,
        left + wide,
        True,
    )
    bottom = 40 + step * len(entries)
    body = [text(left, 20, title, more='font-weight="bold"')]
    for tick in x.ticks():
        body += [
            line(x.at(tick), 30, x.at(tick), bottom),
            text(x.at(tick), bottom + 16, f"{tick:g}", "middle"),
        ]
    for i, e in enumerate(entries):
        y = 36 + step * i
        colour = {True: "#2ca02c", False: "#d62728", None: "#7f7f7f"}[e.met]
        body.append(text(left - 8, y + 12, e.name, "end"))
        body.append(
            f'<rect x="{left}" y="{y}" width="{max(x.at(e.middle) - left, 1):.1f}" height="14" '
            f'fill="{colour}" fill-opacity="0.6"/>'
        )
        body.append(line(x.at(e.low), y + 7, x.at(e.high), y + 7, "black"))
        if e.target:
            body.append(
                line(x.at(e.target), y - 2, x.at(e.target), y + 16, "black", 'stroke-width="3"')
            )
    return document(left + wide + 30, bottom + 30, body)
