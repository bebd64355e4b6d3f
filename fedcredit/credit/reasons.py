"""Contributions, values and typical values become ranked reasons for a grade, and what would change the grade."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from fedcredit.credit.counterfactual import NO_GRADE, GradeAt, smallest_change
from fedcredit.credit.fields import Field
from fedcredit.data.governance.levels import LEVELS
from fedcredit.errors import ConfigError

Floats = NDArray[np.float64]
# Of a column: PDs of the companies at these positions, where each reports the value beside it.
PdAt = Callable[[NDArray[np.intp], Floats], Floats]

SMALLEST = 0.01  # log-odds; less is no reason: it is a fortieth of a notch
NOBODY = -1


@dataclass(frozen=True)
class Reasons:
    """The reasons of n companies, as arrays; `fedcredit.credit.sentences` turns a company's into words.

    fields: those that the viewer may see; values (n rows) and typical are theirs. raising and lowering: (n, most)
    positions in `fields`, the strongest first, NOBODY where there are no more; shares: (n, fields) log-odds.
    better_value, better_grade: (n, top), what would change the grade, for the first of `raising`.
    hidden: (n,) the share of all influence that is due to fields above the viewer's level.
    """

    fields: tuple[Field, ...]
    values: pd.DataFrame
    typical: Mapping[str, float | str]
    shares: Floats
    raising: NDArray[np.int64]
    lowering: NDArray[np.int64]
    grade: NDArray[np.int64]
    grades: tuple[str, ...]
    better_value: Floats
    better_grade: NDArray[np.int64]
    hidden: Floats
    level: int

    def __len__(self) -> int:
        return len(self.grade)


def find_reasons(
    *,
    fields: Sequence[Field],
    values: pd.DataFrame,
    typical: Mapping[str, float | str],
    shares: ArrayLike,
    pd_now: ArrayLike,
    place: Callable[[Floats], NDArray[np.int64]],
    grades: Sequence[str],
    pd_at: Callable[[str], PdAt] | None = None,
    monotone: Collection[str] = (),
    level: int = 3,
    most: int = 5,
    top: int = 3,
) -> Reasons:
    """The reasons of n companies for a viewer of JR/T 0197-2020 level `level`.

    shares: (n, fields) log-odds against the typical company, above 0 for default; values: their columns, the last
    period's, empty where missing. place and grades: a scale, best first. pd_at: scores a company with another value
    of a column; without it no change is sought. monotone: columns whose better value never raises the PD.

    Fields above the level are taken out before anything is ranked: neither a name nor a value nor a change of theirs
    is in what comes back. Their part of the influence is told, since a sum that keeps it in silence would mislead.

    Raises:
        ConfigError: no such level, or shapes that differ.
    """
    share = np.asarray(shares, dtype=np.float64)
    now = place(np.asarray(pd_now, dtype=np.float64))
    if level not in LEVELS:
        raise ConfigError("level", found=str(level), expected="1 to 5 of JR/T 0197-2020")
    if share.shape != (len(now), len(fields)) or len(values) != len(now):
        found = f"{len(values)} rows of values, shares {share.shape}"
        raise ConfigError("reasons", found=found, expected=f"{len(now)} rows, {len(fields)} columns")
    seen = [position for position, field in enumerate(fields) if field.level <= level]
    whole = np.abs(share).sum(axis=1)
    hidden = np.abs(np.delete(share, seen, axis=1)).sum(axis=1)
    visible, share = tuple(fields[position] for position in seen), share[:, seen]
    kept = values[[field.name for field in visible]].reset_index(drop=True)
    raising = _ranked(share, most)
    changes = _changes(
        visible, kept, typical, raising[:, :top], now=now, place=place, pd_at=pd_at, monotone=set(monotone)
    )
    return Reasons(
        fields=visible,
        values=kept,
        typical={field.name: typical[field.name] for field in visible},
        shares=share,
        raising=raising,
        lowering=_ranked(-share, most),
        grade=now,
        grades=tuple(grades),
        better_value=changes[0],
        better_grade=changes[1],
        hidden=np.divide(hidden, whole, out=np.zeros(len(now)), where=whole > 0),
        level=level,
    )


def _ranked(share: Floats, most: int) -> NDArray[np.int64]:
    order = np.argsort(-share, axis=1, kind="stable")[:, :most]
    return np.where(np.take_along_axis(share, order, axis=1) >= SMALLEST, order, NOBODY).astype(np.int64)


def _changes(
    fields: Sequence[Field],
    values: pd.DataFrame,
    typical: Mapping[str, float | str],
    ranked: NDArray[np.int64],
    *,
    now: NDArray[np.int64],
    place: Callable[[Floats], NDArray[np.int64]],
    pd_at: Callable[[str], PdAt] | None,
    monotone: Collection[str],
) -> tuple[Floats, NDArray[np.int64]]:
    """Column by column, for all companies at once that have it among their first reasons."""
    value, grade = np.full(ranked.shape, np.nan), np.full(ranked.shape, NO_GRADE, dtype=np.int64)
    for position, field in enumerate(fields):
        rows, ranks = np.nonzero(ranked == position)
        if pd_at is None or not field.is_movable or not len(rows):
            continue
        cells = values[field.name].to_numpy(dtype=np.float64, na_value=np.nan)[rows]
        is_missing = np.isnan(cells)
        start = np.where(is_missing, float(typical[field.name]), cells)
        found = smallest_change(
            start,
            np.array([field.best(one) for one in start.tolist()]),
            now=now[rows],
            grade_at=_grader(place, pd_at(field.name), rows),
            is_monotone=field.name in monotone,
            is_whole=field.is_whole,
            tries_start=is_missing,
        )
        value[rows, ranks], grade[rows, ranks] = found.value, found.grade
    return value, grade


def _grader(place: Callable[[Floats], NDArray[np.int64]], pd_of: PdAt, rows: NDArray[np.intp]) -> GradeAt:
    return lambda at, tried: place(pd_of(rows[at], tried))
