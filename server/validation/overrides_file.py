"""A CSV of grades that persons changed or left becomes counts of them: no company, no person."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.scale import MASTER
from fedcredit.errors import TableError
from fedcredit.evaluation.overrides import MAX_NOTCHES, REASONS, override_counts
from server.small_csv import Row, read_rows

COLUMNS = ("model_grade", "final_grade", "outcome", "reason")
MOST_ROWS = 200_000
OUTCOMES = {"0": 0, "1": 1, "": None}  # good, defaulted, not known yet
GRADES = {grade.name: place for place, grade in enumerate(MASTER.grades)}


@dataclass(frozen=True)
class Overridden:
    """counts: (2, grades, 5) good and bad by the model's grade and notches; reasons: changed grades by code.

    open: rows without an outcome yet, of which `open_changed` were changed; they are in `reasons` and not in `counts`.
    """

    counts: NDArray[np.int64]
    reasons: Mapping[str, int]
    open: int
    open_changed: int
    sha256: str


def read_overrides(path: Path) -> Overridden:
    """What a file of model_grade, final_grade, outcome and reason counts to.

    Grades are those of the master scale. outcome is 1 for a default, 0 for none, empty where it is not known yet. A
    changed grade, by at most two notches, has a reason of the list; an unchanged one has none.

    Raises:
        TableError: another form, or a row that does not hold; the message names its line and never its cells.
    """
    model, final, outcome = list[int](), list[int](), list[int]()
    reasons, opened, changed_open = Counter[str](), 0, 0
    for row in read_rows(path, columns=COLUMNS, most=MOST_ROWS):
        before, after, known = _checked(row, where=f"{path.name}, line {row.line}")
        if before != after:
            reasons[row.cells["reason"]] += 1
        if known is None:
            opened += 1
            changed_open += before != after
            continue
        model.append(before)
        final.append(after)
        outcome.append(known)
    if not model and not opened:
        raise TableError(path.name, found="no rows", expected="one a grade that was given")
    grades = [np.array(side, dtype=np.int64) for side in (model, final, outcome)]
    counts = override_counts(*grades, grades=len(MASTER.grades))
    return Overridden(counts, dict(reasons), opened, changed_open, hashlib.sha256(path.read_bytes()).hexdigest())


def _checked(row: Row, *, where: str) -> tuple[int, int, int | None]:
    """Both grades by number, and the outcome."""
    told = row.cells
    for name in ("model_grade", "final_grade"):
        if told[name] not in GRADES:
            expected = f"{MASTER.grades[0].name} to {MASTER.grades[-1].name} of {MASTER.name}"
            raise TableError(f"{where}, column {name!r}", found="no grade", expected=expected)
    if told["outcome"] not in OUTCOMES:
        expected = "1 for a default, 0 for none, empty where it is not known yet"
        raise TableError(f"{where}, column 'outcome'", found="another value", expected=expected)
    before, after = GRADES[told["model_grade"]], GRADES[told["final_grade"]]
    if abs(after - before) > MAX_NOTCHES:
        hint = "a company that needs more is outside the model and not an override"
        raise TableError(where, found=f"{abs(after - before)} notches", expected=f"at most {MAX_NOTCHES}", hint=hint)
    where = f"{where}, column 'reason'"
    if before == after and told["reason"]:
        raise TableError(where, found="a reason for a grade that was not changed", expected="an empty cell")
    if before != after and told["reason"] not in REASONS:
        raise TableError(where, found="an unknown code", expected=", ".join(REASONS))
    return before, after, OUTCOMES[told["outcome"]]
