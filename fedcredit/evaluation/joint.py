"""Scores of two models for the same companies become joint counts, and the counts how much better one ranks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from fedcredit.errors import TableError
from fedcredit.evaluation.grid import ScoreGrid
from fedcredit.evaluation.intervals import LEVEL, Interval
from fedcredit.evaluation.separation import auc_of_counts

JOINT_GRID = ScoreGrid(bins=64)  # of each model; the pairs have 4,096 cells for each class


def joint_counts(
    first: ArrayLike, second: ArrayLike, y: ArrayLike, *, grid: ScoreGrid = JOINT_GRID
) -> NDArray[np.int64]:
    """Counts (2, bins, bins) of good and bad companies by the score of the first and of the second model.

    Most of their cells hold nobody or one company: they are for a masked sum that is exact, not for the open.

    >>> joint_counts([0.1, 0.9], [0.9, 0.9], [0, 1], grid=ScoreGrid(bins=2)).tolist()
    [[[0, 1], [0, 0]], [[0, 0], [0, 1]]]
    """
    outcome = np.atleast_1d(np.asarray(y))
    places = [np.atleast_1d(grid.place(p)) for p in (first, second)]
    if any(place.shape != outcome.shape or place.ndim != 1 for place in places):
        raise TableError("joint counts", found="lists of different lengths", expected="two scores and an outcome each")
    if not bool(((outcome == 0) | (outcome == 1)).all()):
        raise TableError("outcomes", found="a number other than 0 and 1", expected="0 for good, 1 for default")
    cells = (outcome.astype(np.int64) * grid.bins + places[0]) * grid.bins + places[1]
    return np.bincount(cells, minlength=2 * grid.bins**2).reshape(2, grid.bins, grid.bins).astype(np.int64)


def paired_auc(counts: ArrayLike, *, level: float = LEVEL) -> Interval | None:
    """AUC of the first model minus that of the second, with DeLong's (1988) paired interval; None without a class.

    What one company adds to either AUC depends on its two bins alone, so their variance and covariance are sums over
    the joint counts. It equals `delong.paired_difference` on the counted scores.

    >>> same = joint_counts([0.1, 0.2, 0.3, 0.9], [0.1, 0.2, 0.3, 0.9], [0, 1, 0, 1])
    >>> paired_auc(same)
    Interval(point=0.0, low=0.0, high=0.0)
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 3 or table.shape[0] != 2 or not bool((np.isfinite(table) & (table >= 0)).all()):
        raise TableError("joint counts", found=f"shape {table.shape}", expected="counts (2, bins, bins), 0 or more")
    by_first, by_second = table.sum(axis=2), table.sum(axis=1)
    first, second = auc_of_counts(by_first), auc_of_counts(by_second)
    if first is None or second is None:
        return None
    variance = 0.0
    for side, (one, other) in enumerate(zip(_placements(by_first), _placements(by_second), strict=True)):
        group = table[1 - side]  # placements of bad companies come first
        total = group.sum()
        apart = (one - first)[:, None] - (other - second)[None, :]
        variance += float((group * apart**2).sum() / (total - 1) / total) if total > 1 else float("nan")
    half = float(norm.ppf((1 + level) / 2)) * float(np.sqrt(variance))
    return Interval(first - second, first - second - half, first - second + half)


def _placements(counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    good, bad = counts
    return (np.cumsum(good) - good / 2) / good.sum(), 1 - (np.cumsum(bad) - bad / 2) / bad.sum()
