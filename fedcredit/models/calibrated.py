"""A model's probability becomes a calibrated one: steps that rise, kept in the model's card as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import ModelError

Floats = NDArray[np.float64]
MAX_KNOTS = 1024  # a card comes from a file that somebody sent
# Beyond these, in log-odds, a probability is 0 or 1 for every purpose and no longer tells ranks apart.
LIMIT = 50.0
SMALLEST = 1e-15


def logit(p: ArrayLike) -> Floats:
    """Log-odds, finite also at 0 and 1.

    >>> logit([0.5, 0.0]).round(2).tolist()
    [0.0, -34.54]
    """
    inside = np.clip(np.asarray(p, dtype=np.float64), SMALLEST, 1 - SMALLEST)
    odds: Floats = np.log(inside) - np.log1p(-inside)
    return odds


def expit(z: ArrayLike) -> Floats:
    """The probability of log-odds.

    >>> expit([0.0, -800.0]).tolist()
    [0.5, 0.0]
    """
    odds = np.asarray(z, dtype=np.float64)
    small = np.exp(-np.abs(odds))
    p: Floats = np.where(odds >= 0, 1 / (1 + small), small / (1 + small))
    return p


@dataclass(frozen=True)
class Temperature:
    """Log-odds divided by a temperature, then shifted (Platt 1999 on the log-odds; Guo et al. 2017 without shift).

    >>> Temperature(temperature=2.0, shift=0.0).apply([0.8]).round(4).tolist()
    [0.6667]
    """

    kind: ClassVar[str] = "temperature"
    temperature: float
    shift: float

    def __post_init__(self) -> None:
        if not (0.01 <= self.temperature <= 100 and abs(self.shift) <= LIMIT):
            found = f"temperature {self.temperature} and shift {self.shift}"
            raise ModelError("calibration", found=found, expected=f".01 to 100, and -{LIMIT:g} to {LIMIT:g}")

    def apply(self, p: ArrayLike) -> Floats:
        """The calibrated probabilities."""
        return expit(logit(p) / self.temperature + self.shift)


@dataclass(frozen=True)
class Beta:
    """Log-odds a ln(p) - b ln(1-p) + c: other slopes for low and for high scores (Kull et al. 2017).

    >>> Beta(a=1.0, b=1.0, c=0.0).apply([0.2]).round(4).tolist()
    [0.2]
    """

    kind: ClassVar[str] = "beta"
    a: float
    b: float
    c: float

    def __post_init__(self) -> None:
        if not (0 <= self.a <= 100 and 0 <= self.b <= 100 and self.a + self.b > 0.01 and abs(self.c) <= LIMIT):
            found = f"a {self.a}, b {self.b}, c {self.c}"
            raise ModelError("calibration", found=found, expected="slopes of 0 to 100 that are not both 0")

    def apply(self, p: ArrayLike) -> Floats:
        """The calibrated probabilities."""
        inside = np.clip(np.asarray(p, dtype=np.float64), SMALLEST, 1 - SMALLEST)
        return expit(self.a * np.log(inside) - self.b * np.log1p(-inside) + self.c)


@dataclass(frozen=True)
class Isotonic:
    """Log-odds through knots that rise in both, straight between them and with slope 1 beyond (Zadrozny, Elkan 2002).

    Strictly rising, so that ranks and the AUC stay as they were.

    >>> Isotonic(x=(-1.0, 1.0), y=(-3.0, 1.0)).apply([0.5]).round(4).tolist()
    [0.2689]
    """

    kind: ClassVar[str] = "isotonic"
    x: tuple[float, ...]
    y: tuple[float, ...]

    def __post_init__(self) -> None:
        rise = all(b > a for knots in (self.x, self.y) for a, b in pairwise(knots))
        inside = all(abs(value) <= LIMIT for value in (*self.x, *self.y))
        if not (1 < len(self.x) == len(self.y) <= MAX_KNOTS and rise and inside):
            expected = f"2 to {MAX_KNOTS} pairs of log-odds that rise"
            raise ModelError("calibration", found=f"{len(self.x)} and {len(self.y)} knots", expected=expected)

    def apply(self, p: ArrayLike) -> Floats:
        """The calibrated probabilities."""
        z, x, y = logit(p), np.array(self.x), np.array(self.y)
        return expit(np.interp(z, x, y) + np.minimum(z - x[0], 0) + np.maximum(z - x[-1], 0))


@dataclass(frozen=True)
class PriorShift:
    """Corrects probabilities for a default rate other than the training rows' (Elkan 2001, theorem 2).

    >>> PriorShift(from_rate=0.5, to_rate=0.2).apply(np.array([0.5]))
    array([0.2])
    """

    kind: ClassVar[str] = "prior_shift"
    from_rate: float
    to_rate: float

    def __post_init__(self) -> None:
        if not (0 < self.from_rate < 1 and 0 < self.to_rate < 1):
            found = f"rates {self.from_rate} and {self.to_rate}"
            raise ModelError("calibration", found=found, expected="two rates between 0 and 1")

    def apply(self, p: ArrayLike) -> Floats:
        """The probabilities, their odds multiplied by the ratio of the two rates' odds."""
        score = np.asarray(p, dtype=np.float64)
        default = score * (self.to_rate / self.from_rate)
        survival = (1 - score) * ((1 - self.to_rate) / (1 - self.from_rate))
        shifted: Floats = default / (default + survival)
        return shifted


Step = Temperature | Beta | Isotonic | PriorShift


def calibrate(p: ArrayLike, steps: Sequence[Step]) -> Floats:
    """The probabilities after every step, in order.

    >>> calibrate([0.5], [PriorShift(0.5, 0.2), Temperature(1.0, 0.0)]).round(4).tolist()
    [0.2]
    """
    value = np.asarray(p, dtype=np.float64)
    for step in steps:
        value = step.apply(value)
    return value


def told(step: Step) -> str:
    """One step in words.

    >>> told(PriorShift(0.5, 0.2))
    'default rate 0.5 to 0.2'
    """
    match step:
        case PriorShift(from_rate, to_rate):
            return f"default rate {from_rate:g} to {to_rate:g}"
        case Temperature(temperature, shift):
            return f"temperature {temperature:g}, shift {shift:g}"
        case Beta(a, b, c):
            return f"beta a {a:g}, b {b:g}, c {c:g}"
    return f"isotonic, {len(step.x)} knots"
