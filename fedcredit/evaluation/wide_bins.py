"""Counts in the wide bins of a release under noise become the log-odds that stand for each bin."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from scipy.stats import norm

from fedcredit.errors import TableError
from fedcredit.evaluation.grid import ScoreGrid
from fedcredit.evaluation.noised import COARSE_BINS, COARSE_FROM, COARSE_TO

Floats = NDArray[np.float64]
WIDTH = (COARSE_TO - COARSE_FROM) / COARSE_BINS
MIDDLES: Floats = COARSE_FROM + WIDTH * (np.arange(COARSE_BINS, dtype=np.float64) + 0.5)
NEIGHBOURS = 3  # bins beside an open one that say how its tail falls
WIDEST = 4.0  # spread of a tail, in log-odds; a longer one is noise


@dataclass(frozen=True)
class WideBins:
    """The 16 bins of `noised.coarse`, each with log-odds that stand for its companies; used as a ScoreGrid is.

    >>> WideBins(tuple(MIDDLES)).pd.round(3).tolist()[:3]
    [0.003, 0.005, 0.009]
    """

    z: tuple[float, ...]

    def __post_init__(self) -> None:
        inside = np.isfinite(self.z).all() and bool((np.diff(self.z) > 0).all())
        if len(self.z) != COARSE_BINS or not inside:
            found = f"{len(self.z)} log-odds, or some that do not rise"
            raise TableError("wide bins", found=found, expected=f"{COARSE_BINS} that rise")

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.z)

    @cached_property
    def log_odds(self) -> Floats:
        """What stands for each bin."""
        return np.array(self.z, dtype=np.float64)

    @cached_property
    def pd(self) -> Floats:
        """The PD that stands for each bin."""
        pd: Floats = expit(self.log_odds)
        return pd

    def check(self, counts: ArrayLike) -> Floats:
        """The counts as float64, for figures. Raises TableError: another shape, or what is no count."""
        return ScoreGrid(bins=self.bins).check(counts)


Bins = ScoreGrid | WideBins


def wide_bins(counts: ArrayLike) -> WideBins:
    """The log-odds that stand for each wide bin, from how many companies it and its neighbours hold.

    Inside, the mean of a bin where the log of the density is straight (Sheppard's correction to the first order), at
    most a quarter of the width from its middle. The two outermost bins are open: the mean of a normal tail through
    the bin and its three neighbours. A middle in their place would make slopes up to a sixth too steep where a model is
    often sure of a default. Tidied counts are taken, so that this costs no epsilon either.

    Raises:
        TableError: another shape, or what is no count.

    >>> flat = np.full((2, 16), 10.0)
    >>> wide_bins(flat).log_odds[1:-1].tolist() == MIDDLES[1:-1].tolist()
    True
    """
    total = ScoreGrid(bins=COARSE_BINS).check(counts).sum(axis=0)
    z = MIDDLES.copy()
    rise = np.log(total[2:] + 1) - np.log(total[:-2] + 1)  # of the log-density, over two widths
    z[1:-1] += np.clip(rise * WIDTH / 24, -WIDTH / 4, WIDTH / 4)
    z[0] = COARSE_FROM + WIDTH - _mean_excess(total)
    z[-1] = COARSE_TO - WIDTH + _mean_excess(total[::-1])
    return WideBins(tuple(z.tolist()))


def _mean_excess(total: Floats) -> float:
    """How far the companies of the first bin, which is open, are beyond its inner bound on average."""
    everyone = total.sum()
    if not everyone:
        return WIDTH / 2
    beyond, near = total[0] / everyone, total[: NEIGHBOURS + 1].sum() / everyone
    beyond = max(beyond, 0.5 / everyone)
    if not beyond < near < 1:
        return WIDTH / 2
    at, nearer = norm.isf(beyond), norm.isf(near)
    spread = min(NEIGHBOURS * WIDTH / (at - nearer), WIDEST)
    return float(spread * (norm.pdf(at) / beyond - at))
