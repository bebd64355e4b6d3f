"""Outcomes and predicted probabilities become figures of separation and calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from fedcredit.evaluation.logistic import line

Floats = NDArray[np.float64]

MIN_PER_CLASS = 10  # a slice with fewer of either class has no AUC
ECE_BINS = 10
CLOSEST_TO_CERTAIN = 1e-7  # a logit needs 0 < p < 1; float32 sigmoids saturate near here


class Curve(NamedTuple):
    """Rows and positives at or above each distinct score, highest score first, after a leading 0."""

    rows: Floats
    positives: Floats


class Reliability(NamedTuple):
    """One entry for each bin that has rows: mean predicted probability, observed rate, number of rows."""

    predicted: Floats
    observed: Floats
    rows: Floats


class Recalibration(NamedTuple):
    """logit P(y = 1) = intercept + slope * logit(p); 1 and 0 for a calibrated model."""

    slope: float
    intercept: float


def curve(y: ArrayLike, p: ArrayLike) -> Curve:
    """Cumulative counts down the ranking; tied scores enter together, so the order of rows never matters."""
    outcome, score = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    order = np.argsort(-score)
    last_of_tie = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
    positives = np.cumsum(outcome[order])[last_of_tie]
    return Curve(np.concatenate([[0.0], last_of_tie + 1.0]), np.concatenate([[0.0], positives]))


def roc(y: ArrayLike, p: ArrayLike) -> tuple[Floats, Floats]:
    """False and true positive rates, from (0, 0) to (1, 1); NaN where a class is missing."""
    rows, positives = curve(y, p)
    negatives = rows - positives
    return _share(negatives), _share(positives)


def _share(cumulative: Floats) -> Floats:
    total = cumulative[-1]
    return cumulative / total if total > 0 else np.full_like(cumulative, np.nan)


def has_both_classes(y: ArrayLike, *, least: int = MIN_PER_CLASS) -> bool:
    """Whether each class has at least `least` rows.

    >>> has_both_classes([1] * 9 + [0] * 90)
    False
    """
    outcome = np.asarray(y)
    positives = int(np.count_nonzero(outcome))
    return min(positives, outcome.size - positives) >= least


def auc(y: ArrayLike, p: ArrayLike) -> float:
    """Chance that a random positive scores above a random negative, a tie counting one half.

    NaN when a class is missing; a slice's figure is withheld by `has_both_classes` before this is asked.

    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    false_rate, true_rate = roc(y, p)
    return float(np.trapezoid(true_rate, false_rate))


def gini(y: ArrayLike, p: ArrayLike) -> float:
    """Accuracy ratio, 2 AUC - 1.

    >>> gini([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.75
    """
    return 2 * auc(y, p) - 1


def ks(y: ArrayLike, p: ArrayLike) -> float:
    """Kolmogorov-Smirnov distance between the scores of the two classes.

    >>> ks([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.5
    """
    false_rate, true_rate = roc(y, p)
    return float(np.max(np.abs(true_rate - false_rate)))


def average_precision(y: ArrayLike, p: ArrayLike) -> float:
    """Precision averaged over the steps of recall, without interpolation.

    >>> average_precision([0, 1, 0, 1], [0.1, 0.4, 0.6, 0.8])
    0.8333333333333333
    """
    rows, positives = curve(y, p)
    return float(np.sum(np.diff(_share(positives)) * positives[1:] / rows[1:]))


def lift_10(y: ArrayLike, p: ArrayLike) -> float:
    """Rate of positives in the riskiest tenth over the rate of all; a tie at the border counts by its share.

    >>> lift_10([1] + [0] * 8 + [1], [0.9] + [0.1] * 9)
    5.0
    """
    rows, positives = curve(y, p)
    caught = np.interp(0.1 * rows[-1], rows, _share(positives))
    return float(caught / 0.1)


def stratified_auc(y: ArrayLike, p: ArrayLike, stratum: ArrayLike) -> float:
    """AUC among pairs of one stratum (for example one year): the strata's AUC weighted by positives x negatives.

    >>> stratified_auc([0, 1, 0, 1], [0.1, 0.2, 0.8, 0.7], ["a", "a", "b", "b"])
    0.5
    """
    outcome, score, strata = np.asarray(y, dtype=np.float64), np.asarray(p), np.asarray(stratum)
    total = won = 0.0
    for name in np.unique(strata):
        inside = strata == name
        positives = outcome[inside].sum()
        pairs = positives * (inside.sum() - positives)
        if pairs:
            total += pairs
            won += pairs * auc(outcome[inside], score[inside])
    return float(won / total) if total else float("nan")


def brier(y: ArrayLike, p: ArrayLike) -> float:
    """Mean squared distance of the probability from the outcome.

    >>> brier([0, 1], [0.5, 1.0])
    0.125
    """
    return float(np.mean((np.asarray(p, dtype=np.float64) - np.asarray(y)) ** 2))


def reliability(y: ArrayLike, p: ArrayLike, *, bins: int = ECE_BINS) -> Reliability:
    """Predicted and observed rates in bins of equal mass; tied scores share a bin, whatever their order."""
    outcome, score = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    from scipy.stats import rankdata  # half a second, which a node or a coordinator would wait for at its start

    which = np.floor((rankdata(score) - 0.5) / len(score) * bins).astype(np.intp)
    rows = np.bincount(which, minlength=bins).astype(np.float64)
    full = rows > 0
    predicted, observed = np.bincount(which, score, bins), np.bincount(which, outcome, bins)
    return Reliability(predicted[full] / rows[full], observed[full] / rows[full], rows[full])


def ece(y: ArrayLike, p: ArrayLike, *, bins: int = ECE_BINS) -> float:
    """Expected calibration error over bins of equal mass.

    >>> ece([0, 1, 1, 1], [0.5, 0.5, 0.75, 0.75], bins=2)
    0.125
    """
    predicted, observed, rows = reliability(y, p, bins=bins)
    return float(np.sum(rows * np.abs(predicted - observed)) / rows.sum())


def recalibration(y: ArrayLike, p: ArrayLike) -> Recalibration:
    """Calibration slope and intercept: Cox's (1958) logistic regression of the outcome on logit(p), fitted together.

    A slope below 1 says that the predictions are too extreme. NaN when it has no finite answer: one class, one score,
    or scores that separate the classes.
    """
    outcome = np.asarray(y, dtype=np.float64)
    z = logit(np.clip(np.asarray(p, dtype=np.float64), CLOSEST_TO_CERTAIN, 1 - CLOSEST_TO_CERTAIN))
    found = line(z, good=1 - outcome, bad=outcome)
    return Recalibration(found.slope, found.intercept) if found else Recalibration(float("nan"), float("nan"))
