"""Good and bad companies at each score become the logistic regression of default on it, with its errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
NEWTON_STEPS = 200
TOLERANCE = 1e-10  # of the step, in standardised coefficients
FARTHEST = 60.0  # a standardised coefficient beyond is running away: the scores separate the classes
ENOUGH = 1e-4  # Armijo: the share of the promised rise that a step must bring


@dataclass(frozen=True)
class Fit:
    """Coefficients of the columns, then the intercept, and their standard errors."""

    coefficients: Floats
    errors: Floats


@dataclass(frozen=True)
class Line:
    """logit P(bad) = intercept + slope * z, with the standard errors of both."""

    slope: float
    intercept: float
    slope_error: float
    intercept_error: float


def fit(x: Floats, *, good: Floats, bad: Floats) -> Fit | None:
    """The maximum-likelihood fit to `good` and `bad` companies (numbers of them) at each row of x (n, columns).

    None when it has no finite answer: one class, a column without spread, or scores that separate the classes. Errors
    come from the expected information. Rows one by one and the same rows counted by score have the same likelihood.

    >>> good, bad = np.array([3.0, 1.0]), np.array([1.0, 1.0])
    >>> found = fit(np.array([[0.0], [1.0]]), good=good, bad=bad)
    >>> found is not None and found.coefficients.round(6).tolist()  # odds 1/3, then 1
    [1.098612, -1.098612]
    """
    used = (good + bad) > 0
    good, bad, x = good[used], bad[used], x[used]
    total = good + bad
    if not good.sum() or not bad.sum():
        return None
    center = np.average(x, axis=0, weights=total)
    spread = np.sqrt(np.average((x - center) ** 2, axis=0, weights=total))
    if not (spread > 1e-9).all():
        return None
    design = np.column_stack([(x - center) / spread, np.ones(len(x))])
    found = np.zeros(design.shape[1])
    found[-1] = logit(bad.sum() / total.sum())
    for _ in range(NEWTON_STEPS):
        fitted = expit(design @ found)
        gradient = design.T @ (bad - total * fitted)
        hessian = (design * (total * fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(hessian + 1e-12 * np.trace(hessian) * np.eye(len(found)) + 1e-300, gradient)
        if np.abs(step).max() < TOLERANCE and np.abs(gradient).max() < 1e-6 * max(1.0, float(total.sum())):
            return _on_x(found, hessian, center, spread)
        found = _uphill(found, step, gradient, design=design, bad=bad, total=total)
        if np.abs(found).max() > FARTHEST:
            break
    return None


def line(z: Floats, *, good: Floats, bad: Floats) -> Line | None:
    """The line through `good` and `bad` companies at each z; None when it has no finite answer.

    >>> two_points = line(np.array([0.0, 1.0]), good=np.array([3.0, 1.0]), bad=np.array([1.0, 1.0]))
    >>> two_points is not None and (round(two_points.intercept, 6), round(two_points.slope, 6))
    (-1.098612, 1.098612)
    """
    if not good.sum() or not bad.sum() or _separates(z, good, bad):
        return None
    found = fit(z[:, None], good=good, bad=bad)
    if found is None:
        return None
    (slope, intercept), (slope_error, intercept_error) = found.coefficients.tolist(), found.errors.tolist()
    return Line(slope, intercept, slope_error, intercept_error)


def _on_x(found: Floats, hessian: Floats, center: Floats, spread: Floats) -> Fit:
    """From standardised columns to those that were given."""
    back = np.diag(np.append(1 / spread, 1.0))
    back[-1, :-1] = -center / spread
    return Fit(back @ found, np.sqrt(np.diag(back @ np.linalg.inv(hessian) @ back.T)))


def _uphill(found: Floats, step: Floats, gradient: Floats, *, design: Floats, bad: Floats, total: Floats) -> Floats:
    """The coefficients after the step, or after the half, quarter ... of it that raises the likelihood.

    A full Newton step can cycle around the maximum when the columns are nearly alike; the likelihood is concave, so
    that steps that raise it end there.
    """

    def likelihood(at: Floats) -> float:
        odds = design @ at
        return float((bad * odds - total * np.logaddexp(0, odds)).sum())

    before, rise, part = likelihood(found), ENOUGH * float(gradient @ step), 1.0
    while part > 1e-12 and likelihood(found + part * step) < before + part * rise - 1e-12 * abs(before):
        part /= 2
    return np.asarray(found + part * step)


def _separates(z: Floats, good: Floats, bad: Floats) -> bool:
    above, below = z[bad > 0], z[good > 0]
    return bool(above.min() >= below.max() or below.min() >= above.max())
