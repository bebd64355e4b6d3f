"""Uniform numbers become noise of whole numbers: the discrete Gaussian, which adds up where a continuous one would not.

Masks live on integers. A continuous noise that each institution rounds for itself is no longer the noise of the sum; a
discrete one is: discrete Gaussians of variance s^2 each add up to one of n s^2 but for a factor exp(+-tau) with
tau = 10 sum_k exp(-2 pi^2 s^2 k / (k + 1)) (Kairouz, Liu, Steinke 2021, arXiv 2102.06387, theorem 1), which is exactly
one in double precision for every s above 8.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fedcredit.errors import ConfigError

# `uniform(n)`: n numbers of 53 random bits in [0, 1), from a cryptographic generator.
Uniform = Callable[[int], NDArray[np.float64]]

SMALLEST_SIGMA = 8.0  # below, what adds up is told apart from one discrete Gaussian
LARGEST_SIGMA = 2.0**46  # 64 times as much is still exact in a double
# Each number is drawn with its exact probability up to a factor within exp(+-DRAW_ERROR): some ten comparisons, each
# with a number of 53 *significant* bits, so that small probabilities are as exact as large ones.
DRAW_ERROR = 2.0**-45


def discrete_gaussian(count: int, *, sigma: float, uniform: Uniform) -> NDArray[np.int64]:
    """`count` whole numbers with probability proportional to exp(-k^2 / (2 sigma^2)).

    Rejection from a discrete Laplace distribution (Canonne, Kamath, Steinke 2020, arXiv 2004.00010, algorithms 2 and
    3), vectorised; the comparisons are with floating numbers instead of exact fractions, see DRAW_ERROR.

    >>> rng = np.random.default_rng(0)  # for the example only: privacy needs a generator that nobody can replay
    >>> noise = discrete_gaussian(10_000, sigma=50.0, uniform=rng.random)
    >>> bool(abs(noise.std() - 50.0) < 2)
    True
    """
    if not SMALLEST_SIGMA <= sigma <= LARGEST_SIGMA:
        raise ConfigError("noise", found=f"a sigma of {sigma:g} steps", expected="8 to 2^46 steps of the grid")
    scale = 2 ** math.ceil(math.log2(sigma))  # a power of two: a number of 53 bits falls evenly on that many
    found = np.empty(0, np.int64)
    while len(found) < count:
        drawn = _laplace(3 * (count - len(found)) + 32, scale=scale, uniform=uniform)
        chance = np.exp(-((np.abs(drawn) - sigma**2 / scale) ** 2) / (2 * sigma**2))
        found = np.concatenate([found, drawn[_fine(len(drawn), uniform) < chance]])
    return found[:count]


def _fine(count: int, uniform: Uniform) -> NDArray[np.float64]:
    """Numbers in (0, 1] that have 53 significant bits also where they are small."""
    return np.maximum(uniform(count) + 2.0**-53 * uniform(count), 2.0**-106)


def _laplace(tries: int, *, scale: int, uniform: Uniform) -> NDArray[np.int64]:
    """Those of `tries` that are accepted, with probability proportional to exp(-|k| / scale)."""
    # A position within one scale, then how many whole scales: no single logarithm has the bits for both.
    within = (uniform(tries) * scale).astype(np.int64)
    within = within[_fine(tries, uniform) < np.exp(-within / scale)]
    size = within + scale * np.floor(-np.log(_fine(len(within), uniform))).astype(np.int64)
    is_negative = uniform(len(size)) < 0.5
    is_once = ~(is_negative & (size == 0))  # zero has one sign
    return np.where(is_negative, -size, size)[is_once]
