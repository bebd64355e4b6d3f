"""Scores on identical rows become an AUC with its standard error, and a paired difference, without resampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from fedcredit.evaluation.intervals import LEVEL, Interval
from fedcredit.evaluation.metrics import Floats
from fedcredit.evaluation.placements import auc_ends


def delong(y: ArrayLike, scores: ArrayLike, *, company: ArrayLike | None = None) -> tuple[Floats, Floats]:
    """AUC of each model (models,) and their covariance (models, models); scores are (models, rows).

    Placements by midranks (Sun and Xu 2014). With `company`, the rows of one company count as one draw of the
    population (Obuchowski 1997), which is DeLong's (1988) estimate when every company has one row.
    """
    outcome = np.asarray(y).astype(bool)
    score = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    positives, negatives = int(outcome.sum()), int((~outcome).sum())
    among_all = rankdata(score, axis=1)
    above = (among_all[:, outcome] - rankdata(score[:, outcome], axis=1)) / negatives
    below = 1 - (among_all[:, ~outcome] - rankdata(score[:, ~outcome], axis=1)) / positives
    auc = above.mean(axis=1)
    who = np.arange(outcome.size) if company is None else np.unique(np.asarray(company), return_inverse=True)[1]
    of_positives = _by_company(above - auc[:, None], who[outcome], companies=int(who.max()) + 1)
    of_negatives = _by_company(below - auc[:, None], who[~outcome], companies=int(who.max()) + 1)
    s10 = of_positives @ of_positives.T * _unbiased(who[outcome]) / positives**2
    s01 = of_negatives @ of_negatives.T * _unbiased(who[~outcome]) / negatives**2
    s11 = of_positives @ of_negatives.T * _unbiased(who) / (positives * negatives)
    return auc, s10 + s01 + s11 + s11.T


def _by_company(deviation: Floats, who: NDArray[np.intp], *, companies: int) -> Floats:
    sums = np.zeros((len(deviation), companies))
    for model, row in enumerate(deviation):
        sums[model] = np.bincount(who, row, companies)
    return sums


def _unbiased(who: NDArray[np.intp]) -> float:
    companies = len(np.unique(who))
    return companies / (companies - 1) if companies > 1 else float("nan")


def auc_interval(
    y: ArrayLike, scores: ArrayLike, *, company: ArrayLike | None = None, level: float = LEVEL
) -> Interval:
    """Mean AUC over the models (the seeds of one arm) with its interval over the sampling of companies.

    The interval is drawn on the logit scale, so it stays within 0..1. A perfect ranking has no variance to estimate;
    its far end is then the exact binomial bound for the smaller class.

    >>> auc_interval([0] * 4 + [1] * 4, [1, 2, 3, 5, 4, 6, 7, 8]).rounded(3)
    Interval(point=0.938, low=0.438, high=0.997)
    """
    aucs, covariance = delong(y, scores, company=company)
    point, error = float(aucs.mean()), float(np.sqrt(max(covariance.mean(), 0.0)))
    smaller = min(int(np.sum(np.asarray(y))), int(np.sum(1 - np.asarray(y))))
    return Interval(point, *auc_ends(point, error=error, smaller=smaller, level=level))


def paired_difference(
    y: ArrayLike, first: ArrayLike, second: ArrayLike, *, company: ArrayLike | None = None, level: float = LEVEL
) -> Interval:
    """Mean AUC of `first` minus mean AUC of `second` on the same rows; each is (rows,) or (seeds, rows).

    >>> paired_difference([0, 0, 1, 1], [1, 2, 3, 4], [1, 2, 3, 4]).rounded(3)
    Interval(point=0.0, low=0.0, high=0.0)
    """
    a = np.atleast_2d(np.asarray(first, dtype=np.float64))
    b = np.atleast_2d(np.asarray(second, dtype=np.float64))
    aucs, covariance = delong(y, np.vstack([a, b]), company=company)
    weights = np.concatenate([np.full(len(a), 1 / len(a)), np.full(len(b), -1 / len(b))])
    point = float(weights @ aucs)
    half = float(ndtri((1 + level) / 2) * np.sqrt(max(float(weights @ covariance @ weights), 0.0)))
    return Interval(point, point - half, point + half)
