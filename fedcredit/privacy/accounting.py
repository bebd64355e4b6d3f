"""Noisy steps into the epsilon that they spend together, and an epsilon into the noise that a plan needs."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.privacy.pld import Query, pld_epsilon

# Error of the PRV accountant's numerical composition, in epsilon; it reports the upper end.
EPSILON_ERROR = 0.001
# A solved noise multiplier leaves at most this much of epsilon unused.
SOLVER_SLACK = 0.002
MAX_EVALUATIONS = 25
# Two sound accountants may differ by their grids; by more than the larger of these, one of them is wrong.
APART_RELATIVE, APART = 0.01, 0.005
ACCOUNTANTS = ("prv", "pld")


class AccountantsDisagree(UserWarning):
    """Two independent accountants differ by more than their numerics explain; the larger figure was charged."""


@dataclass(frozen=True)
class Step:
    """`steps` equal steps of the Poisson-subsampled Gaussian mechanism: one entry of a privacy history.

    noise_multiplier: standard deviation of the noise over the clip. sample_rate: chance of a company to be in a batch.
    sampling: `poisson`, or `fixed` batches, in which a company's place is no secret: those are accounted at rate 1.
    """

    noise_multiplier: float
    sample_rate: float
    steps: int = 1
    sampling: Literal["poisson", "fixed"] = "poisson"

    def __post_init__(self) -> None:
        if not 0.0 <= self.noise_multiplier < math.inf:
            raise ConfigError("noise_multiplier", found=repr(self.noise_multiplier), expected="a number, 0 or more")
        if not 0.0 < self.sample_rate <= 1.0:
            raise ConfigError("sample_rate", found=repr(self.sample_rate), expected="above 0, at most 1")
        if type(self.steps) is not int or self.steps < 1:
            raise ConfigError("steps", found=repr(self.steps), expected="a whole number, 1 or more")
        if self.sampling not in ("poisson", "fixed"):
            raise ConfigError("sampling", found=repr(self.sampling), expected="poisson or fixed")
        if self.sampling == "fixed" and self.sample_rate != 1.0:
            hint = "fixed or shuffled batches amplify nothing: draw batches by Poisson sampling, or account at rate 1"
            found = f"fixed batches with a sample rate of {self.sample_rate:g}"
            raise PolicyRefused("sampling", found=found, expected="Poisson sampling, or a rate of 1", hint=hint)


def check_accountant(name: str) -> None:
    """Pass the accountants that are used here; `gdp` is refused by name.

    Raises:
        PolicyRefused: `gdp` approximates by a central limit from below: 2.74 where 3.00 is spent.
        ConfigError: another name.
    """
    if name == "gdp":
        hint = "it is a central-limit approximation that reports up to a sixth less than is spent"
        raise PolicyRefused("privacy.accountant", found="gdp", expected=" or ".join(ACCOUNTANTS), hint=hint)
    if name not in ACCOUNTANTS:
        raise ConfigError("privacy.accountant", found=repr(name), expected=" or ".join(ACCOUNTANTS))


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

    By the PRV accountant, checked by an independent one (privacy loss distributions, dp-accounting); see `agreed`.
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
    counted: Counter[tuple[float, float]] = Counter()
    for step in history:
        counted[step.noise_multiplier, step.sample_rate] += step.steps
    return _epsilon_spent(tuple(sorted((sigma, rate, steps) for (sigma, rate), steps in counted.items())), delta)


def agreed(prv: float, pld: float) -> float:
    """The PRV figure where the two agree to max(1 %, .005), else the larger of them, with a warning.

    >>> agreed(2.9990, 2.9976)
    2.999
    """
    if prv == pld or abs(prv - pld) <= max(APART_RELATIVE * min(prv, pld), APART):
        return prv
    warnings.warn(
        f"epsilon is {prv:.4f} by PRV and {pld:.4f} by PLD; the larger is charged", AccountantsDisagree, stacklevel=2
    )
    return max(prv, pld)


def _check_delta(delta: float) -> None:
    if not 0.0 < delta < 1.0:
        raise ConfigError("privacy.delta", found=repr(delta), expected="between 0 and 1", hint="see delta_for")


@lru_cache(maxsize=1024)
def _solve_noise(epsilon: float, delta: float, sample_rate: float, steps: int) -> float:
    # Opacus's get_noise_multiplier(accountant="prv") finds the same by bisection, in 15 to 20 evaluations of up to a
    # second each. Here the fast accountant comes close, and the charged figure needs one or two evaluations more.
    slack = min(SOLVER_SLACK, epsilon / 10)
    start = max(0.5, sample_rate * math.sqrt(2 * steps * math.log(1 / delta)) / epsilon)

    def by_pld(sigma: float) -> float:
        return pld_epsilon([Query("gaussian", sigma, sample_rate, steps)], delta=delta)

    def charged(sigma: float) -> float:
        return _epsilon_spent(((sigma, sample_rate, steps),), delta)

    # The PRV figure is an upper end: it lies up to half of its error above the other one.
    close = secant(by_pld, epsilon - slack / 2 - EPSILON_ERROR / 2, start=start, slack=slack / 4)
    sigma = close and secant(charged, epsilon, start=close, slack=slack)
    if sigma is None:
        raise ConfigError(
            "privacy.epsilon",
            found=f"{epsilon} with sample_rate {sample_rate} and {steps} steps",
            expected="a plan for which a noise multiplier can be found",
            hint="fewer steps, a smaller sample rate or a larger epsilon",
        )
    return sigma


def secant(spent: Callable[[float], float], epsilon: float, *, start: float, slack: float) -> float | None:
    """The noise at which `spent(noise)` is at most `epsilon` and less than `slack` under it, or None.

    A secant in log(noise), log(epsilon), along which the curve is almost straight.

    >>> round(secant(lambda sigma: 6 / sigma, 3.0, start=1.0, slack=0.002), 2)
    2.0
    """
    sigma, slope, before = start, -1.0, (math.nan, math.nan)
    for _ in range(MAX_EVALUATIONS):
        found = spent(sigma)
        if epsilon - slack <= found <= epsilon:
            return sigma
        if not 0.0 < found < math.inf:
            sigma *= 2.0 if found else 0.5
            continue
        here = (math.log(sigma), math.log(found))
        if abs(here[0] - before[0]) > 0.0:
            slope = min(max((here[1] - before[1]) / (here[0] - before[0]), -20.0), -0.5)
        sigma, before = math.exp(here[0] + (math.log(epsilon - slack / 2) - here[1]) / slope), here
    return None


@lru_cache(maxsize=4096)
def _epsilon_spent(history: tuple[tuple[float, float, int], ...], delta: float) -> float:
    if not history:
        return 0.0
    queries = [Query("gaussian", sigma, rate, steps) for sigma, rate, steps in history]
    return agreed(_prv_epsilon(history, delta), pld_epsilon(queries, delta=delta))


def _prv_epsilon(history: tuple[tuple[float, float, int], ...], delta: float) -> float:
    from opacus.accountants import PRVAccountant  # seconds to import, needed only under privacy

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
