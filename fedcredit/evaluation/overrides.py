"""Grades that a person changed become counts, and the counts whether the changes were right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import PolicyRefused, TableError
from fedcredit.evaluation.intervals import LEVEL, Interval
from fedcredit.evaluation.proportions import jeffreys, wilson

MAX_NOTCHES = 2
REASONS = {
    "data-error": "a figure that the model saw was wrong",
    "new-accounts": "newer accounts than the model saw",
    "group-support": "a parent or guarantor stands behind the company",
    "group-burden": "a parent or affiliate draws on the company",
    "litigation": "a claim or penalty that is not decided yet",
    "management": "a change of owners or management",
    "sector-event": "an event in the sector that came after the data",
}


@dataclass(frozen=True)
class Override:
    """A change of one company's grade, proposed by one person and approved by another; grades are numbers from 0."""

    model_grade: int
    final_grade: int
    reason: str
    proposed_by: str
    approved_by: str

    def __post_init__(self) -> None:
        notches = abs(self.final_grade - self.model_grade)
        if not 1 <= notches <= MAX_NOTCHES:
            hint = "a company that needs more is outside the model: have it rated by an analyst"
            raise PolicyRefused("override", found=f"{notches} notches", expected=f"1 to {MAX_NOTCHES}", hint=hint)
        if self.reason not in REASONS:
            raise PolicyRefused("override, reason", found="an unknown code", expected=", ".join(REASONS))
        people = [name.strip().casefold() for name in (self.proposed_by, self.approved_by)]
        if not all(people) or people[0] == people[1]:
            raise PolicyRefused("override, approval", found="one person", expected="two different people, by name")


def override_counts(model_grade: ArrayLike, final_grade: ArrayLike, y: ArrayLike, *, grades: int) -> NDArray[np.int64]:
    """Counts (2, grades, 5) of good and bad companies by the model's grade and notches -2..2 (better is negative).

    >>> override_counts([1, 1], [0, 1], [0, 1], grades=2)[:, 1].tolist()
    [[0, 1, 0, 0, 0], [0, 0, 1, 0, 0]]
    """
    model, final, bad = (np.atleast_1d(np.asarray(side)) for side in (model_grade, final_grade, y))
    if not model.shape == final.shape == bad.shape:
        raise TableError("overrides", found="lists of different lengths", expected="two grades and one outcome each")
    notches = final.astype(np.int64) - model.astype(np.int64)
    if model.size and not bool((np.abs(notches) <= MAX_NOTCHES).all()):
        raise TableError("overrides", found="a change of more notches", expected=f"at most {MAX_NOTCHES}")
    if model.size and not (min(model.min(), final.min()) >= 0 and max(model.max(), final.max()) < grades):
        raise TableError("overrides", found="a grade off the scale", expected=f"numbers from 0 to {grades - 1}")
    width = 2 * MAX_NOTCHES + 1
    cells = (bad.astype(np.int64) * grades + model.astype(np.int64)) * width + notches + MAX_NOTCHES
    return np.bincount(cells, minlength=2 * grades * width).reshape(2, grades, width).astype(np.int64)


@dataclass(frozen=True)
class Direction:
    """Companies whose grade went one way. By the model's and by the final grade: seen over expected defaults, Brier."""

    companies: int
    defaults: int
    bad_rate: Interval
    model_observed_expected: Interval
    final_observed_expected: Interval
    model_brier: float
    final_brier: float

    @property
    def was_right(self) -> bool:
        """Whether the changed PDs came closer to what happened."""
        return self.final_brier < self.model_brier


@dataclass(frozen=True)
class Overrides:
    """rate: the share of companies whose grade was changed; None for a direction that nobody went."""

    companies: int
    rate: Interval
    better: Direction | None
    worse: Direction | None
    unchanged: Direction | None


def overrides(counts: ArrayLike, pd: Sequence[float], *, level: float = LEVEL) -> Overrides:
    """Override rate and outcome, from `override_counts` and the PD of each grade.

    >>> counts = override_counts([1] * 20 + [1] * 80, [0] * 20 + [1] * 80, [1] * 4 + [0] * 96, grades=2)
    >>> found = overrides(counts, [0.01, 0.1])
    >>> found.rate.point, round(found.better.final_observed_expected.point, 6), found.better.was_right
    (0.2, 20.0, False)
    """
    table, scale = np.asarray(counts, dtype=np.float64), np.asarray(pd, dtype=np.float64)
    if table.shape != (2, len(scale), 2 * MAX_NOTCHES + 1):
        raise TableError("overrides", found=f"shape {table.shape}", expected=f"(2, {len(scale)}, 5)")
    notches = np.arange(-MAX_NOTCHES, MAX_NOTCHES + 1)
    sides = (notches < 0, notches > 0, notches == 0)
    better, worse, unchanged = (_direction(table, scale, notches, side, level) for side in sides)
    everybody, changed = float(table.sum()), float(table[:, :, notches != 0].sum())
    return Overrides(round(everybody), wilson(changed, everybody, level=level), better, worse, unchanged)


def _direction(
    table: NDArray[np.float64],
    pd: NDArray[np.float64],
    notches: NDArray[np.int64],
    side: NDArray[np.bool_],
    level: float,
) -> Direction | None:
    good, bad = table[:, :, side]
    total = good + bad
    n, d = float(total.sum()), float(bad.sum())
    if not n:
        return None
    grade = np.arange(len(pd))[:, None]
    model = np.broadcast_to(pd[:, None], total.shape)
    final = pd[(grade + notches[side]).clip(0, len(pd) - 1)]
    told = []
    for said in (model, final):
        mean = float((total * said).sum()) / n
        ratio = Interval(*(rate / mean for rate in jeffreys(d, n, level=level)))
        told.append((ratio, float((good * said**2 + bad * (1 - said) ** 2).sum()) / n))
    (model_ratio, model_brier), (final_ratio, final_brier) = told
    return Direction(round(n), round(d), wilson(d, n, level=level), model_ratio, final_ratio, model_brier, final_brier)
