"""A probability of default becomes a grade of the master scale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import ConfigError
from fedcredit.strict import build

DEFAULTED = "D"


@dataclass(frozen=True)
class Grade:
    """A notch: its number from the best (1), the PD that stands for it, and the PDs it holds, low <= pd < high."""

    name: str
    number: int
    pd: float
    low: float
    high: float


@dataclass(frozen=True)
class _Line:
    name: str
    pd_percent: float


@dataclass(frozen=True)
class _File:
    schema: int
    name: str
    grades: tuple[_Line, ...]


@dataclass(frozen=True)
class MasterScale:
    """Grades from the best to the worst. Bounds are geometric means of neighbouring PDs, a step in log-PD.

    >>> scale = master_scale()
    >>> scale.names([0.0001, 0.068, 0.9]).tolist()
    ['AAA', 'B+', 'C']
    >>> scale.notches("B+", "A")
    8
    """

    name: str
    grades: tuple[Grade, ...]

    @property
    def bounds(self) -> NDArray[np.float64]:
        """The inner bounds, one fewer than grades; a PD on a bound belongs to the worse grade."""
        return np.array([grade.low for grade in self.grades[1:]], dtype=np.float64)

    @property
    def pds(self) -> NDArray[np.float64]:
        """The PD that stands for each grade."""
        return np.array([grade.pd for grade in self.grades], dtype=np.float64)

    def place(self, pd: ArrayLike) -> NDArray[np.int64]:
        """Index of each PD's grade, 0 the best.

        Raises:
            ConfigError: a PD is not a number from 0 to 1.
        """
        value = np.asarray(pd, dtype=np.float64)
        if not ((value >= 0) & (value <= 1)).all():  # NaN fails too
            raise ConfigError("pd", found="a value outside 0..1 or none", expected="probabilities")
        return np.searchsorted(self.bounds, value, side="right").astype(np.int64)

    def names(self, pd: ArrayLike) -> NDArray[np.str_]:
        """Name of each PD's grade."""
        return np.array([grade.name for grade in self.grades])[self.place(pd)]

    def grade(self, name: str) -> Grade:
        """The grade of that name; D holds only what has defaulted.

        Raises:
            ConfigError: the scale has no such grade.
        """
        if name == DEFAULTED:
            return Grade(DEFAULTED, len(self.grades) + 1, 1.0, 1.0, 1.0)
        for grade in self.grades:
            if grade.name == name:
                return grade
        names = ", ".join(grade.name for grade in self.grades)
        raise ConfigError("grade", found=repr(name[:20]), expected=f"one of {names}, {DEFAULTED}")

    def notches(self, a: str, b: str) -> int:
        """How many notches b is better than a; negative where it is worse.

        Raises:
            ConfigError: the scale has no such grade.
        """
        return self.grade(a).number - self.grade(b).number


def from_pds(name: str, grades: dict[str, float]) -> MasterScale:
    """A scale from the PD that stands for each grade, best first.

    Raises:
        ConfigError: fewer than two grades, or PDs that do not rise between 0 and 1.

    >>> from_pds("two", {"good": 0.01, "bad": 0.04}).bounds.tolist()
    [0.02]
    """
    pds = list(grades.values())
    if len(pds) < 2 or not all(0 < a < b < 1 for a, b in pairwise(pds)):
        raise ConfigError(f"scale {name}", found="PDs in another order", expected="two or more that rise from 0 to 1")
    inner = [float(np.sqrt(a * b)) for a, b in pairwise(pds)]
    bounds = zip(grades.items(), [0.0, *inner], [*inner, 1.0], strict=True)
    return MasterScale(name, tuple(Grade(n, k, pd, lo, hi) for k, ((n, pd), lo, hi) in enumerate(bounds, start=1)))


@cache
def master_scale() -> MasterScale:
    """The 19 notches of master_scale.yaml, AAA (.03 %) to C (50 %)."""
    text = files(__package__).joinpath("master_scale.yaml").read_text(encoding="utf-8")
    file = build(_File, yaml.safe_load(text), where="master_scale.yaml")
    return from_pds(file.name, {line.name: line.pd_percent / 100 for line in file.grades})


MASTER = master_scale()


def grades_of(pd: ArrayLike, scale: str | None) -> list[str | None]:
    """The grade of each PD on the scale that a model's card names; None for each where it names none.

    A model that was never calibrated gives no grades: its probability is a rank, not a default rate.

    Raises:
        ConfigError: a scale that this version does not know, or what is no PD.

    >>> grades_of([0.0027, 0.068], "master19"), grades_of([0.5], None)
    (['A', 'B+'], [None])
    """
    if scale is None:
        return [None] * np.size(pd)
    if scale != MASTER.name:
        hint = "a newer fedcredit wrote it; install that version"
        raise ConfigError("scale", found=repr(scale[:20]), expected=MASTER.name, hint=hint)
    return [str(name) for name in MASTER.names(pd)]
