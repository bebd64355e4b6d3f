"""A noise for the sum becomes each institution's share of it, so that only the sum is private and needs to be.

Against whom: epsilon holds against the platform together with `colluders` institutions that tell it their updates and
their noise, once at most `dropouts` of the others have vanished. So the shares of n - c - d institutions make up the
whole noise. Against one that sees a single update without its mask, it does not hold: this noise is for masked sums.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.privacy.accounting import solve_noise
from fedcredit.privacy.discrete import DRAW_ERROR, LARGEST_SIGMA, Uniform, discrete_gaussian

# Share of epsilon and of delta that is kept back for what whole numbers cost.
SPARED = 1e-4
TAIL = 16.0  # standard deviations; one in 1e56 numbers is further out
# Total variation between a discrete Gaussian and a rounded continuous one is below this over sigma^2.
ROUNDED_ERROR = 0.05


@dataclass(frozen=True)
class Sought:
    """The privacy that a whole run of `steps` equal steps shall have."""

    epsilon: float
    delta: float
    sample_rate: float
    steps: int


@dataclass(frozen=True)
class Crowd:
    """Who shares the noise: `institutions` in the sum, of which some may collude and some may drop out.

    >>> Crowd.of(10), Crowd.of(10).honest
    (Crowd(institutions=10, colluders=3, dropouts=0), 7)
    """

    institutions: int
    colluders: int
    dropouts: int = 0

    def __post_init__(self) -> None:
        if min(self.colluders, self.dropouts) < 0 or self.honest < 2:
            raise ConfigError(
                "privacy.noise",
                found=f"{self.institutions} institutions, {self.colluders} colluding, {self.dropouts} dropping out",
                expected="at least 2 others whose noise counts",
                hint="noise: local needs no others",
            )

    @staticmethod
    def of(institutions: int, *, dropouts: int = 0) -> Crowd:
        """The default: a third of the institutions may collude."""
        return Crowd(institutions, institutions // 3, dropouts)

    @property
    def honest(self) -> int:
        """How many shares the whole noise is made of."""
        return self.institutions - self.colluders - self.dropouts

    def noise_of(self, survivors: int, *, noise_multiplier: float) -> float:
        """The noise multiplier of a sum in which that many institutions are left: more than planned if more are.

        >>> Crowd(10, colluders=3, dropouts=3).noise_of(10, noise_multiplier=2.0).__round__(3)
        2.646
        """
        if survivors < self.institutions - self.dropouts:
            raise ConfigError(
                "survivors", found=str(survivors), expected=f"{self.institutions - self.dropouts} or more"
            )
        return noise_multiplier * math.sqrt((survivors - self.colluders) / self.honest)


def sensitivity(*, clip: float, scale: float, dimension: int) -> float:
    """How far one company moves an institution's whole-number sum: its clip, and a step of rounding in every entry."""
    return clip * scale + math.sqrt(dimension)


def reach(
    companies: float, *, noise_multiplier: float, clip: float, scale: float, dimension: int, crowd: Crowd
) -> float:
    """Beyond which no number of one institution's noisy sum lies, whatever its rows are, but for a chance of 1e-50.

    A limit below it would be an oracle: whether the sum is refused says something of an update that has no more than
    its share of the noise.

    >>> reach(100, noise_multiplier=0.5, clip=1.0, scale=2.0**30, dimension=4, crowd=Crowd(6, 2)).__round__(3)
    104.0
    """
    sigma = noise_multiplier * sensitivity(clip=clip, scale=scale, dimension=dimension) / math.sqrt(crowd.honest)
    return companies * clip + TAIL * sigma / scale


def noise_share(
    dimension: int, *, noise_multiplier: float, clip: float, scale: float, crowd: Crowd, uniform: Uniform
) -> NDArray[np.int64]:
    """One institution's noise for its sum of clipped gradients, in steps of 1 / scale, (dimension,)."""
    whole = noise_multiplier * sensitivity(clip=clip, scale=scale, dimension=dimension)
    return discrete_gaussian(dimension, sigma=whole / math.sqrt(crowd.honest), uniform=uniform)


def solve_shared_noise(terms: Sought, *, dimension: int, clip: float, scale: float, crowd: Crowd) -> float:
    """The noise multiplier that continuous noise needs, with SPARED of epsilon and delta left for the whole numbers.

    The shares add up to a discrete Gaussian (see discrete.py), within ROUNDED_ERROR / sigma^2 an entry of a rounded
    continuous one, and rounding what is private already costs nothing. A total variation of t costs (1 + e^epsilon) t
    of delta; factors within exp(+-d) of each draw cost 2 d of epsilon.

    Raises:
        ConfigError: the grid is too coarse, or there are too many entries and steps, for what is spared; or the grid is
            so fine that an institution's share would have more steps than can be drawn.
    """
    epsilon, delta = terms.epsilon * (1 - SPARED), terms.delta * (1 - SPARED)
    noise = solve_noise(epsilon, delta=delta, sample_rate=terms.sample_rate, steps=terms.steps)
    entries = terms.steps * dimension
    sigma = noise * sensitivity(clip=clip, scale=scale, dimension=dimension)
    by_draws = 2 * entries * crowd.institutions * DRAW_ERROR
    by_rounding = (1 + math.exp(terms.epsilon)) * entries * ROUNDED_ERROR / sigma**2
    if by_draws > terms.epsilon - epsilon or by_rounding > terms.delta - delta:
        hint = "a smaller masking limit makes the grid finer; fewer rounds or weights need less of it"
        raise ConfigError("privacy.noise", found="a grid too coarse for the noise", expected="a finer one", hint=hint)
    if sigma / math.sqrt(crowd.honest) > LARGEST_SIGMA:  # told here, before a round is charged for nothing
        hint = "a larger masking limit makes the grid coarser; it has to hold a sum of clipped gradients anyway"
        raise ConfigError("privacy.noise", found="a grid too fine for the noise", expected="a coarser one", hint=hint)
    return noise
