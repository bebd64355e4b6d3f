"""Score counts of each group become its figures with intervals; what is too small to show stays unseen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.evaluation.agreement import agreement
from fedcredit.evaluation.grid import GRID, ScoreGrid
from fedcredit.evaluation.intervals import LEVEL, Interval
from fedcredit.evaluation.metrics import MIN_PER_CLASS
from fedcredit.evaluation.proportions import wilson
from fedcredit.evaluation.separation import separation

SMALLEST_CELL = 10  # companies


@dataclass(frozen=True)
class Slice:
    """One group. approval_rate: the share with a PD below the cutoff, None without one.

    auc: None with fewer than ten companies of either class.
    """

    name: str
    companies: int
    defaults: int
    bad_rate: Interval
    observed_expected: Interval
    auc: Interval | None
    approval_rate: Interval | None


@dataclass(frozen=True)
class Slices:
    """Groups in the order of their names; hidden: the names of those that are not shown."""

    shown: tuple[Slice, ...]
    hidden: tuple[str, ...]


def slices(
    counts: Mapping[str, ArrayLike],
    *,
    cutoff: float | None = None,
    smallest: int = SMALLEST_CELL,
    grid: ScoreGrid = GRID,
    level: float = LEVEL,
) -> Slices:
    """Figures of each group with `smallest` companies or more.

    Who knows the total could take the shown groups from it; so that what is left over is never fewer than `smallest`
    either, the smallest shown group is hidden too where it must be. A group of nobody hides nobody.

    >>> grid = ScoreGrid(bins=2)
    >>> found = slices({"N": [[30, 4], [2, 4]], "S": [[10, 2], [0, 2]], "W": [[2, 0], [0, 0]]}, grid=grid, cutoff=0.5)
    >>> found.hidden, [(s.name, s.companies, s.approval_rate.point) for s in found.shown]
    (('S', 'W'), [('N', 40, 0.8)])
    """
    tables = {name: grid.check(counts[name]) for name in sorted(counts)}
    hidden = _hidden({name: float(table.sum()) for name, table in tables.items()}, smallest=smallest)
    shown = (
        _slice(name, table, cutoff=cutoff, grid=grid, level=level)
        for name, table in tables.items()
        if name not in hidden
    )
    return Slices(tuple(shown), tuple(name for name in tables if name in hidden))


def _hidden(companies: Mapping[str, float], *, smallest: int) -> set[str]:
    rising = sorted(companies, key=lambda name: (companies[name], name))
    hidden = [name for name in rising if companies[name] < max(smallest, 1)]
    for name in rising[len(hidden) :]:
        if not 0 < sum(companies[other] for other in hidden) < smallest:
            break
        hidden.append(name)
    return set(hidden)


def _slice(name: str, table: NDArray[np.float64], *, cutoff: float | None, grid: ScoreGrid, level: float) -> Slice:
    companies, defaults = float(table.sum()), float(table[1].sum())
    agreed = agreement(table, grid=grid, level=level)
    apart = separation(table, grid=grid, level=level) if min(defaults, companies - defaults) >= MIN_PER_CLASS else None
    safe = None if cutoff is None else float(table[:, : int(grid.cuts(cutoff))].sum())
    return Slice(
        name,
        round(companies),
        round(defaults),
        wilson(defaults, companies, level=level),
        agreed.observed_expected if agreed else wilson(0, 0),
        Interval(apart.auc, apart.low, apart.high) if apart else None,
        None if safe is None else wilson(safe, companies, level=level),
    )
