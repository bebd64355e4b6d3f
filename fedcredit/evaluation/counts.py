"""Scores become counts on a fixed public grid: counts add across institutions, scores would have to travel."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOGIT_LIMIT = 8.0  # PD from .03 % to 99.97 %; scores beyond share the outermost bins


def score_counts(p: ArrayLike, y: ArrayLike, *, bins: int) -> NDArray[np.int64]:
    """Counts (2, bins) of good (row 0) and bad (row 1) companies by score; bins are equal steps of the log-odds.

    >>> score_counts([0.1, 0.9, 0.9], [0, 1, 0], bins=4).tolist()
    [[0, 1, 1, 0], [0, 0, 1, 0]]
    """
    probability = np.clip(np.asarray(p, dtype=np.float64), 1e-12, 1 - 1e-12)
    logit = np.log(probability) - np.log1p(-probability)
    place = ((logit + LOGIT_LIMIT) / (2 * LOGIT_LIMIT) * bins).astype(np.int64).clip(0, bins - 1)
    is_bad = np.asarray(y) > 0.5
    return np.stack([np.bincount(place[~is_bad], minlength=bins), np.bincount(place[is_bad], minlength=bins)])


def auc_of_counts(counts: NDArray[np.int64]) -> float | None:
    """AUC of the pooled scores; pairs inside one bin count half, so the error is at most half their share.

    None when one class is empty.

    >>> auc_of_counts(np.array([[3, 1, 0], [0, 1, 2]]))
    0.9583333333333334
    """
    good, bad = counts.astype(np.float64)
    if not good.sum() or not bad.sum():
        return None
    below = np.concatenate([[0.0], np.cumsum(good)[:-1]])
    return float((bad * (below + good / 2)).sum() / (good.sum() * bad.sum()))
