"""Whatever finite number a cell holds, a model gets finite inputs, and small ones where the transform bounds them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedcredit.data.schema import Column, Label, Schema
from fedcredit.data.transforms import transform
from fedcredit.errors import TableError

FINITE = st.floats(allow_nan=False, allow_infinity=False)
COLUMNS = (
    Column("amount", nullable=True),
    Column("ratio", "ratio", lo=-2, hi=2, scale=2, nullable=True),
    Column("number", "number", lo=0, hi=100, nullable=True),
)
MOST = [240.0, 1.0, 1.0]  # log1p of the largest double is 709.8


@given(st.lists(st.tuples(*[FINITE | st.none()] * 3), min_size=1, max_size=20))
def test_finite_and_empty_cells_give_finite_bounded_inputs_that_keep_their_order(
    rows: list[tuple[float | None, ...]],
) -> None:
    frame = pd.DataFrame(rows, columns=[column.name for column in COLUMNS], dtype="float64")

    inputs, _ = transform(frame, Schema(COLUMNS, Label("bad"), company="id"))

    made, missing = inputs[:, ::2], inputs[:, 1::2]
    assert np.isfinite(inputs).all()
    assert (np.abs(made) <= MOST).all()
    assert np.array_equal(missing == 1, frame.isna())
    assert not made[missing == 1].any()
    for number, column in enumerate(COLUMNS):
        there = frame[column.name].notna().to_numpy()
        order = frame.loc[there, column.name].argsort().to_numpy()
        assert (np.diff(made[there, number][order]) >= 0).all()


@given(FINITE)
def test_a_raw_cell_is_kept_or_refused_but_never_infinite(cell: float) -> None:
    schema = Schema((Column("raw", "raw"),), Label("bad"), company="id")
    frame = pd.DataFrame({"raw": [cell]})
    with np.errstate(over="ignore"):
        kept = np.float32(cell)
    if np.isfinite(kept):
        assert transform(frame, schema)[0].item() == kept
    else:
        with pytest.raises(TableError, match="too large for a model"):
            transform(frame, schema)
