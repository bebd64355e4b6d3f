"""The shift that one company makes in Gaussian noise, into the epsilon that it spends, and back."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from fedcredit.errors import ConfigError

LARGEST_EPSILON = 200.0
LARGEST_SHIFT = 15.0


def gaussian_delta(mu: float, *, epsilon: float) -> float:
    """The exact delta of a Gaussian mechanism whose sensitivity is `mu` standard deviations (Balle, Wang 2018).

    >>> round(gaussian_delta(1.0, epsilon=1.0), 4)
    0.1269
    """
    # e^epsilon Phi(-mu/2 - epsilon/mu), summed in the logarithm: e^200 alone would be inexact beside it.
    return float(ndtr(mu / 2 - epsilon / mu) - math.exp(epsilon + float(log_ndtr(-mu / 2 - epsilon / mu))))


def gaussian_epsilon(mu: float, *, delta: float) -> float:
    """The exact epsilon, at `delta`, of a Gaussian mechanism whose sensitivity is `mu` standard deviations.

    k steps of noise multiplier s on all companies are one such mechanism, with mu = sqrt(k) / s.

    >>> round(gaussian_epsilon(1.0, delta=1e-5), 2)
    4.38
    """
    _check(delta)
    if mu <= 0.0 or gaussian_delta(mu, epsilon=0.0) <= delta:
        return 0.0
    if mu > LARGEST_SHIFT:
        return math.inf
    return float(brentq(lambda e: gaussian_delta(mu, epsilon=e) - delta, 0.0, LARGEST_EPSILON))


def gaussian_mu(epsilon: float, *, delta: float) -> float:
    """The shift whose exact epsilon at `delta` is `epsilon`.

    >>> round(gaussian_epsilon(gaussian_mu(3.0, delta=1e-5), delta=1e-5), 6)
    3.0
    """
    _check(delta)
    if not 0.0 < epsilon <= LARGEST_EPSILON / 2:
        raise ConfigError("epsilon", found=repr(epsilon), expected=f"above 0, at most {LARGEST_EPSILON / 2:g}")
    return float(brentq(lambda mu: gaussian_delta(mu, epsilon=epsilon) - delta, 1e-6, LARGEST_SHIFT))


def _check(delta: float) -> None:
    if not 0.0 < delta < 1.0:
        raise ConfigError("delta", found=repr(delta), expected="between 0 and 1")
