"""Score counts of the groups of one kind (regions, sizes) become the widest gaps between them, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike

from fedcredit.evaluation.grid import GRID, ScoreGrid
from fedcredit.evaluation.intervals import LEVEL, Interval
from fedcredit.evaluation.proportions import difference
from fedcredit.evaluation.slices import SMALLEST_CELL, Slice, Slices, slices

FIGURES: Mapping[str, Callable[[Slice], Interval | None]] = {
    "auc": lambda group: group.auc,
    "approval_rate": lambda group: group.approval_rate,
    "bad_rate": lambda group: group.bad_rate,
    "observed_expected": lambda group: group.observed_expected,
}


@dataclass(frozen=True)
class Gap:
    """The groups with the highest and the lowest of one figure, and their difference with its interval.

    The interval holds for all pairs of groups together, so that the widest of many gaps is not taken for news.
    """

    figure: str
    highest: str
    lowest: str
    difference: float
    low: float
    high: float

    @property
    def is_clear(self) -> bool:
        """Whether the gap is more than chance."""
        return self.low > 0


@dataclass(frozen=True)
class Fairness:
    """Groups of one kind with their figures, and the gap in each figure that two groups or more have."""

    by: str
    slices: Slices
    gaps: tuple[Gap, ...]

    def gap(self, figure: str) -> Gap | None:
        """The gap in `figure`, None where fewer than two groups have it."""
        return next((gap for gap in self.gaps if gap.figure == figure), None)


def fairness(
    counts: Mapping[str, ArrayLike],
    *,
    by: str,
    cutoff: float | None = None,
    smallest: int = SMALLEST_CELL,
    grid: ScoreGrid = GRID,
    level: float = LEVEL,
) -> Fairness:
    """Gaps in AUC, approval rate at a fixed `cutoff` (a PD), bad rate and seen over expected defaults.

    A gap in bad rates is the world's, one in observed / expected is the model's: it makes one group pay for another.
    Groups below `smallest` companies are not shown and have no part in a gap. The interval is Newcombe's
    square-and-add of the two groups' own, each at 1 - (1 - level) / pairs (Bonferroni).

    >>> grid = ScoreGrid(bins=2)
    >>> found = fairness({"N": [[80, 0], [0, 20]], "S": [[40, 30], [0, 30]]}, by="region", cutoff=0.5, grid=grid)
    >>> gap = found.gap("approval_rate")
    >>> gap.highest, gap.lowest, round(gap.difference, 3), gap.is_clear
    ('N', 'S', 0.4, True)
    """
    shown = slices(counts, cutoff=cutoff, smallest=smallest, grid=grid, level=level)
    pairs = max(len(shown.shown) * (len(shown.shown) - 1) // 2, 1)
    wide = slices(counts, cutoff=cutoff, smallest=smallest, grid=grid, level=1 - (1 - level) / pairs)
    gaps = (_gap(figure, wide, read) for figure, read in FIGURES.items())
    return Fairness(by, shown, tuple(gap for gap in gaps if gap is not None))


def _gap(figure: str, found: Slices, read: Callable[[Slice], Interval | None]) -> Gap | None:
    known = [(group.name, value) for group in found.shown if (value := read(group)) is not None]
    if len(known) < 2:
        return None
    (lowest, least), (highest, most) = (choose(known, key=lambda item: item[1].point) for choose in (min, max))
    return Gap(figure, highest, lowest, *difference(most, least))
