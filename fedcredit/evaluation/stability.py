"""Two distributions of counts become how far the population has moved: PSI of the score, CSI of each indicator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from fedcredit.errors import TableError
from fedcredit.evaluation.grid import equal_mass

STEADY, MOVED = 0.10, 0.25  # the usual reading of a PSI
SCORE_BINS = 10
EMPTY = 0.5  # companies that an empty bin counts as, where the other side has some


@dataclass(frozen=True)
class Stability:
    """by_chance: what two samples of one population stay below 19 times of 20; a PSI under it says nothing."""

    psi: float
    by_chance: float
    bins: int

    @property
    def verdict(self) -> Literal["steady", "some change", "moved"]:
        if self.psi < STEADY:
            return "steady"
        return "some change" if self.psi <= MOVED else "moved"


def psi(expected: ArrayLike, actual: ArrayLike) -> float:
    """Population stability index between the counts of two samples in the same bins.

    The sum of (a - e) ln(a / e) over the bins' shares: below .10 the population is steady, above .25 it has moved. A
    bin empty on both sides says nothing, one that is empty on one side counts as half a company there.
    By hand: -.25 ln .5 + .25 ln 1.5 = .25 ln 3.

    >>> psi([10, 20, 70], [10, 20, 70])
    0.0
    >>> round(psi([50, 50], [25, 75]), 6), round(0.25 * float(np.log(3)), 6)
    (0.274653, 0.274653)
    """
    before, after = (_counted(side) for side in (expected, actual))
    if before.shape != after.shape:
        raise TableError("psi", found=f"{len(before)} and {len(after)} bins", expected="the same bins on both sides")
    used = (before > 0) | (after > 0)
    e, a = (np.where(side[used] > 0, side[used], EMPTY) for side in (before, after))
    e, a = e / e.sum(), a / a.sum()
    return float(np.sum((a - e) * np.log(a / e)))


def stability(expected: ArrayLike, actual: ArrayLike) -> Stability:
    """PSI with what chance alone makes of it: chi-square over bins - 1, times 1/n + 1/m (Yurdakul and Naranjo 2020).

    >>> found = stability([50, 50], [25, 75])
    >>> round(found.psi, 3), round(found.by_chance, 3), found.verdict
    (0.275, 0.077, 'moved')
    """
    value = psi(expected, actual)
    before, after = np.asarray(expected), np.asarray(actual)
    bins = int(np.count_nonzero(before + after))
    chance = chi2.ppf(0.95, max(bins - 1, 1)) * (1 / before.sum() + 1 / after.sum())
    return Stability(value, float(chance), bins)


def score_stability(expected: ArrayLike, actual: ArrayLike, *, bins: int = SCORE_BINS) -> Stability:
    """PSI of the score, from counts on the grid: (bins,), or (2, bins) of good and bad, of which none need be known.

    The fine bins are joined to about ten that hold the same share of the expected sample.

    >>> score_stability([1, 1, 2, 0], [[0, 1, 1, 1], [0, 0, 0, 1]], bins=2).bins
    2
    """
    before, after = (np.asarray(side) for side in (expected, actual))
    before, after = (side.sum(axis=0) if side.ndim == 2 else side for side in (before, after))
    which = equal_mass(before, bins=bins)
    if before.shape != after.shape:
        raise TableError("psi", found=f"grids of {before.size} and {after.size} bins", expected="one grid")
    return stability(*(np.bincount(which, _counted(side), bins) for side in (before, after)))


def indicator_counts(values: ArrayLike, edges: ArrayLike) -> NDArray[np.int64]:
    """Companies by an indicator's value between fixed public `edges`, below and above them, and missing (last).

    >>> indicator_counts([0.2, 0.7, 5.0, float("nan")], [0.0, 0.5, 1.0]).tolist()
    [0, 1, 1, 1, 1]
    """
    value, cuts = np.asarray(values, dtype=np.float64), np.asarray(edges, dtype=np.float64)
    if cuts.ndim != 1 or not cuts.size or not bool((np.diff(cuts) > 0).all()):
        raise TableError("indicator counts, edges", found="edges that do not rise", expected="one rising list")
    missing = np.isnan(value)
    place = np.where(missing, cuts.size + 1, np.searchsorted(cuts, value, side="right"))
    return np.bincount(place, minlength=cuts.size + 2).astype(np.int64)


def csi(expected: Mapping[str, ArrayLike], actual: Mapping[str, ArrayLike]) -> dict[str, Stability]:
    """Characteristic stability: the PSI of each indicator's counts, the one that moved most first.

    >>> list(csi({"debt": [5, 5], "sales": [9, 1]}, {"debt": [5, 5], "sales": [1, 9]}))
    ['sales', 'debt']
    """
    if expected.keys() != actual.keys():
        odd = sorted(set(expected) ^ set(actual))
        raise TableError("csi", found=f"indicators on one side only: {', '.join(odd)}", expected="the same indicators")
    found = {name: stability(expected[name], actual[name]) for name in expected}
    return dict(sorted(found.items(), key=lambda item: -item[1].psi))


def _counted(side: ArrayLike) -> NDArray[np.float64]:
    count = np.asarray(side, dtype=np.float64)
    if count.ndim != 1 or not bool((np.isfinite(count) & (count >= 0)).all()) or not count.sum():
        raise TableError("psi", found="no companies, or an entry that is no count", expected="a list of counts")
    return count
