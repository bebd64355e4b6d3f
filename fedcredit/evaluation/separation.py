"""Score counts become figures of separation: AUC with its interval, Gini and KS."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from fedcredit.evaluation.grid import GRID, ScoreGrid
from fedcredit.evaluation.intervals import LEVEL
from fedcredit.evaluation.placements import auc_ends, placements_error


def auc_of_counts(counts: ArrayLike) -> float | None:
    """AUC of the pooled scores; pairs inside one bin count half, so the error is at most half their share.

    None when one class is empty.

    >>> auc_of_counts([[3, 1, 0], [0, 1, 2]])
    0.9583333333333334
    """
    good, bad = np.asarray(counts, dtype=np.float64)
    if not good.sum() or not bad.sum():
        return None
    below = np.concatenate([[0.0], np.cumsum(good)[:-1]])
    return float((bad * (below + good / 2)).sum() / (good.sum() * bad.sum()))


@dataclass(frozen=True)
class Separation:
    """AUC and the ends of its interval, Gini, KS; bin_error: how far the AUC of the uncounted scores may be away."""

    auc: float
    low: float
    high: float
    gini: float
    ks: float
    bin_error: float


def separation(counts: ArrayLike, *, grid: ScoreGrid = GRID, level: float = LEVEL) -> Separation | None:
    """Separation of good and bad companies; None when one class is empty.

    The interval is DeLong's (1988) on the logit scale: a company's placement depends on its bin alone, so that the
    variance of the placements is a sum over bins. It equals `delong.auc_interval` on the counted scores.

    >>> found = separation([[3, 1, 0], [0, 1, 2]], grid=ScoreGrid(bins=3))
    >>> round(found.auc, 4), round(found.gini, 4), found.ks, round(found.bin_error, 4)
    (0.9583, 0.9167, 0.75, 0.0417)
    """
    good, bad = grid.check(counts)
    goods, bads = good.sum(), bad.sum()
    auc = auc_of_counts([good, bad])
    if auc is None:
        return None
    above = (np.cumsum(good) - good / 2) / goods  # placement of a bad company of each bin
    below = 1 - (np.cumsum(bad) - bad / 2) / bads  # and of a good one
    low, high = auc_ends(
        auc, error=placements_error(above, bad, below, good), smaller=int(min(goods, bads)), level=level
    )
    ks = float(np.max(np.abs(np.cumsum(bad) / bads - np.cumsum(good) / goods)))
    return Separation(auc, low, high, 2 * auc - 1, ks, float((good * bad).sum() / (2 * goods * bads)))
