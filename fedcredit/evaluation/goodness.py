"""Expected and seen defaults become one test of all PDs together: Hosmer-Lemeshow by grade, Spiegelhalter by score."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import chi2, norm

from fedcredit.evaluation.grades import GradeCounts
from fedcredit.evaluation.grid import GRID, ScoreGrid


@dataclass(frozen=True)
class ChiSquare:
    """A statistic, its degrees of freedom, and the chance of as much if the PDs are right."""

    statistic: float
    degrees: int
    p: float


@dataclass(frozen=True)
class Normal:
    """A statistic in standard deviations, and the two-sided chance of as much if the PDs are right."""

    z: float
    p: float


def hosmer_lemeshow(grades: GradeCounts, *, fitted: int = 0) -> ChiSquare | None:
    """The sum over grades of (defaults - expected)^2 / variance, as a chi-square (Hosmer and Lemeshow 1980).

    `fitted` parameters that were estimated on these very companies come off the degrees of freedom: 0 out of sample,
    2 after a logistic recalibration on them. None when nothing is left. By hand: (16 - 10)^2 / 9 + (30 - 40)^2 / 24.

    >>> found = hosmer_lemeshow(GradeCounts(("A", "B"), (100, 100), (16, 30), (0.1, 0.4)))
    >>> round(found.statistic, 6), found.degrees, round(found.p, 4)
    (8.166667, 2, 0.0169)
    """
    grades = grades.with_companies()
    degrees = len(grades.names) - fitted
    if degrees < 1:
        return None
    pd = np.asarray(grades.pd)
    statistic = float(np.sum((grades.d - grades.expected) ** 2 / (grades.n * pd * (1 - pd))))
    return ChiSquare(statistic, degrees, float(chi2.sf(statistic, degrees)))


def spiegelhalter(counts: ArrayLike, *, grid: ScoreGrid = GRID) -> Normal | None:
    """Spiegelhalter's (1986) test: how far the Brier score lies from the one that right PDs would have.

    The sum of (y - p)(1 - 2p) over the root of the sum of (1 - 2p)^2 p (1 - p). Above 0 the outcomes are worse than
    said. None without companies, or when every PD is one half. By hand for a default and two good companies of PD .1:
    (.9 - .1 - .1) * .8 / sqrt(3 * .8^2 * .1 * .9).

    >>> grid = ScoreGrid(bins=1, limit=2 * math.log(9))
    >>> spiegelhalter([[2], [1]], grid=grid) is None  # its one bin has PD .5
    True
    >>> grid = ScoreGrid(bins=2, limit=2 * math.log(9))
    >>> round(spiegelhalter([[2, 0], [1, 0]], grid=grid).z, 6), round(0.7 / (3 * 0.09) ** 0.5, 6)
    (1.347151, 1.347151)
    """
    good, bad = grid.check(counts)
    weight = 1 - 2 * grid.pd
    variance = float(np.sum((good + bad) * weight**2 * grid.pd * (1 - grid.pd)))
    if variance < 1e-24:
        return None
    z = float(np.sum(weight * (bad - (good + bad) * grid.pd))) / math.sqrt(variance)
    return Normal(z, float(2 * norm.sf(abs(z))))
