"""Uniform numbers become discrete Laplace noise, whole or in shares that add up to it exactly.

For few counts with a pure epsilon it is the least noise there is (Ghosh, Roughgarden, Sundararajan 2009: the geometric
mechanism). It is the difference of two geometric numbers, and a geometric number is the sum of n negative binomial
ones of 1/n each: institutions that each add the difference of two such numbers make up the whole noise in the sum.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError
from fedcredit.privacy.discrete import Uniform

SMALLEST_SCALE, LARGEST_SCALE = 0.02, 10_000.0  # of the noise, in steps: beyond there is nothing to hide, or to see
SMALLEST_CHANCE = 2.0**-106  # what `Uniform` can be made to tell apart from 0


def discrete_laplace(count: int, *, scale: float, uniform: Uniform, shares: int = 1) -> NDArray[np.int64]:
    """`count` whole numbers; the sum of `shares` of them has probability proportional to exp(-|k| / scale).

    With one share each number is the whole noise. Both halves are drawn by inversion of an exact table, each chance
    with 53 significant bits.

    >>> rng = np.random.default_rng(0)  # for the example only: privacy needs a generator that nobody can replay
    >>> noise = discrete_laplace(100_000, scale=0.5, uniform=rng.random)
    >>> round(float(noise.std()), 2), round(discrete_laplace_deviation(0.5), 2)
    (0.6, 0.6)
    """
    if not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
        expected = f"{SMALLEST_SCALE:g} to {LARGEST_SCALE:g}"
        raise ConfigError("noise", found=f"a Laplace scale of {scale:g}", expected=expected)
    if shares < 1:
        raise ConfigError("noise", found=f"{shares} shares", expected="1 or more")
    at_least = _survival(scale, shares)
    both = [_fine(count, uniform) for _ in range(2)]
    # The number is the count of k >= 1 with P(at least k) >= u; the table falls, so it is searched from its end.
    up, down = (len(at_least) - np.searchsorted(at_least[::-1], u, side="left") for u in both)
    return (up - down).astype(np.int64)


def discrete_laplace_deviation(scale: float, *, shares: int = 1) -> float:
    """Standard deviation of one share."""
    q = math.exp(-1 / scale)
    return math.sqrt(2 * q / shares) / (1 - q)


@lru_cache(maxsize=64)
def _survival(scale: float, shares: int) -> NDArray[np.float64]:
    """P(at least k) for k = 1, 2, ... of a negative binomial number of size 1 / shares."""
    q, size = math.exp(-1 / scale), 1 / shares
    length = math.ceil(scale * 75) + 2  # exp(-75) is below SMALLEST_CHANCE
    k = np.arange(1, length)
    log_chance = size * math.log1p(-q) + np.cumsum(np.log(q * (k - 1 + size) / k))
    at_least: NDArray[np.float64] = np.cumsum(np.exp(log_chance)[::-1])[::-1]
    return at_least[at_least > SMALLEST_CHANCE]


def _fine(count: int, uniform: Uniform) -> NDArray[np.float64]:
    """Numbers in (0, 1] that have 53 significant bits also where they are small."""
    return np.maximum(uniform(count) + 2.0**-53 * uniform(count), SMALLEST_CHANCE)
