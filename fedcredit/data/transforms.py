"""The columns of a table become model inputs by transforms that are fixed in advance.

Nothing here is fitted on the rows: a scaler learnt from private rows would have to be paid for from the privacy budget.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.schema import Column, Schema
from fedcredit.errors import TableError

AMOUNT_SCALE = 3.0  # log1p of a million is 13.8; divided by 3, amounts lie within about -5..5
MISSING = "_missing"


def choose(columns: Sequence[Column], names: Sequence[str] | None, *, where: str) -> tuple[Column, ...]:
    """The named columns in the order given, or all of them.

    >>> choose([Column("debt"), Column("sales")], ["sales"], where="loans")[0].name
    'sales'
    """
    known = {column.name: column for column in columns}
    for name in names or ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise TableError(
                f"{where}, column {name!r}",
                found="no such feature",
                expected=f"one of {', '.join(known)}",
                hint=f"did you mean {near[0]!r}?" if near else "",
            )
    return tuple(columns) if names is None else tuple(known[name] for name in names)


def inputs_of(schema: Schema) -> tuple[str, ...]:
    """Names of the model inputs that `transform` makes of a schema's columns.

    >>> from fedcredit.data.schema import Label
    >>> inputs_of(Schema((Column("debt", nullable=True), Column("due", "month")), Label("bad"), "id"))
    ('debt', 'debt_missing', 'due_sin', 'due_cos')
    """
    return tuple(name for column in schema.columns for name in _inputs_of(column))


def _inputs_of(column: Column) -> list[str]:
    if column.kind == "category":
        names = [f"{column.name}={level}" for level in column.levels]
    elif column.kind == "month":
        names = [f"{column.name}_sin", f"{column.name}_cos"]
    else:
        names = [column.name]
    return [*names, column.name + MISSING] if column.nullable else names


def transform(frame: pd.DataFrame, schema: Schema) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Model inputs, (rows, inputs) float32, and their names; see `Column` for the transform of each kind.

    A missing cell becomes 0 and, in a nullable column, 1 in the missing-indicator that follows.

    >>> from fedcredit.data.schema import Label
    >>> schema = Schema((Column("debt", "ratio", lo=0, hi=2, nullable=True),), Label("bad"), "id")
    >>> transform(pd.DataFrame({"debt": [0.5, 9.0, None]}), schema)[0].tolist()
    [[0.5, 0.0], [2.0, 0.0], [0.0, 1.0]]
    """
    names = inputs_of(schema)
    inputs = np.empty((len(frame), len(names)), dtype=np.float32)
    at = 0
    for column in schema.columns:
        block = _transform_column(frame[column.name], column)
        inputs[:, at : at + block.shape[1]] = block
        at += block.shape[1]
    return inputs, names


def transform_known(values: NDArray[np.float64], column: Column) -> NDArray[np.float32]:
    """The inputs (n, inputs) of known numbers of one column, as `transform` makes them of a frame.

    >>> transform_known(np.array([0.5, 9.0]), Column("debt", "ratio", lo=0, hi=2, nullable=True)).tolist()
    [[0.5, 0.0], [2.0, 0.0]]
    """
    block = _fixed(values, column).astype(np.float32)
    return np.column_stack([block, np.zeros(len(block), dtype=np.float32)]) if column.nullable else block


def _transform_column(cells: pd.Series, column: Column) -> NDArray[np.float32]:
    missing = cells.isna().to_numpy(dtype=bool)
    if missing.any() and not column.nullable and column.kind != "category":
        raise TableError(
            f"column {column.name!r}",
            found=f"{missing.sum()} missing cells",
            expected="a number in every row",
            hint="declare the column nullable: true, which adds a missing-indicator input",
        )
    if column.kind == "category":
        block = (cells.astype("str").to_numpy()[:, None] == np.asarray(column.levels)).astype(np.float64)
    else:
        block = _fixed(cells.to_numpy(dtype=np.float64, na_value=np.nan), column)
    block[missing] = 0.0
    with np.errstate(over="ignore"):
        small = block.astype(np.float32)
    if not np.isfinite(small).all():
        raise TableError(f"column {column.name!r}", found="a number too large for a model", expected="a finite number")
    return np.column_stack([small, missing.astype(np.float32)]) if column.nullable else small


def _fixed(x: NDArray[np.float64], column: Column) -> NDArray[np.float64]:
    if column.kind == "month":
        angle = 2 * np.pi * x / 12
        return np.column_stack([np.sin(angle), np.cos(angle)])
    if column.kind == "amount":
        x = np.sign(x) * np.log1p(np.abs(x)) / AMOUNT_SCALE
    elif column.kind == "ratio":
        x = np.clip(x, column.lo, column.hi) / column.scale
    elif column.kind == "number":
        lo, hi = column.lo or 0.0, column.hi or 0.0
        x = 2 * (np.clip(x, lo, hi) - lo) / (hi - lo) - 1
    return x[:, None].copy()
