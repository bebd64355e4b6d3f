"""Score counts of each period become the figures out of time, beside those of the period the model was made in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike

from fedcredit.evaluation.grid import GRID, ScoreGrid
from fedcredit.evaluation.intervals import LEVEL, Interval
from fedcredit.evaluation.proportions import difference
from fedcredit.evaluation.slices import SMALLEST_CELL, Slice, slices
from fedcredit.evaluation.stability import Stability, score_stability


@dataclass(frozen=True)
class Period:
    """One period: its figures, how far its scores have moved from the base, and what the AUC has changed since."""

    figures: Slice
    stability: Stability
    auc_change: Interval | None


@dataclass(frozen=True)
class OutOfTime:
    """Periods in the order of their names after `base`; hidden: those with too few companies to show."""

    base: Slice | None
    periods: tuple[Period, ...]
    hidden: tuple[str, ...]

    @property
    def worst_auc(self) -> Period | None:
        """The period with the lowest AUC."""
        known = [period for period in self.periods if period.figures.auc is not None]
        return min(known, key=lambda period: period.figures.auc.point if period.figures.auc else 1.0, default=None)


def out_of_time(
    counts: Mapping[str, ArrayLike],
    *,
    base: str | None = None,
    cutoff: float | None = None,
    smallest: int = SMALLEST_CELL,
    grid: ScoreGrid = GRID,
    level: float = LEVEL,
) -> OutOfTime:
    """Figures by period beside the `base` period (the first by name unless named).

    >>> years = {"2019": [[60, 10], [10, 20]], "2020": [[50, 20], [15, 15]]}
    >>> found = out_of_time(years, grid=ScoreGrid(bins=2))
    >>> [(p.figures.name, round(p.auc_change.point, 3), p.stability.verdict) for p in found.periods]
    [('2020', -0.155, 'steady')]
    """
    start = base if base is not None else min(counts, default="")
    found = slices(counts, cutoff=cutoff, smallest=smallest, grid=grid, level=level)
    first = next((each for each in found.shown if each.name == start), None)
    periods = tuple(
        Period(
            each,
            score_stability(grid.check(counts[start]), grid.check(counts[each.name])),
            difference(each.auc, first.auc) if first and first.auc and each.auc else None,
        )
        for each in found.shown
        if each.name != start
    )
    return OutOfTime(first, periods if first else (), found.hidden)
