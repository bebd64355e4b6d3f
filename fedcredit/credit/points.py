"""A PD becomes points: higher is better, a fixed number of points doubles the odds of being good."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import ConfigError
from fedcredit.models.calibrated import expit, logit

POINTS_PER_DOUBLING, BASE_POINTS, BASE_ODDS = 20.0, 600.0, 50.0  # scorecard practice: 600 points at 50 good to 1 bad


@dataclass(frozen=True)
class Points:
    """score = offset + factor ln(odds of being good), factor = PDO / ln 2.

    >>> Points().of([1 / 51, 1 / 101]).round(6).tolist()
    [600.0, 620.0]
    """

    per_doubling: float = POINTS_PER_DOUBLING
    base: float = BASE_POINTS
    odds: float = BASE_ODDS

    def __post_init__(self) -> None:
        if not (
            self.per_doubling > 0 and self.odds > 0 and np.isfinite([self.per_doubling, self.base, self.odds]).all()
        ):
            found = f"{self.per_doubling} points, odds {self.odds}"
            raise ConfigError("points", found=found, expected="numbers above 0")

    @property
    def factor(self) -> float:
        """Points for a unit of log-odds."""
        return float(self.per_doubling / np.log(2))

    @property
    def offset(self) -> float:
        """Points at even odds."""
        return float(self.base - self.factor * np.log(self.odds))

    def of(self, pd: ArrayLike) -> NDArray[np.float64]:
        """Points of PDs, not rounded."""
        points: NDArray[np.float64] = self.offset - self.factor * logit(pd)
        return points

    def pd(self, points: ArrayLike) -> NDArray[np.float64]:
        """The PD of points.

        >>> Points().pd([600.0]).round(6).tolist()
        [0.019608]
        """
        return expit((self.offset - np.asarray(points, dtype=np.float64)) / self.factor)
