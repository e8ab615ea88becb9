# SPDX-License-Identifier: Apache-2.0
"""How a row is measured and what it says: sides taken in turns, lines of ratios, targets."""

import os
import statistics
import time
from typing import Callable, NamedTuple

import machine


class Target(NamedTuple):
    """What the ratio should be, or, with no peers to compare with, the figure itself."""

    at_least: float | None = None
    at_most: float | None = None

    def is_met(self, value: float) -> bool:
        if self.at_least is not None and value < self.at_least:
            return False
        return self.at_most is None or value <= self.at_most

    def __str__(self) -> str:
        return f">= {self.at_least:g}" if self.at_least is not None else f"<= {self.at_most:g}"


class Line(NamedTuple):
    """One line of the table: what each side came to, run by run, and what is wanted of hubvfs.

    `against` names the peers, of which the best in each turn counts; with none the figure counts
    as it is. `less` says that a smaller figure is the better one.
    """

    what: str
    unit: str
    samples: dict  # side -> figures, one a turn
    target: Target | None = None
    against: tuple = ()
    less: bool = False
    ours: str = "hubvfs"

    def ratios(self) -> list:
        mine = self.samples.get(self.ours, [])
        peers = [self.samples[name] for name in self.against if self.samples.get(name)]
        if not self.against:
            return mine
        if not peers:
            return []
        best = min if self.less else max
        turns = range(min(len(mine), *map(len, peers)))
        return [mine[i] / best(peer[i] for peer in peers) for i in turns]

    def value(self) -> float | None:
        ratios = self.ratios()
        return statistics.median(ratios) if ratios else None

    def is_met(self) -> bool | None:
        value = self.value()
        return None if value is None or self.target is None else self.target.is_met(value)


class Runs:
    """What the sides of a row came to, and which of them failed, with why."""

    def __init__(self):
        self.figures: dict = {}  # side -> figure -> values
        self.failures: dict = {}  # side -> text

    def of(self, figure: str) -> dict:
        return {side: values[figure] for side, values in self.figures.items() if figure in values}

    def all(self, side: str, figure: str) -> list:
        return self.figures.get(side, {}).get(figure, [])


def interleave(
    turns: int, sides: dict[str, Callable[[], dict]], say=lambda words: print(words, flush=True)
) -> Runs:
    """Each side once, then each in the other order, and so on, `turns` times. A side answers its
    figures by name. A peer that fails is left out from then on; where a side named hubvfs... fails,
    the row does."""
    runs = Runs()
    for turn in range(turns):
        for side, measure in list(sides.items())[:: -1 if turn % 2 else 1]:
            if side in runs.failures:
                continue
            os.sync()  # what the side before wrote is not this one's to wait for
            begin = time.monotonic()
            try:
                figures = measure()
            except machine.Failed as error:
                if side.startswith("hubvfs"):
                    raise
                runs.failures[side] = str(error)
                say(f"    {side} failed: {error}")
                continue
            shown = ", ".join(f"{k} {v:.4g}" for k, v in figures.items() if isinstance(v, (int, float)))
            say(f"    {turn + 1}/{turns} {side:14} {shown}   ({time.monotonic() - begin:.1f} s)")
            for figure, value in figures.items():
                runs.figures.setdefault(side, {}).setdefault(figure, []).append(value)
    return runs


class Row(NamedTuple):
    name: str
    title: str
    measure: Callable  # of a Bench; the row's lines


ROWS: dict[str, Row] = {}


def row(name: str, title: str):
    """Makes a function a row of the benchmark."""

    def add(function: Callable) -> Callable:
        ROWS[name] = Row(name, title, function)
        return function

    return add
