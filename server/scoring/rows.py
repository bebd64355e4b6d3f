"""The rows of one company become a model's window, by numpy alone: what `models.bundle.score` makes of a table.

pandas would take most of the time of a single score. A test compares both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.features import PRESENT
from fedcredit.data.transforms import inputs_of
from fedcredit.errors import ModelError
from fedcredit.models.bundle import Bundle
from server.scoring.messages import Row
from server.scoring.placed import PERIOD, period_of, placed
from server.scoring.policy import Policy
from server.scoring.refusal import ScoringRefused
from server.scoring.transforms import Inputs, Transforms, inputs_in

# Above any amount of a small company; far above it a network's sums overflow and its score is no number.
LARGEST_INPUT = 1e9


@dataclass(frozen=True)
class Window:
    """x (time, inputs) float32; the last row's period as it was sent; indicators empty in the last row."""

    x: NDArray[np.float32]
    period: str | int | None
    coverage: float
    missing: tuple[str, ...]


class RowReader:
    """Reads rows for one bundle."""

    def __init__(self, bundle: Bundle, policy: Policy) -> None:
        schema = bundle.schema
        self._policy, self._time, self._has_period = policy, bundle.time, schema.period is not None
        self._names = schema.features
        self._known = frozenset((*schema.features, PERIOD))
        if inputs_of(schema) + ((PRESENT,) if bundle.time > 1 else ()) != bundle.inputs:
            raise ModelError("inputs", found="other names", expected="those of the schema's columns")
        columns = inputs_in(schema)
        self._categories = [one for one in columns if one.column.kind == "category"]
        self._numbers = [k for k, one in enumerate(columns) if one.column.kind != "category"]
        self._pick = itemgetter_of(self._numbers)
        self._transforms = Transforms([columns[k] for k in self._numbers], width=len(bundle.inputs))

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
            named = tuple(period_of(row, at) for at, row in enumerate(rows))
            periods, places = named, placed(named, self._time)
        elif len(rows) > 1:
            raise ScoringRefused(
                "rows", code="period", found=f"{len(rows)} rows", expected="one: the model has no periods"
            )
        used = [at for at, _ in places]
        cells, known = self._cells(rows, used)
        made = self._made(cells, known, rows, used)
        x = np.zeros((self._time, made.shape[1]), dtype=np.float32)
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
                raise ScoringRefused(
                    f"rows[{at}]", code="field", found="an unknown field", expected=expected, hint=hint
                )
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
                    return ScoringRefused(where, code="field", found="text", expected="a number, or null")
        return ScoringRefused("rows", code="field", found="another type", expected="numbers, or null")

    def _made(
        self, cells: NDArray[np.float64], known: NDArray[np.bool_], rows: Sequence[Row], used: Sequence[int]
    ) -> NDArray[np.float32]:
        there, fixed = known[:, self._numbers], self._transforms
        if (wrong := ~there & ~fixed.is_nullable).any():
            raise self._fault("missing", wrong, used, found="no value", expected="a number: the model needs it")
        if (wrong := there & fixed.is_whole & (cells != np.floor(cells))).any():
            raise self._fault("range", wrong, used, found="a fraction", expected="a whole number")
        outside = there & ((cells < fixed.lo) | (cells > fixed.hi))
        # A ratio beyond its range is clipped by the model; a month or a flag has no meaning there.
        wrong = outside if self._policy.outside == "refuse" else outside & fixed.is_whole
        if wrong.any():
            raise self._fault("range", wrong, used, found="a value outside its range", expected="")
        made = fixed.apply(cells, there)
        for one in self._categories:
            self._category(made, one, rows, used)
        if not (np.abs(made) <= LARGEST_INPUT).all():  # NaN fails too
            raise ScoringRefused(
                "rows", code="range", found="a number too large for a model", expected="a smaller number"
            )
        if self._time > 1:
            made[:, -1] = 1.0
        return made

    def _category(self, made: NDArray[np.float32], one: Inputs, rows: Sequence[Row], used: Sequence[int]) -> None:
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
                raise ScoringRefused(where, code="range", found="another category", expected=expected)

    def _fault(
        self, code: str, wrong: NDArray[np.bool_], used: Sequence[int], *, found: str, expected: str
    ) -> ScoringRefused:
        place, k = (int(one) for one in np.argwhere(wrong)[0])
        fixed = self._transforms
        where = f"rows[{used[place]}].{fixed.columns[k].column.name}"
        return ScoringRefused(where, code=code, found=found, expected=expected or f"{fixed.lo[k]:g} to {fixed.hi[k]:g}")

    def _check_coverage(self, known: NDArray[np.bool_], coverage: float) -> None:
        if self._policy.missing == "refuse" and not known.all():
            name = self._names[int(np.argwhere(~known)[0][1])]
            raise ScoringRefused(
                f"rows, {name}", code="missing", found="no value", expected="every indicator of each row"
            )
        if coverage < self._policy.least_coverage:
            found = f"a coverage of {coverage:.2f}"
            expected, hint = f"at least {self._policy.least_coverage:.2f}", "send more periods, or more indicators"
            raise ScoringRefused("rows", code="missing", found=found, expected=expected, hint=hint)


def itemgetter_of(places: Sequence[int]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
    """The cells at these places, also of none or one.

    >>> itemgetter_of([1])("ab")
    ('b',)
    """
    if len(places) > 1:
        return itemgetter(*places)
    return lambda row: tuple(row[k] for k in places)
