"""Counts of companies become noised counts with a stated epsilon, which may be shown."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import ConfigError
from fedcredit.privacy.discrete import Uniform
from fedcredit.privacy.discrete_laplace import discrete_laplace, discrete_laplace_deviation
from fedcredit.privacy.mechanism import Mechanism


@dataclass(frozen=True)
class Release:
    """One release of a whole histogram, score by class, with a pure epsilon for each company in it.

    rows: the most rows of one company that are counted; together they move the counts by that many, wherever they
    fall, so noise of scale rows / epsilon in every cell is enough for all cells together (Dwork et al. 2006).
    shares: how many institutions make up the whole noise. With 1 each institution's own counts are private by
    themselves. With more only the sum is, against all but those: it is for masked sums, and `Crowd.honest` of
    distributed.py is the number to give.

    >>> Release(epsilon=2.0).deviation.__round__(2), Release(epsilon=2.0, shares=5).deviation.__round__(2)
    (0.6, 0.27)
    """

    epsilon: float
    rows: int = 1
    shares: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.epsilon <= 20:
            raise ConfigError("release.epsilon", found=repr(self.epsilon), expected="above 0, at most 20")
        if type(self.rows) is not int or self.rows < 1 or type(self.shares) is not int or self.shares < 1:
            raise ConfigError("release", found=f"{self.rows} rows, {self.shares} shares", expected="1 or more of both")

    @property
    def scale(self) -> float:
        """Of the noise of a cell, in companies."""
        return self.rows / self.epsilon

    @property
    def mechanism(self) -> Mechanism:
        """The release as a ledger keeps it."""
        return Mechanism("metrics", noise_scale=1 / self.epsilon, noise="discrete_laplace")

    @property
    def deviation(self) -> float:
        """Standard deviation of the noise that one institution adds to a cell, in companies."""
        return discrete_laplace_deviation(self.scale, shares=self.shares)

    def deviation_of_sum(self, institutions: int) -> float:
        """The same for the sum of so many institutions.

        >>> [round(Release(epsilon=2.0, shares=shares).deviation_of_sum(5), 2) for shares in (1, 5)]
        [1.35, 0.6]
        """
        return self.deviation * math.sqrt(institutions)

    def noised(self, counts: ArrayLike, *, uniform: Uniform) -> NDArray[np.int64]:
        """The counts with noise; one may fall below 0. `evaluation.noised` reads them.

        >>> Release(epsilon=20.0).noised([[5, 0]], uniform=np.random.default_rng(0).random).tolist()
        [[5, 0]]
        """
        true = np.asarray(counts)
        if true.dtype.kind not in "iu" or bool((true < 0).any()):
            raise ConfigError("release", found="numbers that are no counts", expected="whole numbers, 0 or more")
        noise = discrete_laplace(true.size, scale=self.scale, uniform=uniform, shares=self.shares)
        return true.astype(np.int64) + noise.reshape(true.shape)
