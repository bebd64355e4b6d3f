"""A value, its best end and a way to grade become the smallest change that moves the grade at least one notch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Grades 0 (best) and up of the companies at these positions, each with the value beside it.
GradeAt = Callable[[NDArray[np.intp], Floats], NDArray[np.int64]]

NO_GRADE = -1
PLACES = tuple((step / 16) ** 2 for step in range(1, 17))  # of the way to the best end, denser near the start
HALVINGS = 14  # the place of the change is known to 1/16,000 of the way
MOST_WHOLE = 64  # whole numbers that are tried one by one
DIGITS = 3


@dataclass(frozen=True)
class Change:
    """For each company the value that moves its grade and the better grade; NaN and NO_GRADE where none does."""

    value: Floats
    grade: NDArray[np.int64]


def smallest_change(
    start: Floats,
    end: Floats,
    *,
    now: NDArray[np.int64],
    grade_at: GradeAt,
    is_monotone: bool = False,
    is_whole: bool = False,
    tries_start: NDArray[np.bool_] | bool = False,
) -> Change:
    """The first value on the way from start to end, both (m,), at which the grade is better than `now` (m,).

    The value is cut to three digits and graded again, so that what is said is what was computed.
    is_monotone: the grade never gets worse on the way, so that the end alone says whether there is such a value;
    else places on the way are tried, and a better grade between two of them may be overlooked. is_whole: only whole
    numbers are tried, one by one. tries_start: the start itself is a change, as for a missing value.

    >>> def grade_at(rows, values): return np.where(values <= 0.5, 0, 1)
    >>> smallest_change(np.array([0.9]), np.array([0.0]), now=np.array([1]), grade_at=grade_at).value
    array([0.5])
    """
    with_start = np.broadcast_to(tries_start, start.shape)
    rows = np.flatnonzero((now > 0) & (with_start | (start != end)) & np.isfinite(start + end))
    value, grade = np.full(len(start), np.nan), np.full(len(start), NO_GRADE, dtype=np.int64)

    def keep_better(which: NDArray[np.intp], tried: Floats) -> NDArray[np.bool_]:
        reached = grade_at(which, tried)
        moves = reached < now[which]
        value[which[moves]], grade[which[moves]] = tried[moves], reached[moves]
        return moves

    first = rows[with_start[rows]]
    rows = np.setdiff1d(rows, first[keep_better(first, start[first])]) if len(first) else rows
    rows = rows[start[rows] != end[rows]]
    if is_whole:
        for step in range(1, MOST_WHOLE + 1):
            tried = _whole(start, end, step)
            rows = rows[(tried - end)[rows] * np.sign(end - start)[rows] <= 0]
            if not len(rows):
                break
            rows = rows[~keep_better(rows, tried[rows])]
        return Change(value, grade)

    below, above = np.zeros(len(start)), np.full(len(start), np.nan)

    def at(which: NDArray[np.intp], place: Floats) -> Floats:
        return np.where(place == 1, end[which], start[which] + place * (end - start)[which])

    for place in (1.0,) if is_monotone else PLACES:
        moves = grade_at(rows, at(rows, np.full(len(rows), place))) < now[rows]
        above[rows[moves]] = place
        rows = rows[~moves]
        below[rows] = place
    found = np.flatnonzero(np.isfinite(above))
    for _ in range(HALVINGS):
        middle = (below[found] + above[found]) / 2
        moves = grade_at(found, at(found, middle)) < now[found]
        above[found[moves]], below[found[~moves]] = middle[moves], middle[~moves]
    exact = at(found, above[found])
    for tried in (exact, *_cut(exact, start[found], end[found])):  # a cut value stands where it moves the grade too
        keep_better(found, tried)
    return Change(value, grade)


def _whole(start: Floats, end: Floats, step: int) -> Floats:
    """The whole numbers beyond the start, in the direction of the end."""
    return np.where(end > start, np.floor(start) + step, np.ceil(start) - step)


def _cut(value: Floats, start: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Three digits, towards the end and the nearest; close to zero the digits of a thousandth of the way count."""
    size = np.maximum(np.abs(value), np.abs(end - start) / 1000)
    unit = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.where(size > 0, size, 1.0))))
    towards = np.where(end >= start, np.ceil(value * unit), np.floor(value * unit)) / unit
    low, high = np.minimum(start, end), np.maximum(start, end)
    return np.clip(towards, low, high), np.clip(np.rint(value * unit) / unit, low, high)
