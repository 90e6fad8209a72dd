# Copyright (c) 2026, Archipel contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same work done in several ways, in turn and repeatedly, and what one way takes of the other's time.

Seconds are of this machine and this hour; the ratios of one round, in which all ways met the same load, are what
lasts.
"""

from __future__ import annotations

import collections
import dataclasses
import statistics
import sys
import time
import typing as t


@dataclasses.dataclass(frozen=True)
class Figure:
    """What is measured; the less the better."""

    what: str
    unit: str


@dataclasses.dataclass(frozen=True)
class Way:
    """``run`` does the work once and leaves all as it found it. Every way is compared with each ``yardstick``."""

    name: str
    run: t.Callable[[], t.Mapping[Figure, float]]
    yardstick: bool = False


@dataclasses.dataclass(frozen=True)
class Spread:
    """Of some rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, figures: t.Sequence[float]) -> Spread:
        return cls(statistics.median(figures), min(figures), max(figures))


@dataclasses.dataclass(frozen=True)
class Table:
    """One figure of several ways: of each its spread, and its ratios to those of the yardsticks, in their order."""

    figure: Figure
    yardsticks: list[str]
    rows: list[tuple[str, Spread, list[Spread]]]


def compare(ways: t.Sequence[Way], rounds: int) -> list[Table]:
    """A table for each figure; every other round goes through the ways backwards, so that none is always first."""
    found: dict[Figure, dict[str, list[float]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    for number in range(rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            print(f"  round {number + 1} of {rounds}: {way.name}", file=sys.stderr, flush=True)
            for figure, value in way.run().items():
                found[figure][way.name].append(value)
    yardsticks = [way.name for way in ways if way.yardstick]
    return [_table(figure, yardsticks, values) for figure, values in found.items()]


def _table(figure: Figure, yardsticks: list[str], values: t.Mapping[str, t.Sequence[float]]) -> Table:
    def ratio(mine: t.Sequence[float], its: t.Sequence[float]) -> Spread:
        return Spread.of([one / other for one, other in zip(mine, its, strict=True)])

    # In the order of the ways, also where the last round went backwards: the first one put the names there.
    return Table(
        figure,
        yardsticks,
        [(name, Spread.of(mine), [ratio(mine, values[its]) for its in yardsticks]) for name, mine in values.items()],
    )


def seconds(work: t.Callable[[], t.Any]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
