"""Score counts become figures of calibration: seen over expected defaults, slope, ECE and Brier skill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from fedcredit.evaluation.grid import GRID, ScoreGrid, equal_mass
from fedcredit.evaluation.intervals import LEVEL, Interval
from fedcredit.evaluation.logistic import line
from fedcredit.evaluation.metrics import ECE_BINS, Floats, Reliability
from fedcredit.evaluation.proportions import jeffreys


@dataclass(frozen=True)
class Agreement:
    """How well the PDs agree with what was seen.

    observed_expected: defaults over the sum of PDs; 1 when the level is right. slope and intercept: of the outcome on
    the log-odds, 1 and 0 when right; None without a finite answer. brier_skill: 1 - Brier / that of one rate for all;
    None when one class is empty.
    """

    companies: int
    defaults: int
    expected: float
    observed_expected: Interval
    slope: Interval | None
    intercept: Interval | None
    ece: float
    brier: float
    brier_skill: float | None


def agreement(
    counts: ArrayLike, *, grid: ScoreGrid = GRID, level: float = LEVEL, bins: int = ECE_BINS
) -> Agreement | None:
    """Calibration of the PDs with intervals at `level`; None without companies.

    The interval of observed / expected is Jeffreys' for the default rate over the mean PD, that of slope and intercept
    Wald's (Cox 1958). ECE is over `bins` of equal mass, as `metrics.ece` forms them. By hand: one of two of PD .1 and
    one of two of PD .9 default: 2 expected, Brier (2 * .01 + 2 * .81) / 4.

    >>> found = agreement([[1, 1], [1, 1]], grid=ScoreGrid(bins=2, limit=2 * np.log(9)))
    >>> round(found.observed_expected.point, 6), round(found.brier, 6), round(found.brier_skill, 6), round(found.ece, 6)
    (1.0, 0.41, -0.64, 0.4)
    """
    good, bad = grid.check(counts)
    total = good + bad
    companies, defaults = float(total.sum()), float(bad.sum())
    if not companies:
        return None
    expected = float(np.sum(total * grid.pd))
    per_company = companies / expected
    ratio = Interval(*(rate * per_company for rate in jeffreys(defaults, companies, level=level)))
    fitted = line(grid.log_odds, good=good, bad=bad)
    z = float(norm.ppf((1 + level) / 2))
    slope = _wald(fitted.slope, fitted.slope_error, z) if fitted else None
    intercept = _wald(fitted.intercept, fitted.intercept_error, z) if fitted else None
    found = reliability_of_counts(counts, grid=grid, bins=bins)
    ece = float(np.sum(found.rows * np.abs(found.predicted - found.observed)) / companies)
    brier = float(np.sum(good * grid.pd**2 + bad * (1 - grid.pd) ** 2) / companies)
    rate = defaults / companies
    skill = 1 - brier / (rate * (1 - rate)) if 0 < rate < 1 else None
    return Agreement(round(companies), round(defaults), expected, ratio, slope, intercept, ece, brier, skill)


def reliability_of_counts(counts: ArrayLike, *, grid: ScoreGrid = GRID, bins: int = ECE_BINS) -> Reliability:
    """Predicted and observed rates in `bins` of about equal mass; a bin of the grid is never split.

    >>> reliability_of_counts([[8, 1], [0, 1]], grid=ScoreGrid(bins=2, limit=2 * np.log(9)), bins=2).rows.tolist()
    [8.0, 2.0]
    """
    good, bad = grid.check(counts)
    total = good + bad
    used = total > 0
    which = equal_mass(total, bins=bins)[used]
    predicted, observed, rows = (_summed(which, side[used], bins) for side in (total * grid.pd, bad, total))
    full = rows > 0
    return Reliability(predicted[full] / rows[full], observed[full] / rows[full], rows[full])


def _wald(point: float, error: float, z: float) -> Interval:
    return Interval(point, point - z * error, point + z * error)


def _summed(which: NDArray[np.intp], values: Floats, bins: int) -> Floats:
    return np.bincount(which, values, bins).astype(np.float64)
