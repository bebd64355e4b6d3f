"""Scores become counts on a fixed public grid: counts add across institutions, scores would have to travel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from fedcredit.errors import ConfigError, TableError

Counts = NDArray[np.int64]  # (2, bins): good companies (row 0) and bad ones (row 1) by score

BINS = 512
LOGIT_LIMIT = 8.0  # PD from .03 % to 99.97 %; scores beyond share the outermost bins
CLOSEST_TO_CERTAIN = 1e-12  # a logit needs 0 < p < 1
MAX_BINS = 1 << 16


@dataclass(frozen=True)
class ScoreGrid:
    """Equal steps of the log-odds from -limit to +limit, the same for every institution.

    What is computed from the sum of all institutions' counts is the pooled figure itself, not an approximation of it:
    integers add without rounding, and a score that was never sent cannot leak. The price is the width of a bin, with
    the 512 of the standard grid .03 in log-odds: a PD is known to 1.6 % of itself.

    >>> grid = ScoreGrid(bins=4)
    >>> grid.pd.round(4).tolist()
    [0.0025, 0.1192, 0.8808, 0.9975]
    >>> grid.count([0.1, 0.9, 0.9], [0, 1, 0]).tolist()
    [[0, 1, 1, 0], [0, 0, 1, 0]]
    """

    bins: int = BINS
    limit: float = LOGIT_LIMIT

    def __post_init__(self) -> None:
        if type(self.bins) is not int or not 1 <= self.bins <= MAX_BINS:
            raise ConfigError("score grid, bins", found=repr(self.bins), expected=f"a whole number, 1 to {MAX_BINS}")
        if not 0 < self.limit <= 27:  # beyond, the odds of CLOSEST_TO_CERTAIN are inside
            raise ConfigError("score grid, limit", found=repr(self.limit), expected="log-odds above 0, at most 27")

    @cached_property
    def log_odds(self) -> NDArray[np.float64]:
        """The middle of each bin."""
        return (np.arange(self.bins, dtype=np.float64) + 0.5) * (2 * self.limit / self.bins) - self.limit

    @cached_property
    def pd(self) -> NDArray[np.float64]:
        """The PD that stands for each bin: that of its middle."""
        pd: NDArray[np.float64] = expit(self.log_odds)
        return pd

    def place(self, p: ArrayLike) -> NDArray[np.int64]:
        """The bin of each probability.

        Raises TableError for what is no probability.
        """
        score = np.asarray(p, dtype=np.float64)
        if not bool(((score >= 0) & (score <= 1)).all()):
            raise TableError("scores", found="a number that is no probability", expected="numbers from 0 to 1")
        probability = np.clip(score, CLOSEST_TO_CERTAIN, 1 - CLOSEST_TO_CERTAIN)
        logit = np.log(probability) - np.log1p(-probability)
        place: NDArray[np.int64] = ((logit + self.limit) / (2 * self.limit) * self.bins).astype(np.int64)
        return place.clip(0, self.bins - 1)

    def count(self, p: ArrayLike, y: ArrayLike) -> Counts:
        """Counts (2, bins) of good (row 0) and bad (row 1) companies by score.

        Raises TableError where scores and outcomes do not fit together.
        """
        place, outcome = np.atleast_1d(self.place(p)), np.atleast_1d(np.asarray(y))
        if place.shape != outcome.shape or place.ndim != 1:
            found = f"{place.shape} scores and {outcome.shape} outcomes"
            raise TableError("scores", found=found, expected="one outcome for each score")
        if not bool(((outcome == 0) | (outcome == 1)).all()):
            raise TableError("outcomes", found="a number other than 0 and 1", expected="0 for good, 1 for default")
        is_bad = outcome == 1
        both = (np.bincount(place[rows], minlength=self.bins) for rows in (~is_bad, is_bad))
        return np.stack(list(both)).astype(np.int64)

    def count_by(self, p: ArrayLike, y: ArrayLike, group: ArrayLike) -> dict[str, Counts]:
        """The counts of each group (a region, a year, an institution), in the order of their names.

        >>> {name: int(c.sum()) for name, c in ScoreGrid(4).count_by([0.1, 0.2, 0.9], [0, 0, 1], list("NSN")).items()}
        {'N': 2, 'S': 1}
        """
        score, outcome, where = np.asarray(p), np.asarray(y), np.asarray(group)
        return {str(name): self.count(score[where == name], outcome[where == name]) for name in np.unique(where)}

    def cuts(self, bounds: ArrayLike) -> NDArray[np.int64]:
        """For each PD the first bin that counts as at or above it, judged by the bins' middles.

        >>> ScoreGrid(bins=4).cuts([0.1, 0.5]).tolist()
        [1, 2]
        """
        return np.searchsorted(self.pd, np.asarray(bounds, dtype=np.float64)).astype(np.int64)

    def check(self, counts: ArrayLike) -> NDArray[np.float64]:
        """The counts as float64, for figures.

        Raises TableError for another shape, or for what is no count.
        """
        found = np.asarray(counts)
        if found.shape != (2, self.bins):
            raise TableError("score counts", found=f"shape {found.shape}", expected=f"(2, {self.bins}): good and bad")
        if found.dtype.kind not in "iuf" or not bool((np.isfinite(found) & (found >= 0)).all()):
            raise TableError("score counts", found="an entry that is no count", expected="finite numbers, 0 or more")
        return found.astype(np.float64)


GRID = ScoreGrid()


def pooled(parts: Iterable[Counts]) -> Counts:
    """The sum of the institutions' counts: what the coordinator, or a masked sum, sees.

    >>> pooled([np.array([[1, 0], [0, 1]]), np.array([[2, 0], [0, 0]])]).tolist()
    [[3, 0], [0, 1]]
    """
    every = [np.asarray(part, dtype=np.int64) for part in parts]
    if not every:
        raise TableError("score counts", found="no institution", expected="the counts of one or more")
    if len({part.shape for part in every}) > 1:
        raise TableError("score counts", found="counts on different grids", expected="one grid for all institutions")
    return np.sum(every, axis=0, dtype=np.int64)


def equal_mass(total: ArrayLike, *, bins: int) -> NDArray[np.intp]:
    """Which of `bins` wider bins of about equal mass each bin belongs to; a bin is never split.

    >>> equal_mass([1, 1, 2, 0], bins=2).tolist()
    [0, 0, 1, 1]
    """
    count = np.asarray(total, dtype=np.float64)
    middle = np.cumsum(count) - count / 2
    return np.minimum(np.floor(middle / max(count.sum(), 1e-300) * bins), bins - 1).astype(np.intp)
