"""What was done to a company's rows, as a value that a ledger keeps: training, a statistic, a released metric."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from fedcredit.errors import ConfigError, PolicyRefused
from fedcredit.privacy.accounting import Step, epsilon_spent
from fedcredit.privacy.pld import Noise, Query, pld_epsilon
from fedcredit.strict import build

Kind = Literal["training", "binning", "statistic", "metrics", "audit"]


@dataclass(frozen=True)
class Mechanism:
    """`count` equal noisy queries of one kind.

    noise_scale: of Gaussian noise the standard deviation, of Laplace noise the scale (of the discrete one too, which is
    for whole numbers), over the largest change that one company can make (the clip). sampling `poisson`: every company
    is in a query with chance sample_rate, drawn by the institution and known to nobody; `none`: all companies are in,
    or batches are fixed, and nothing is amplified.

    >>> m = Mechanism("metrics", noise_scale=40.0)
    >>> Mechanism.from_json(m.to_json()) == m
    True
    """

    kind: Kind
    noise_scale: float
    noise: Noise = "gaussian"
    sampling: Literal["poisson", "none"] = "none"
    sample_rate: float = 1.0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0.0 <= self.noise_scale < math.inf:
            raise ConfigError("mechanism.noise_scale", found=repr(self.noise_scale), expected="a number, 0 or more")
        if not 0.0 < self.sample_rate <= 1.0:
            raise ConfigError("mechanism.sample_rate", found=repr(self.sample_rate), expected="above 0, at most 1")
        if type(self.count) is not int or self.count < 1:
            raise ConfigError("mechanism.count", found=repr(self.count), expected="a whole number, 1 or more")
        if self.sampling == "none" and self.sample_rate != 1.0:
            hint = "only batches that Poisson sampling draws in secret are amplified; count every step in full"
            found = f"a sample rate of {self.sample_rate:g} without Poisson sampling"
            raise PolicyRefused("mechanism.sampling", found=found, expected="poisson, or a rate of 1", hint=hint)

    @staticmethod
    def of_step(step: Step, *, rounds: int = 1) -> Mechanism:
        """The training that `rounds` rounds of this step are."""
        sampling: Literal["poisson", "none"] = "none" if step.sampling == "fixed" else "poisson"
        return Mechanism(
            "training",
            noise_scale=step.noise_multiplier,
            sampling=sampling,
            sample_rate=step.sample_rate,
            count=step.steps * rounds,
        )

    @property
    def query(self) -> Query:
        """The same as the accountant takes it."""
        return Query(self.noise, self.noise_scale, self.sample_rate, self.count)

    @property
    def once(self) -> Mechanism:
        """One of them."""
        return replace(self, count=1)

    def times(self, count: int) -> Mechanism:
        """`count` of these one after the other."""
        return replace(self, count=self.count * count)

    def covers(self, other: Mechanism) -> bool:
        """Whether one of the other spends no more than one of this: the same query with as much noise, or more."""
        return replace(other, noise_scale=self.noise_scale, count=self.count) == self and (
            other.noise_scale >= self.noise_scale
        )

    def to_json(self) -> str:
        """One line with sorted keys: equal mechanisms give equal text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @staticmethod
    def from_json(text: str) -> Mechanism:
        """The mechanism in `text`, checked field by field."""
        return build(Mechanism, json.loads(text), where="mechanism", complete=True)


def joint_epsilon(history: Iterable[Mechanism], *, delta: float, institutions: int = 1) -> float:
    """Epsilon of everything together at `delta`, for a company to which each institution did all of it.

    `institutions` is the largest number that a company is known to: m copies of the history compose, which is less
    than m times the epsilon of one.

    >>> training = Mechanism("training", 8.0, sampling="poisson", sample_rate=0.5, count=120)
    >>> one, both = (joint_epsilon([training], delta=1e-5, institutions=m) for m in (1, 2))
    >>> 2.8 < one < both < 2 * one
    True
    """
    return pld_epsilon((mechanism.times(institutions).query for mechanism in history), delta=delta)


def run_epsilon(history: Sequence[Mechanism], *, delta: float) -> float:
    """Epsilon of one run at one institution, by both accountants where both know its mechanisms; see `agreed`."""
    if any(mechanism.noise != "gaussian" for mechanism in history):
        return joint_epsilon(history, delta=delta)
    return epsilon_spent([Step(m.noise_scale, m.sample_rate, m.count) for m in history], delta=delta)
