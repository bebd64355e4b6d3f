"""Numbers of a model's columns become its inputs by numpy alone, all columns of a kind at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedcredit.data.schema import Column, Schema
from fedcredit.data.transforms import AMOUNT_SCALE, inputs_of


@dataclass(frozen=True)
class Inputs:
    """Where a column's inputs start."""

    column: Column
    at: int


def inputs_in(schema: Schema) -> list[Inputs]:
    """Every column with the place of its first input."""
    width, found = 0, list[Inputs]()
    for column in schema.columns:
        found.append(Inputs(column, width))
        width += len(inputs_of(Schema((column,), schema.label, schema.company)))
    return found


class Transforms:
    """The fixed transforms of the columns that hold numbers; lo and hi are the ranges that they may have."""

    def __init__(self, columns: Sequence[Inputs], *, width: int) -> None:
        self.columns, self._width = columns, width
        kinds = [one.column.kind for one in columns]
        self.lo = np.array([_limit(one.column, "lo", -np.inf) for one in columns])
        self.hi = np.array([_limit(one.column, "hi", np.inf) for one in columns])
        self.is_whole = np.array([kind in ("flag", "month") for kind in kinds], dtype=bool)
        self.is_nullable = np.array([one.column.nullable for one in columns], dtype=bool)
        self._months, self._amounts, self._ratios, self._scaled = (
            np.flatnonzero([one == kind for one in kinds]) for kind in ("month", "amount", "ratio", "number")
        )
        self._scale = np.array([one.column.scale for one in columns])
        self._target = np.array([one.at for one in columns], dtype=np.intp)

    def apply(self, cells: NDArray[np.float64], there: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(rows, inputs) of cells (rows, columns); what is not there is 0, and 1 in its missing-indicator."""
        made = np.zeros((len(cells), self._width), dtype=np.float32)
        with np.errstate(over="ignore"):
            made[:, self._target] = np.where(there, self._transformed(cells), 0.0).astype(np.float32)
        self._wide(made, cells, there)
        return made

    def _transformed(self, cells: NDArray[np.float64]) -> NDArray[np.float64]:
        block = cells.copy()
        if len(at := self._amounts):
            x = cells[:, at]
            block[:, at] = np.sign(x) * np.log1p(np.abs(x)) / AMOUNT_SCALE
        if len(at := self._ratios):
            block[:, at] = np.clip(cells[:, at], self.lo[at], self.hi[at]) / self._scale[at]
        if len(at := self._scaled):
            lo, hi = self.lo[at], self.hi[at]
            block[:, at] = 2 * (np.clip(cells[:, at], lo, hi) - lo) / (hi - lo) - 1
        return block

    def _wide(self, made: NDArray[np.float32], cells: NDArray[np.float64], there: NDArray[np.bool_]) -> None:
        """Columns with more than one input: a month's sine and cosine, and missing-indicators."""
        for k in np.flatnonzero(self.is_nullable).tolist():
            one = self.columns[k]
            made[:, one.at + (2 if one.column.kind == "month" else 1)] = ~there[:, k]
        for k in self._months.tolist():
            angle = 2 * np.pi * cells[:, k] / 12
            made[:, self.columns[k].at] = np.where(there[:, k], np.sin(angle), 0.0)
            made[:, self.columns[k].at + 1] = np.where(there[:, k], np.cos(angle), 0.0)


def _limit(column: Column, side: str, otherwise: float) -> float:
    if column.kind == "flag":
        return 0.0 if side == "lo" else 1.0
    if column.kind == "month":
        return 1.0 if side == "lo" else 12.0
    found = getattr(column, side) if column.kind in ("ratio", "number") else None
    return otherwise if found is None else float(found)
