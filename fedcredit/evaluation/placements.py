"""Placements, the share of the other class above which a company ranks, become standard error and ends of an AUC."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit, ndtri

from fedcredit.evaluation.intervals import LEVEL
from fedcredit.evaluation.metrics import Floats


def auc_ends(point: float, *, error: float, smaller: int, level: float = LEVEL) -> tuple[float, float]:
    """The ends of an AUC's interval, from its standard error and the size of the smaller class."""
    if not 0 < point < 1:
        far = float(((1 - level) / 2) ** (1 / smaller))
        return (far, 1.0) if point == 1 else (0.0, 1 - far)
    half = float(ndtri((1 + level) / 2)) * error / (point * (1 - point))
    return float(expit(logit(point) - half)), float(expit(logit(point) + half))


def placements_error(above: Floats, bad: Floats, below: Floats, good: Floats) -> float:
    """Standard error of an AUC from the placements of `bad` and `good` companies, so many at each value."""
    return float(np.sqrt(_spread(above, bad) / bad.sum() + _spread(below, good) / good.sum()))


def _spread(value: Floats, weight: Floats) -> float:
    total = float(weight.sum())
    if total <= 1:
        return float("nan")
    mean = float(value @ weight) / total
    return float(weight @ (value - mean) ** 2) / (total - 1)
