"""Noised score counts become counts that could be, and an AUC with the error that the noise has made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import TableError
from fedcredit.evaluation.grid import GRID, ScoreGrid
from fedcredit.evaluation.intervals import LEVEL
from fedcredit.evaluation.metrics import MIN_PER_CLASS
from fedcredit.evaluation.placements import auc_ends, placements_error
from fedcredit.evaluation.separation import auc_of_counts

COARSE_BINS = 16
COARSE_FROM, COARSE_TO = -6.0, 2.0  # log-odds: PD from .25 % to 88 %, a step of a half each


def coarse(counts: ArrayLike, *, grid: ScoreGrid = GRID) -> NDArray[np.int64]:
    """The counts in 16 wide bins, of which the outermost are open: what a release under noise needs.

    Noise comes by the bin and ties by the width. Steps of a half in log-odds cost about .002 of AUC in ties; bins twice
    as wide cost .009, and bins where nobody is cost as much noise as others, at the safe end with most leverage. The
    bins are fixed before a score is seen, so that their choice tells nothing of anybody.

    >>> coarse(GRID.count([0.001, 0.01, 0.011, 0.95], [0, 0, 1, 1])).sum(axis=0).nonzero()[0].tolist()
    [0, 2, 3, 15]
    """
    found = np.asarray(counts, dtype=np.int64)
    grid.check(found)
    return np.add.reduceat(found, wide_starts(grid), axis=1)


def wide_starts(grid: ScoreGrid) -> NDArray[np.int64]:
    """The first bin of the grid in each wide bin; exact where a width is a whole number of the grid's steps."""
    starts = np.searchsorted(grid.log_odds, np.linspace(COARSE_FROM, COARSE_TO, COARSE_BINS + 1)[:-1])
    starts[0] = 0
    return starts.astype(np.int64)


def tidied(counts: ArrayLike) -> NDArray[np.float64]:
    """The nearest counts without one below 0, in each row with the same sum: so that both distributions only rise.

    This is done to what is private already and costs no epsilon. A cell cut off at 0 alone would add companies: the
    rows would grow where nobody is.

    >>> tidied([[4, -1, 3], [-2, 1, 0]]).tolist()
    [[3.5, 0.0, 2.5], [0.0, 0.0, 0.0]]
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or not bool(np.isfinite(table).all()):
        raise TableError("noised counts", found=f"shape {table.shape}", expected="finite numbers, classes by bins")
    return np.stack([_projected(row) for row in table])


def _projected(row: NDArray[np.float64]) -> NDArray[np.float64]:
    """Onto what is 0 or more and has the same sum (Duchi et al. 2008): the same is taken off every cell that stays."""
    total = row.sum()
    if total <= 0:
        return np.zeros_like(row)
    falling = np.sort(row)[::-1]
    excess = (np.cumsum(falling) - total) / np.arange(1, len(row) + 1)
    return np.maximum(row - excess[np.flatnonzero(falling > excess)[-1]], 0.0)


@dataclass(frozen=True)
class NoisedAuc:
    """AUC from noised counts. low and high: its interval over the companies and the noise.

    noise_error: the standard error from the noise alone. bin_error: at most so far is the AUC of the uncounted scores.
    """

    auc: float
    low: float
    high: float
    noise_error: float
    bin_error: float


def noised_auc(counts: ArrayLike, *, deviation: float, level: float = LEVEL) -> NoisedAuc | None:
    """AUC of noised counts (2, bins), whose cells have noise of standard `deviation`, in companies.

    The area under the tidied distributions. DPAUC (Sun et al. 2022, arXiv 2208.12294) noises the counts at every
    threshold and splits epsilon over them; here the bins are noised, so that one epsilon pays for all thresholds, and
    whether a company was scored at all is hidden too, not its outcome alone. The error of the noise is the
    sum over cells of (derivative of the AUC x deviation)^2, to which the companies' own (DeLong) is added. None where
    fewer than ten of a class are left.

    >>> found = noised_auc([[400, 90, 11], [-1, 20, 21]], deviation=1.35)
    >>> round(found.auc, 3), round(found.noise_error, 3)
    (0.94, 0.019)
    """
    good, bad = tidied(counts)
    goods, bads = float(good.sum()), float(bad.sum())
    auc = auc_of_counts([good, bad])
    if auc is None or min(goods, bads) < MIN_PER_CLASS:
        return None
    above = (np.cumsum(good) - good / 2) / goods
    below = 1 - (np.cumsum(bad) - bad / 2) / bads
    by_noise = deviation * float(np.sqrt(np.sum(((above - auc) / bads) ** 2) + np.sum(((below - auc) / goods) ** 2)))
    by_companies = placements_error(above, bad, below, good)
    low, high = auc_ends(auc, error=float(np.hypot(by_noise, by_companies)), smaller=int(min(goods, bads)), level=level)
    return NoisedAuc(auc, low, high, by_noise, float((good * bad).sum() / (2 * goods * bads)))
