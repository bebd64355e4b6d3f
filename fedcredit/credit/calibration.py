"""Counts of good and bad companies by score become the step that turns the score into a PD."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.fitting import isotonic, logistic
from fedcredit.errors import ConfigError, ModelError
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.separation import auc_of_counts
from fedcredit.evaluation.wide_bins import Bins
from fedcredit.models.calibrated import Beta, Isotonic, PriorShift, Step, Temperature, calibrate

Floats = NDArray[np.float64]
Method = Literal["temperature", "beta", "isotonic"]
METHODS: tuple[Method, ...] = get_args(Method)  # from the fewest numbers to the most
TURNED = "another model, or outcomes with 1 for a default"
LEAST = 10  # of each class; with fewer a fitted PD says more of chance than of the companies


def fit(counts: ArrayLike, *, method: Method, grid: Bins = GRID) -> Step:
    """The step of that method, fitted to counts (2, bins) of good and bad companies by score.

    Counts are integers that add across institutions, so the step is the one of the pooled companies, to the bit.
    temperature and beta are maximum likelihood (Platt 1999; Kull et al. 2017), isotonic is pool adjacent violators.
    Counts in the 16 bins of a release under noise are fitted with `grid=wide_bins(counts)`, tidied first.

    Raises:
        ModelError: too few companies of a class, no finite answer, or scores that rank backwards.
        ConfigError: another method.

    >>> counts = np.repeat([[99, 80], [1, 20]], 256, axis=1)  # 1 % bad below the middle of the grid, 20 % above
    >>> fit(counts, method="isotonic").apply(GRID.pd[[128, 384]]).round(2).tolist()
    [0.01, 0.2]
    """
    good, bad = grid.check(counts)
    for name, side in (("good", good), ("bad", bad)):
        if side.sum() < LEAST:
            hint = "wait for more outcomes, or shift to a long-run rate alone"
            found = f"{side.sum():g} {name} companies"
            raise ModelError("calibration", found=found, expected=f"{LEAST} or more", hint=hint)
    if (auc_of_counts(counts) or 0.0) <= 0.5:
        found = "scores that rank no better than chance"
        raise ModelError("calibration", found=found, expected="scores that rise", hint=TURNED)
    match method:
        case "temperature":
            slope, shift = logistic(grid.log_odds[:, None], good=good, bad=bad)
            return Temperature(1 / _rising(slope), shift)
        case "beta":
            return _beta(grid, good, bad)
        case "isotonic":
            return Isotonic(*isotonic(grid.log_odds, good=good, bad=bad))
    raise ConfigError("method", found=str(method)[:40], expected=", ".join(METHODS))


def _beta(grid: Bins, good: Floats, bad: Floats) -> Beta:
    """A slope below 0 would turn ranks around: it becomes 0 and the other is fitted again, as Kull et al. do."""
    sides = np.column_stack([np.log(grid.pd), -np.log1p(-grid.pd)])
    a, b, c = logistic(sides, good=good, bad=bad)
    if a < 0:
        b, c = logistic(sides[:, 1:], good=good, bad=bad)
        return Beta(0.0, _rising(b), c)
    if b < 0:
        a, c = logistic(sides[:, :1], good=good, bad=bad)
        return Beta(_rising(a), 0.0, c)
    return Beta(a, b, c)


def _rising(slope: float) -> float:
    if slope < 0.01:
        raise ModelError("calibration", found=f"a slope of {slope:.3g}", expected="scores that rise", hint=TURNED)
    return slope


def to_long_run(counts: ArrayLike, *, long_run_rate: float, grid: Bins = GRID) -> PriorShift:
    """The shift from the default rate of the counts that a step was fitted to, to the long-run rate.

    Raises:
        ModelError: a rate of 0 or 1.

    >>> from fedcredit.evaluation.grid import ScoreGrid
    >>> to_long_run([[8], [2]], long_run_rate=0.1, grid=ScoreGrid(bins=1))
    PriorShift(from_rate=0.2, to_rate=0.1)
    """
    good, bad = grid.check(counts)
    return PriorShift(float(bad.sum() / max(good.sum() + bad.sum(), 1.0)), long_run_rate)


@dataclass(frozen=True)
class Choice:
    """The method chosen, and the mean log loss of each on companies that it was not fitted to."""

    method: Method
    losses: dict[Method, float]


def choose(folds: Sequence[ArrayLike], *, methods: Sequence[Method] = METHODS, grid: Bins = GRID) -> Choice:
    """The simplest method within one standard error of the best in cross-validation over counts of folds.

    Each institution counts its companies by fold, so this federates too. A company belongs to one fold.

    Raises:
        ModelError: fewer than two folds, or no method that can be fitted to all of them.
    """
    parts = [grid.check(one) for one in folds]
    if len(parts) < 2 or not all(part.sum() for part in parts):
        raise ModelError("calibration, folds", found=f"{len(parts)}, or an empty one", expected="two or more, filled")
    total = np.sum(parts, axis=0)
    losses: dict[Method, Floats] = {}
    for method in methods:
        try:
            steps = [fit(total - part, method=method, grid=grid) for part in parts]
        except ModelError:
            continue  # a method that these few companies cannot carry
        losses[method] = np.array([log_loss(part, [step], grid=grid) for part, step in zip(parts, steps, strict=True)])
    if not losses:
        found = "none that fits"
        raise ModelError("calibration, methods", found=found, expected="one", hint="wait for more outcomes")
    best = min(losses, key=lambda method: float(losses[method].mean()))
    for method in (name for name in METHODS if name in losses):
        more = losses[method] - losses[best]
        if more.mean() <= more.std(ddof=1) / np.sqrt(len(parts)):
            best = method
            break
    return Choice(best, {method: float(found.mean()) for method, found in losses.items()})


def log_loss(counts: ArrayLike, steps: Sequence[Step], *, grid: Bins = GRID) -> float:
    """Mean negative log-likelihood of the outcomes under the PDs after the steps; NaN without companies.

    >>> from fedcredit.evaluation.grid import ScoreGrid
    >>> round(log_loss([[1, 0], [0, 1]], [], grid=ScoreGrid(bins=2, limit=2 * np.log(9))), 4)
    0.1054
    """
    good, bad = grid.check(counts)
    p = np.clip(calibrate(grid.pd, steps), 1e-12, 1 - 1e-12)
    total = good.sum() + bad.sum()
    return float(-(good * np.log1p(-p) + bad * np.log(p)).sum() / total) if total else float("nan")
