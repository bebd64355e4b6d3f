"""Good and bad companies at each score become a logistic line through their log-odds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

NEWTON_STEPS = 100


@dataclass(frozen=True)
class Line:
    """logit P(bad) = intercept + slope * z, with the standard errors of both."""

    slope: float
    intercept: float
    slope_error: float
    intercept_error: float


def line(z: NDArray[np.float64], *, good: NDArray[np.float64], bad: NDArray[np.float64]) -> Line | None:
    """The maximum-likelihood line through `good` and `bad` companies (numbers of them) at each z.

    None when it has no finite answer: one class, one score, or scores that separate the classes. The errors come from
    the expected information. Rows one by one and the same rows counted by score have the same likelihood.

    >>> two_points = line(np.array([0.0, 1.0]), good=np.array([3.0, 1.0]), bad=np.array([1.0, 1.0]))
    >>> two_points is not None and (round(two_points.intercept, 6), round(two_points.slope, 6))
    (-1.098612, 1.098612)
    """
    total = good + bad
    if not good.sum() or not bad.sum() or np.ptp(z[total > 0]) < 1e-9 or _separates(z, good, bad):
        return None
    center = np.average(z, weights=total)
    spread = np.sqrt(np.average((z - center) ** 2, weights=total))
    design = np.column_stack([np.ones_like(z), (z - center) / spread])
    beta = np.array([logit(bad.sum() / total.sum()), 0.0])
    for _ in range(NEWTON_STEPS):
        fitted = expit(design @ beta)
        hessian = (design * (total * fitted * (1 - fitted))[:, None]).T @ design
        step = np.linalg.solve(hessian + 1e-12 * np.eye(2), design.T @ (bad - total * fitted))
        # A step of at most 2 standard deviations keeps Newton from overshooting on few defaults.
        beta = beta + step * min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-300))
        if float(np.abs(step).max()) < 1e-10:
            back = np.array([[0.0, 1 / spread], [1.0, -center / spread]])  # to slope and intercept on z itself
            errors = np.sqrt(np.diag(back @ np.linalg.inv(hessian) @ back.T))
            slope, intercept = back @ beta
            return Line(float(slope), float(intercept), float(errors[0]), float(errors[1]))
    return None


def _separates(z: NDArray[np.float64], good: NDArray[np.float64], bad: NDArray[np.float64]) -> bool:
    above, below = z[bad > 0], z[good > 0]
    return bool(above.min() >= below.max() or below.min() >= above.max())
