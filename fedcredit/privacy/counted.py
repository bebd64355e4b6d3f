"""Counts of companies become noised counts, whole numbers still, with a stated epsilon for all evaluations together.

One company is in at most `rows` of the counts' rows, all of which may fall into one cell, so it moves the counts by
at most `rows` (L2). Discrete Gaussian noise of that scale is added on a grid much finer than one, where its shares add
up (privacy/discrete.py); rounding the result to whole numbers is of what is private already and costs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.privacy.discrete import LARGEST_SIGMA, Uniform, discrete_gaussian
from fedcredit.privacy.distributed import TAIL, Crowd, Sought, noise_share, sensitivity, solve_shared_noise
from fedcredit.privacy.mechanism import Mechanism, run_epsilon

LARGEST_COUNT = 2.0**22  # of one cell at one institution, its noise with it; so many companies are in no cell
STEPS = 2.0**30  # of the noise in one company: what a masked sum of 64-bit words has room for
ALONE = Crowd(2, colluders=0)  # one institution that adds all of its noise itself; the solver's margins are for two


@dataclass(frozen=True)
class CountNoise:
    """The noise of each of `evaluations` equal evaluations of `cells` counts.

    noise_multiplier: its standard deviation over `rows`, of the whole noise, which `crowd` shares where there is one.
    """

    noise_multiplier: float
    rows: int
    cells: int
    crowd: Crowd | None = None

    @property
    def mechanism(self) -> Mechanism:
        """One evaluation as a ledger keeps it."""
        return Mechanism("metrics", noise_scale=self.noise_multiplier)

    @property
    def deviation(self) -> float:
        """Standard deviation of one institution's noise in a cell, in companies."""
        whole = self.noise_multiplier * sensitivity(clip=self.rows, scale=STEPS, dimension=self.cells) / STEPS
        return whole if self.crowd is None else whole / math.sqrt(self.crowd.honest)

    def epsilon(self, evaluations: int, *, delta: float) -> float:
        """What that many evaluations spend together."""
        return run_epsilon([self.mechanism.times(evaluations)], delta=delta)

    def alone(self, counts: NDArray[np.int64], *, uniform: Uniform) -> NDArray[np.int64]:
        """The counts of one institution, private by themselves; noise may take a count below 0."""
        noise = discrete_gaussian(counts.size, sigma=self.deviation * STEPS, uniform=uniform)
        return counts + np.rint(noise / STEPS).astype(np.int64).reshape(counts.shape)

    def shared(self, counts: NDArray[np.int64], *, uniform: Uniform) -> NDArray[np.float64]:
        """The counts with a share of the noise, as numbers on the fine grid, for a masked sum only, (cells,)."""
        if self.crowd is None:
            raise ConfigError("counts", found="noise of one institution", expected="noise that a crowd shares")
        noise = noise_share(
            self.cells,
            noise_multiplier=self.noise_multiplier,
            clip=self.rows,
            scale=STEPS,
            crowd=self.crowd,
            uniform=uniform,
        )
        return np.asarray(counts.ravel() + noise / STEPS, dtype=np.float64)


@lru_cache(maxsize=64)
def solve_count_noise(
    epsilon: float, *, delta: float, evaluations: int, rows: int, cells: int, crowd: Crowd | None = None
) -> CountNoise:
    """The noise with which all the evaluations together spend at most `epsilon`.

    Raises:
        ConfigError: no such noise, or one so large that counts would not fit their range.

    >>> noise = solve_count_noise(2.0, delta=1e-5, evaluations=1, rows=1, cells=128)
    >>> 1.9 < noise.deviation < 2.1, 1.99 < noise.epsilon(1, delta=1e-5) <= 2.0
    (True, True)
    """
    sought = Sought(epsilon, delta, sample_rate=1.0, steps=evaluations)
    noise = solve_shared_noise(sought, dimension=cells, clip=rows, scale=STEPS, crowd=crowd or ALONE)
    found = CountNoise(noise, rows, cells, crowd)
    if TAIL * found.deviation > LARGEST_COUNT / 2 or found.deviation * STEPS > LARGEST_SIGMA:
        hint = "fewer evaluations, fewer rows of a company or a larger epsilon"
        raise ConfigError("counts.epsilon", found=f"noise of {found.deviation:.3g}", expected="less noise", hint=hint)
    return found
