"""Scores of canaries, each trained on or not by a fair coin, into an epsilon that the training certainly exceeds."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from fedcredit.errors import ConfigError
from fedcredit.privacy.auditing.gaussian import gaussian_epsilon

# Shares of the canaries that are guessed at, half from the top and half from the bottom of the scores. Fixed before
# any score is seen; each is tested at (1 - confidence) over their number, so that the best of them may be reported.
# Not at all of them: the coins fall unevenly, and half of each side would then be wrong by necessity.
GUESSED_SHARES = (0.02, 0.05, 0.1, 0.2, 0.8)
CONFIDENCE = 0.95
# Where the search for a bound stops: nobody claims a larger epsilon.
LARGEST_BOUND = 30.0
LARGEST_SHIFT = 8.0


@dataclass(frozen=True)
class Bound:
    """With probability `confidence` over coins and noise, the audited epsilon at `delta` is at least `epsilon`.

    gaussian: the same, where the mechanism is one Gaussian (every company in every batch); None where it is not.
    correct of guesses: those of the share that gave `epsilon`. reach: the bound that faultless guesses would have
    given, beyond which these canaries cannot contradict a claim.
    """

    epsilon: float
    gaussian: float | None
    delta: float
    confidence: float
    canaries: int
    guesses: int
    correct: int
    reach: float

    @property
    def best(self) -> float:
        """The larger of the two."""
        return max(self.epsilon, self.gaussian or 0.0)


def bound_epsilon(
    scores: NDArray[np.float64],
    is_included: NDArray[np.bool_],
    *,
    delta: float,
    is_gaussian: bool,
    confidence: float = CONFIDENCE,
) -> Bound:
    """The largest epsilon that the scores reject: high scores are guessed in, low ones out (Steinke et al. 2023).

    scores (m,) and is_included (m,) by canary. `epsilon` assumes nothing of the mechanism. `gaussian` tests instead
    that the whole trade-off curve is a Gaussian's (Mahloujifar, Melis, Chaudhuri 2024), and so is about half as large
    again; both are tested, so each takes half of the allowed error where `is_gaussian`.

    >>> coins = np.arange(1000) % 2 == 0
    >>> found = bound_epsilon(coins.astype(float), coins, delta=1e-5, is_gaussian=False)
    >>> found.correct, found.guesses, 4.5 < found.epsilon < 5.5
    (800, 800, True)
    >>> bound_epsilon(np.arange(1000.0), coins, delta=1e-5, is_gaussian=True).best
    0.0
    """
    m = len(scores)
    if scores.shape != is_included.shape or m < 2:
        raise ConfigError("canaries", found=f"{scores.shape} scores, {is_included.shape} coins", expected="one of each")
    if not np.isfinite(scores).all():
        raise ConfigError("canaries", found="a score that is not finite", expected="numbers")
    error = (1.0 - confidence) / (len(GUESSED_SHARES) * (2 if is_gaussian else 1))
    order = np.argsort(scores, kind="stable")
    best, gaussian, reach = (0.0, 0, 0), 0.0, 0.0
    for share in GUESSED_SHARES:
        k = max(1, round(share * m / 2))
        correct = int(is_included[order[-k:]].sum() + (~is_included[order[:k]]).sum())
        best = max(best, (steinke_bound(m, 2 * k, correct=correct, delta=delta, error=error), correct, 2 * k))
        reach = max(reach, steinke_bound(m, 2 * k, correct=2 * k, delta=delta, error=error))
        if is_gaussian:
            mu = _largest_rejected(lambda t: _rejects_gaussian(t, m, k, correct, error), LARGEST_SHIFT)  # noqa: B023 - called at once
            gaussian = max(gaussian, gaussian_epsilon(mu, delta=delta))
    epsilon, correct, guesses = best
    return Bound(epsilon, gaussian if is_gaussian else None, delta, confidence, m, guesses, correct, reach)


def steinke_bound(m: int, guesses: int, *, correct: int, delta: float, error: float) -> float:
    """The largest epsilon under which `correct` or more of `guesses` about m canaries have a chance below `error`.

    >>> round(steinke_bound(1000, 1000, correct=800, delta=0.0, error=0.05), 2)
    1.25
    """
    return _largest_rejected(
        lambda epsilon: chance(m, guesses, correct=correct, epsilon=epsilon, delta=delta) < error, LARGEST_BOUND
    )


def chance(m: int, guesses: int, *, correct: int, epsilon: float, delta: float) -> float:
    """An upper bound on the chance of that many correct guesses under (epsilon, delta): theorem 5.2 of Steinke et al.

    Under pure epsilon the number of correct guesses is dominated by W ~ Binomial(guesses, e^eps / (1 + e^eps)); delta
    adds 2 m delta max_i P[correct - i <= W < correct] / i.

    >>> chance(10, 10, correct=10, epsilon=0.0, delta=0.0) == 0.5**10
    True
    """
    p = 1.0 / (1.0 + math.exp(-epsilon))
    tail = float(binom.sf(correct - 1, guesses, p))
    if delta == 0.0 or correct == 0:
        return tail
    i = np.arange(1, correct + 1)
    added = (binom.sf(correct - 1 - i, guesses, p) - tail) / i
    return min(1.0, tail + 2 * m * delta * float(added.max()))


def _rejects_gaussian(mu: float, m: int, k: int, correct: int, error: float) -> bool:
    """Whether mu-Gaussian privacy allows so many correct of 2k guesses with a chance below `error` only.

    The recursion of Mahloujifar et al. 2024 (algorithm 3, two outcomes): r and h are the least masses of right and of
    wrong guesses that a mechanism with this trade-off curve needs in order to be right so often; they do not fit.
    """
    guesses = 2 * k
    r, h = error * correct / m, error * (guesses - correct) / m
    for i in range(correct - 1, -1, -1):
        needed = max(h, float(ndtr(float(ndtri(min(r, 1.0))) - mu)))
        r, h = r + i / (guesses - i) * (needed - h), needed
        if r + h > guesses / m:
            return True
    return False


def _largest_rejected(rejects: Callable[[float], bool], most: float) -> float:
    if not rejects(0.0):
        return 0.0
    low, high = 0.0, most
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if rejects(middle) else (low, middle)
    return low
