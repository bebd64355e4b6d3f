"""A hidden factor becomes the standard score of one indicator, and the score a value with the margin's shape."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from fedcredit.data.world import Floats, ar1
from fedcredit.data.worlds.sections import Margin, Signals

MOST_SIGMAS = 5.0  # no score beyond: an exponential of it would leave every range


def signal(rng: np.random.Generator, factor: Floats, w: Signals) -> Floats:
    """Standard scores (n, months) that follow `factor`, with a level of the company's own and noise."""
    z = np.float32(w.noise) * ar1(rng, factor.shape, persistence=w.persistence)
    z += np.float32(w.own) * rng.standard_normal((len(factor), 1), dtype=np.float32)
    z += np.float32(w.factor) * factor
    return np.clip(z, -MOST_SIGMAS, MOST_SIGMAS, out=z)


def share(z: Floats, m: Margin) -> Floats:
    """A share of 1 with its median at the margin's centre.

    >>> share(np.float32([0.0]), Margin(0.25, 1.0)).tolist()
    [0.25]
    """
    return np.asarray(expit(np.float32(np.log(m.centre / (1 - m.centre))) + np.float32(m.spread) * z))


def events(z: Floats, m: Margin) -> Floats:
    """Nothing for most; growing exponentially above z = centre.

    >>> events(np.float32([0.0, 1.0, 3.0]), Margin(1.0, np.log(2))).round(3).tolist()
    [0.0, 0.0, 3.0]
    """
    return np.asarray(np.expm1(np.float32(m.spread) * np.maximum(z - np.float32(m.centre), 0)))


def whole(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Amounts in whole yuan, or other whole units."""
    return np.rint(np.asarray(values, dtype=np.float64))
