"""Noisy steps into the epsilon that they spend together, and an epsilon into the noise that a plan needs."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fedcredit.errors import ConfigError

# Error of the PRV accountant's numerical composition, in epsilon; it reports the upper end.
EPSILON_ERROR = 0.001
# A solved noise multiplier leaves at most this much of epsilon unused.
SOLVER_SLACK = 0.002
MAX_EVALUATIONS = 25


@dataclass(frozen=True)
class Step:
    """`steps` equal steps of the Poisson-subsampled Gaussian mechanism: one entry of a privacy history.

    noise_multiplier: standard deviation of the noise over the clip. sample_rate: chance of a company to be in a batch.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int = 1

    def __post_init__(self) -> None:
        if not 0.0 <= self.noise_multiplier < math.inf:
            raise ConfigError("noise_multiplier", found=repr(self.noise_multiplier), expected="a number, 0 or more")
        if not 0.0 < self.sample_rate <= 1.0:
            raise ConfigError("sample_rate", found=repr(self.sample_rate), expected="above 0, at most 1")
        if type(self.steps) is not int or self.steps < 1:
            raise ConfigError("steps", found=repr(self.steps), expected="a whole number, 1 or more")


def delta_for(companies: int) -> float:
    """The largest delta that we allow for an institution with that many companies: min(1e-5, 1 / (10 n)).

    >>> delta_for(490), delta_for(100_000)
    (1e-05, 1e-06)
    """
    if companies < 1:
        raise ConfigError("companies", found=str(companies), expected="at least one")
    return min(1e-5, 1.0 / (10 * companies))


def solve_noise(epsilon: float, *, delta: float, sample_rate: float, steps: int) -> float:
    """The noise multiplier with which `steps` steps spend at most `epsilon`, and less than .002 under it.

    Opacus's PRV accountant (Gopi, Lee, Wutschitz 2021). Its `gdp` accountant is not offered: it under-reports.

    >>> sigma = solve_noise(3.0, delta=1e-5, sample_rate=0.5, steps=10)
    >>> 2.99 < epsilon_spent([Step(sigma, 0.5, 10)], delta=1e-5) <= 3.0
    True
    """
    if not 0.0 < epsilon < math.inf:
        raise ConfigError(
            "privacy.epsilon", found=repr(epsilon), expected="above 0", hint="epsilon: null trains without privacy"
        )
    _check_delta(delta)
    plan = Step(1.0, sample_rate, steps)  # checks the rate and the steps
    return _solve_noise(float(epsilon), delta, plan.sample_rate, plan.steps)


def epsilon_spent(history: Sequence[Step], *, delta: float) -> float:
    """The epsilon of all steps together, at `delta`; give it every step since the first round.

    Composition does not depend on order, so equal steps are merged. A step without noise spends infinity.

    >>> one_round = Step(noise_multiplier=6.4, sample_rate=0.5)
    >>> epsilon_spent([one_round] * 120, delta=1e-5) == epsilon_spent([Step(6.4, 0.5, 120)], delta=1e-5)
    True
    >>> epsilon_spent([], delta=1e-5)
    0.0
    """
    _check_delta(delta)
    if any(step.noise_multiplier == 0.0 for step in history):
        return math.inf
    merged: Counter[tuple[float, float]] = Counter()
    for step in history:
        merged[step.noise_multiplier, step.sample_rate] += step.steps
    return _epsilon_spent(tuple(sorted((sigma, rate, steps) for (sigma, rate), steps in merged.items())), delta)


def _check_delta(delta: float) -> None:
    if not 0.0 < delta < 1.0:
        raise ConfigError("privacy.delta", found=repr(delta), expected="between 0 and 1", hint="see delta_for")


@lru_cache(maxsize=1024)
def _solve_noise(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    # Opacus's get_noise_multiplier(accountant="prv") finds the same by bisection, in 15 to 20 evaluations of up to a
    # second each. A secant in log(sigma), log(epsilon) from the central-limit figure needs about four.
    slack = min(SOLVER_SLACK, epsilon / 10)
    sigma = max(0.5, sample_rate * math.sqrt(2 * steps * math.log(1 / delta)) / epsilon)
    slope, before = -1.0, (math.nan, math.nan)
    for _ in range(MAX_EVALUATIONS):
        spent = _epsilon_spent(((sigma, sample_rate, steps),), delta)
        if epsilon - slack <= spent <= epsilon:
            return sigma
        here = (math.log(sigma), math.log(spent))
        if abs(here[0] - before[0]) > 0.0:
            slope = min(max((here[1] - before[1]) / (here[0] - before[0]), -20.0), -0.5)
        sigma, before = math.exp(here[0] + (math.log(epsilon - slack / 2) - here[1]) / slope), here
    raise ConfigError(
        "privacy.epsilon",
        found=f"{epsilon} with sample_rate {sample_rate} and {steps} steps",
        expected="a plan for which a noise multiplier can be found",
        hint="fewer steps, a smaller sample rate or a larger epsilon",
    )


@lru_cache(maxsize=4096)
def _epsilon_spent(history: tuple[tuple[float, float, int], ...], delta: float) -> float:
    from opacus.accountants import PRVAccountant  # seconds to import, needed only under privacy

    if not history:
        return 0.0
    accountant = PRVAccountant()
    accountant.history = list(history)
    with _numerics():
        return float(accountant.get_epsilon(delta=delta, eps_error=EPSILON_ERROR))


@contextlib.contextmanager
def _numerics() -> Iterator[None]:
    """Silence two remarks of Opacus that do not touch the result.

    The PRV accountant sizes its grid by an RDP bound, whose remark on the range of orders only says that the grid is
    larger than it had to be; and at sample_rate 1 it takes the logarithm of 1 - 1, where minus infinity is meant.
    """
    with np.errstate(divide="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is the", category=UserWarning)
        yield
