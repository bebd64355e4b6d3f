"""The rows of one company become a model's window, by numpy alone: what `models.bundle.score` makes of a table.

pandas would take most of the time of a single score. A test compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.features import PRESENT
from fedcredit.data.periods import number_periods
from fedcredit.data.schema import Column
from fedcredit.data.transforms import AMOUNT_SCALE, inputs_of
from fedcredit.errors import ModelError, TableError
from fedcredit.models.bundle import Bundle
from server.scoring.messages import Row
from server.scoring.policy import Policy
from server.scoring.refusal import ScoringRefused

PERIOD = "period"


@dataclass(frozen=True)
class Window:
    """x (time, inputs) float32; the last row's period as it was sent; indicators empty in the last row."""

    x: NDArray[np.float32]
    period: str | int | None
    coverage: float
    missing: tuple[str, ...]


@dataclass(frozen=True)
class _Inputs:
    """Where a column's inputs start."""

    column: Column
    at: int


class RowReader:
    """Reads rows for one bundle."""

    def __init__(self, bundle: Bundle, policy: Policy) -> None:
        schema = bundle.schema
        self._policy, self._time, self._has_period = policy, bundle.time, schema.period is not None
        self._names = schema.features
        self._known = frozenset((*schema.features, PERIOD))
        self._width = len(bundle.inputs)
        width, self._places = 0, list[_Inputs]()
        for column in schema.columns:
            self._places.append(_Inputs(column, width))
            width += len(inputs_of(type(schema)((column,), schema.label, schema.company)))
        if inputs_of(schema) + ((PRESENT,) if bundle.time > 1 else ()) != bundle.inputs:
            raise ModelError("inputs", found="other names", expected="those of the schema's columns")
        self._categories = [one for one in self._places if one.column.kind == "category"]
        self._pick = itemgetter_of([k for k, one in enumerate(self._places) if one.column.kind != "category"])
        plain = [(k, one) for k, one in enumerate(self._places) if one.column.kind != "category"]
        self._numbers = np.array([k for k, _ in plain], dtype=np.intp)
        self._plain = [one for _, one in plain]
        self._lo = np.array([_limit(one.column, "lo", -np.inf) for one in self._plain])
        self._hi = np.array([_limit(one.column, "hi", np.inf) for one in self._plain])
        kinds = [one.column.kind for one in self._plain]
        self._whole = np.array([kind in ("flag", "month") for kind in kinds], dtype=bool)
        self._months, self._amounts, self._ratios, self._scaled = (
            np.flatnonzero([one == kind for one in kinds]) for kind in ("month", "amount", "ratio", "number")
        )
        self._scale = np.array([one.column.scale for one in self._plain])
        self._target = np.array([one.at for one in self._plain], dtype=np.intp)
        self._nullable = np.array([one.column.nullable for one in self._plain], dtype=bool)

    def read(self, rows: Sequence[Row]) -> Window:
        """The window of a company's rows, in any order.

        A period that is missing between two rows is padded, as is a history shorter than the window. The step from a
        period to the next is the company's own most frequent one.

        Raises:
            ScoringRefused: a field is unknown, empty, out of range or of another type, or a period cannot be read.
        """
        periods: tuple[str | int | None, ...] = (None,)
        places: tuple[tuple[int, int], ...] = ((0, self._time - 1),)
        if self._has_period:
            named = tuple(_period(row, at) for at, row in enumerate(rows))
            periods, places = named, _placed(named, self._time)
        elif len(rows) > 1:
            raise ScoringRefused("period", "rows", found=f"{len(rows)} rows", expected="one: the model has no periods")
        used = [at for at, _ in places]
        cells, known = self._cells(rows, used)
        made = self._made(cells, known, rows, used)
        x = np.zeros((self._time, self._width), dtype=np.float32)
        x[[place for _, place in places]] = made
        coverage = float(known.sum()) / (self._time * len(self._names))
        last = known[-1]
        missing = () if last.all() else tuple(self._names[k] for k in np.flatnonzero(~last))
        self._check_coverage(known, coverage)
        return Window(x, periods[used[-1]], coverage, missing)

    def _cells(self, rows: Sequence[Row], used: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Numbers (rows, plain columns), and which cells of all columns are known."""
        names = self._names
        for at in used:
            if not rows[at].keys() <= self._known:
                expected = f"the period and the model's {len(names)} indicators by name"
                hint = "GET /models lists the indicators"
                raise ScoringRefused("field", f"rows[{at}]", found="an unknown field", expected=expected, hint=hint)
        told = [[rows[at].get(name) for name in names] for at in used]
        known = np.array([[cell is not None for cell in row] for row in told], dtype=bool)
        try:
            cells = np.array([self._pick(row) for row in told], dtype=np.float64)
        except (ValueError, TypeError):
            raise self._text(told, used) from None
        if any(str in set(map(type, self._pick(row))) for row in told):  # numpy reads "12" as a number
            raise self._text(told, used)
        return cells.reshape(len(used), len(self._numbers)), known

    def _text(self, told: Sequence[Sequence[object]], used: Sequence[int]) -> ScoringRefused:
        for at, row in zip(used, told, strict=True):
            for k in self._numbers:
                if isinstance(row[k], str):
                    where = f"rows[{at}].{self._names[k]}"
                    return ScoringRefused("field", where, found="text", expected="a number, or null")
        return ScoringRefused("field", "rows", found="another type", expected="numbers, or null")

    def _made(
        self, cells: NDArray[np.float64], known: NDArray[np.bool_], rows: Sequence[Row], used: Sequence[int]
    ) -> NDArray[np.float32]:
        there = known[:, self._numbers]
        if (wrong := ~there & ~self._nullable).any():
            raise self._fault("missing", wrong, used, found="no value", expected="a number: the model needs it")
        outside = there & ((cells < self._lo) | (cells > self._hi))
        whole = there & self._whole & (cells != np.floor(cells))
        if whole.any():
            raise self._fault("range", whole, used, found="a fraction", expected="a whole number")
        hard = outside & self._whole
        if outside.any() and (self._policy.outside == "refuse" or hard.any()):
            wrong = hard if hard.any() else outside
            raise self._fault("range", wrong, used, found="a value outside its range", expected="")
        block = self._transformed(cells)
        made = np.zeros((len(used), self._width), dtype=np.float32)
        with np.errstate(over="ignore"):
            made[:, self._target] = np.where(there, block, 0.0).astype(np.float32)
        self._wide(made, cells, there)
        for one in self._categories:
            self._category(made, one, rows, used)
        if not np.isfinite(made).all():
            raise ScoringRefused("range", "rows", found="a number too large for a model", expected="a smaller number")
        if self._time > 1:
            made[:, -1] = 1.0
        return made

    def _transformed(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        """As `data.transforms` does it, all columns of a kind at once."""
        block = cells.copy()
        if len(at := self._amounts):
            x = cells[:, at]
            block[:, at] = np.sign(x) * np.log1p(np.abs(x)) / AMOUNT_SCALE
        if len(at := self._ratios):
            block[:, at] = np.clip(cells[:, at], self._lo[at], self._hi[at]) / self._scale[at]
        if len(at := self._scaled):
            lo, hi = self._lo[at], self._hi[at]
            block[:, at] = 2 * (np.clip(cells[:, at], lo, hi) - lo) / (hi - lo) - 1
        return block

    def _wide(self, made: NDArray[np.float32], cells: NDArray[np.float64], there: NDArray[np.bool_]) -> None:
        """Columns with more than one input: a month's sine and cosine, and missing-indicators."""
        for k in np.flatnonzero(self._nullable):
            one = self._plain[k]
            made[:, one.at + (2 if one.column.kind == "month" else 1)] = ~there[:, k]
        for k in self._months:
            angle = 2 * np.pi * cells[:, k] / 12
            made[:, self._plain[k].at] = np.where(there[:, k], np.sin(angle), 0.0)
            made[:, self._plain[k].at + 1] = np.where(there[:, k], np.cos(angle), 0.0)

    def _category(self, made: NDArray[np.float32], one: _Inputs, rows: Sequence[Row], used: Sequence[int]) -> None:
        column = one.column
        for place, at in enumerate(used):
            cell = rows[at].get(column.name)
            said = str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
            if cell is None:
                if column.nullable:
                    made[place, one.at + len(column.levels)] = 1.0
            elif said in column.levels:
                made[place, one.at + column.levels.index(said)] = 1.0
            elif self._policy.outside == "refuse":
                where, expected = f"rows[{at}].{column.name}", f"one of {', '.join(column.levels)}"
                raise ScoringRefused("range", where, found="another category", expected=expected)

    def _fault(
        self, code: str, wrong: NDArray[np.bool_], used: Sequence[int], *, found: str, expected: str
    ) -> ScoringRefused:
        place, k = (int(one) for one in np.argwhere(wrong)[0])
        where = f"rows[{used[place]}].{self._plain[k].column.name}"
        return ScoringRefused(code, where, found=found, expected=expected or f"{self._lo[k]:g} to {self._hi[k]:g}")

    def _check_coverage(self, known: NDArray[np.bool_], coverage: float) -> None:
        if self._policy.missing == "refuse" and not known.all():
            name = self._names[int(np.argwhere(~known)[0][1])]
            raise ScoringRefused("missing", f"rows, {name}", found="no value", expected="every indicator of each row")
        if coverage < self._policy.least_coverage:
            found = f"a coverage of {coverage:.2f}"
            expected, hint = f"at least {self._policy.least_coverage:.2f}", "send more periods, or more indicators"
            raise ScoringRefused("missing", "rows", found=found, expected=expected, hint=hint)


def itemgetter_of(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """The cells at these places, also of none or one.

    >>> itemgetter_of([1])("ab")
    ('b',)
    """
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[k] for k in places)


def _limit(column: Column, side: str, otherwise: float) -> float:
    if column.kind == "flag":
        return 0.0 if side == "lo" else 1.0
    if column.kind == "month":
        return 1.0 if side == "lo" else 12.0
    found = getattr(column, side) if column.kind in ("ratio", "number") else None
    return otherwise if found is None else float(found)


def _period(row: Mapping[str, object], at: int) -> str | int:
    found = row.get(PERIOD)
    if isinstance(found, float) and found.is_integer() and abs(found) < 1e9:
        return int(found)
    if isinstance(found, str):
        return found
    hint = "2024, 2024Q1, 2024-01, 2024-01-31 or a whole number"
    raise ScoringRefused("period", f"rows[{at}].{PERIOD}", found="no period", expected="a period", hint=hint)


@lru_cache(maxsize=2048)
def _placed(periods: tuple[str | int, ...], time: int) -> tuple[tuple[int, int], ...]:
    """(row, place in the window) of the rows that lie in it, oldest first. Most companies send the same periods."""
    try:
        found = number_periods(pd.Series(periods, dtype=object), where="rows")
    except TableError:
        hint = "2024, 2024Q1, 2024-01, 2024-01-31 or a whole number, all rows alike"
        raise ScoringRefused("period", "rows", found="a period of another form", expected="one", hint=hint) from None
    order = np.argsort(found.number, kind="stable")
    step = np.diff(found.number[order])
    if (step == 0).any():
        raise ScoringRefused("period", "rows", found="a period twice", expected="one row a period")
    back = np.ones(len(step), dtype=np.int64)
    if found.unit != "day" and len(step):
        steps, counts = np.unique(step, return_counts=True)
        back = -(-step // steps[np.argmax(counts)])
    place = time - 1 - np.r_[np.cumsum(back[::-1])[::-1], 0]
    return tuple((int(row), int(at)) for row, at in zip(order, place, strict=True) if at >= 0)
