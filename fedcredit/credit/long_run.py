"""Default rates by period, or scores without outcomes, become the rate that PDs are calibrated to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import ModelError
from fedcredit.evaluation.grid import GRID, ScoreGrid
from fedcredit.models.calibrated import LIMIT, PriorShift, Step, calibrate, expit, logit

Floats = NDArray[np.float64]
STEPS = 10_000
TOLERANCE = 1e-12
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Period:
    """Companies that were live at the start of a period (a year), and those of them that defaulted in it."""

    name: str
    companies: int
    defaults: int

    @property
    def rate(self) -> float:
        """Share of the companies that defaulted."""
        return self.defaults / self.companies


def long_run_rate(periods: Sequence[Period]) -> float:
    """The mean of the periods' default rates, each period counting once (EBA GL/2017/16; CRR article 180).

    Weighting by companies would let the years of growth, which are the good ones, speak loudest.

    Raises:
        ModelError: no period, or one without companies.

    >>> long_run_rate([Period("2008", 100, 4), Period("2009", 300, 6)])
    0.03
    """
    for period in periods:
        if not 0 <= period.defaults <= period.companies or period.companies < 1:
            found = f"{period.defaults} defaults of {period.companies} companies"
            raise ModelError(f"period {period.name}", found=found, expected="companies, and no more defaults than them")
    if not periods:
        raise ModelError("long-run rate", found="no period", expected="one or more")
    return float(np.mean([period.rate for period in periods]))


@dataclass(frozen=True)
class Estimate:
    """A default rate without outcomes: the likeliest, its 95 % interval from sampling alone, and the steps it took."""

    rate: float
    low: float
    high: float
    steps: int


def estimate_rate(scores: ArrayLike, *, steps: Sequence[Step], from_rate: float, grid: ScoreGrid = GRID) -> Estimate:
    """The default rate of companies whose scores (bins,) are counted and whose outcomes are not known.

    Expectation-maximisation of Saerens, Latinne and Decaestecker (2002): the mean PD becomes the next rate. `steps`
    calibrate the score where the rate was `from_rate`. It assumes that good companies score as they did there, and bad
    ones too, with only their shares changed; where the scores of the good have moved, the estimate is wrong by an
    amount that the interval does not show. Scores add across institutions as counts do.

    Raises:
        ModelError: no companies, a rate of 0 or 1, or no convergence.

    >>> grid = ScoreGrid(bins=2, limit=2 * np.log(9))
    >>> round(estimate_rate([80, 20], steps=[], from_rate=0.5, grid=grid).rate, 4)  # 1 in 8 of .1/.9 above .1
    0.125
    """
    n = _scores(scores, grid)
    if not 0 < from_rate < 1:
        raise ModelError("from_rate", found=str(from_rate), expected="a rate between 0 and 1")
    p = calibrate(grid.pd, steps)
    bad, good = p / from_rate, (1 - p) / (1 - from_rate)
    rate = from_rate
    for step in range(1, STEPS + 1):
        share = rate * bad / (rate * bad + (1 - rate) * good)
        before, rate = rate, float((n * share).sum() / n.sum())
        if abs(rate - before) < TOLERANCE * max(rate, TOLERANCE):
            information = float((n * ((bad - good) / (rate * bad + (1 - rate) * good)) ** 2).sum())
            error = Z95 / np.sqrt(information)
            return Estimate(rate, max(0.0, float(rate - error)), min(1.0, float(rate + error)), step)
    raise ModelError(
        "default rate", found=f"no convergence in {STEPS} steps", expected="scores that tell classes apart"
    )


def anchor(scores: ArrayLike, *, steps: Sequence[Step], rate: float, grid: ScoreGrid = GRID) -> PriorShift:
    """The shift after which the mean PD of companies whose scores (bins,) are counted is the rate.

    The way a bank sets a rating system's central tendency (EBA GL/2017/16). A plain prior shift trusts that good
    and bad companies score as they did where the steps were fitted, and misses the rate where they do not; this holds
    the level whatever the scores did, and needs no outcomes. The level is then as right as the rate is.

    Raises:
        ModelError: no companies, or a rate of 0 or 1.

    >>> grid = ScoreGrid(bins=2, limit=2 * np.log(9))
    >>> shift = anchor([80, 20], steps=[], rate=0.1, grid=grid)
    >>> p = shift.apply(grid.pd)
    >>> round(float(p @ [80, 20]) / 100, 6)
    0.1
    """
    n = _scores(scores, grid)
    PriorShift(0.5, rate)  # refuses a rate of 0 or 1
    p = calibrate(grid.pd, steps)
    low, high = -LIMIT / 2, LIMIT / 2  # log of what the odds are multiplied by
    for _ in range(200):
        middle = (low + high) / 2
        mean = float((n * expit(logit(p) + middle)).sum() / n.sum())
        low, high = (middle, high) if mean < rate else (low, middle)
    return PriorShift(float(expit(logit(rate) - (low + high) / 2)), rate)


def _scores(scores: ArrayLike, grid: ScoreGrid) -> Floats:
    n = np.asarray(scores, dtype=np.float64)
    if n.shape != (grid.bins,) or not bool((np.isfinite(n) & (n >= 0)).all()) or not n.sum():
        raise ModelError("scores", found="other than counts of some companies", expected=f"{grid.bins} counts")
    return n


def through_the_cycle(pd: ArrayLike, *, period_rate: float, long_run: float) -> Floats:
    """Point-in-time PDs of a period whose rate was `period_rate`, as they would be in a period of the long-run rate.

    Odds are multiplied by the ratio of the two rates' odds: ranks stay. A grade for limits and capital is of this PD;
    provisions (IFRS 9) and early warning use the point-in-time one.

    >>> through_the_cycle([0.2], period_rate=0.2, long_run=0.1).round(4).tolist()
    [0.1]
    """
    return PriorShift(period_rate, long_run).apply(pd)


def point_in_time(pd: ArrayLike, *, long_run: float, period_rate: float) -> Floats:
    """The inverse of `through_the_cycle`: PDs of the long run as they are in a period of that rate.

    >>> point_in_time(through_the_cycle([0.04], period_rate=0.02, long_run=0.03), long_run=0.03, period_rate=0.02)
    array([0.04])
    """
    return PriorShift(long_run, period_rate).apply(pd)
