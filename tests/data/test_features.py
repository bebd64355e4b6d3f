"""Inputs by fixed transforms, worked out by hand, and windows that never look ahead."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fedcredit.data.features import inputs_of, make_windows, transform
from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.errors import TableError

PANEL = pd.DataFrame(
    {
        "id": ["a", "b", "a", "a", "b"],
        "year": [2022, 2021, 2020, 2021, 2022],
        "debt": [3.0, 11.0, 1.0, 2.0, 12.0],
        "bad": [1, 0, 0, 0, 0],
        "part": ["test", "train", "train", "train", "train"],
    }
)
SCHEMA = Schema((Column("debt", "raw"),), Label("bad"), company="id", period="year")


def one(column: Column, *cells: object) -> list[list[float]]:
    schema = Schema((column,), Label("bad"), company="id")
    inputs, names = transform(pd.DataFrame({column.name: list(cells)}), schema)
    assert len(names) == inputs.shape[1]
    assert inputs.dtype == np.float32
    return [[round(float(cell), 4) for cell in row] for row in inputs]


def test_an_amount_is_its_signed_log_over_three() -> None:
    assert one(Column("x", "amount"), math.e - 1, 1 - math.e, 0) == [[0.3333], [-0.3333], [0.0]]


def test_a_ratio_is_clipped_then_scaled() -> None:
    assert one(Column("x", "ratio", lo=-1, hi=4, scale=2), -9, 3, 9) == [[-0.5], [1.5], [2.0]]


def test_a_number_maps_its_range_to_minus_one_to_one() -> None:
    assert one(Column("x", "number", lo=10, hi=20), 5, 10, 15, 20) == [[-1], [-1], [0], [1]]


def test_a_month_lies_on_a_circle() -> None:
    assert one(Column("x", "month"), 3, 12) == [[1, 0], [0, 1]]


def test_a_category_has_one_input_a_level_and_another_value_has_none() -> None:
    assert one(Column("x", "category", levels=("N", "Y")), "Y", "?", None) == [[0, 1], [0, 0], [0, 0]]


def test_a_missing_cell_becomes_zero_and_sets_its_indicator() -> None:
    assert one(Column("x", "number", lo=0, hi=10, nullable=True), None, 10) == [[0, 1], [1, 0]]


def test_a_missing_cell_in_a_column_that_declares_none_is_refused() -> None:
    with pytest.raises(TableError, match="found 1 missing cells"):
        one(Column("x"), 1.0, None)


def test_a_number_beyond_float32_is_refused() -> None:
    with pytest.raises(TableError, match="too large"):
        one(Column("x", "raw"), 1e300)


def test_input_names_say_what_became_of_a_column() -> None:
    columns = (Column("type", "category", levels=("N",), nullable=True), Column("due", "month"), Column("debt"))

    assert inputs_of(Schema(columns, Label("bad"), "id")) == ("type=N", "type_missing", "due_sin", "due_cos", "debt")


def test_a_window_is_a_companys_last_periods_padded_at_the_front() -> None:
    windows = make_windows(Table(PANEL, SCHEMA), length=3)

    assert windows.company.tolist() == ["a", "b"]
    assert windows.features == ("debt", "present")
    assert windows.x.tolist() == [[[1, 1], [2, 1], [3, 1]], [[0, 0], [11, 1], [12, 1]]]
    assert windows.y.tolist() == [1, 0]
    assert windows.about["period"].tolist() == [2022, 2022]


def test_a_longer_history_is_cut_to_its_last_periods() -> None:
    assert make_windows(Table(PANEL, SCHEMA), length=2).x[:, :, 0].tolist() == [[2, 3], [11, 12]]


def test_a_window_ends_with_its_split_and_sees_nothing_later() -> None:
    windows = make_windows(Table(PANEL, replace(SCHEMA, split="part")), length=3)
    train = windows.part("train").of("all")

    assert train.company.tolist() == ["a", "b"]
    assert train.x[0, :, 0].tolist() == [0, 1, 2]
    assert train.y[0] == 0
    assert windows.part("test").x[0, :, 0].tolist() == [1, 2, 3]


def test_changing_the_future_leaves_the_training_windows_alone() -> None:
    future = PANEL.assign(debt=PANEL["debt"].where(PANEL["part"] == "train", 999.0))
    schema = replace(SCHEMA, split="part")

    before, after = (make_windows(Table(frame, schema), length=3).part("train") for frame in (PANEL, future))

    assert np.array_equal(before.x, after.x)


def test_length_one_makes_an_example_of_each_row_in_order() -> None:
    windows = make_windows(Table(PANEL, SCHEMA), length=1)

    assert windows.x.tolist() == [[[3]], [[11]], [[1]], [[2]], [[12]]]
    assert windows.features == ("debt",)


def test_a_company_at_two_institutions_has_two_histories() -> None:
    frame = PANEL.assign(bank=["x", "x", "y", "x", "x"])

    windows = make_windows(Table(frame, replace(SCHEMA, institution="bank")), length=3)

    seen = zip(windows.institution, windows.company, windows.x[:, :, 0].tolist(), strict=True)
    assert sorted(seen) == [("x", "a", [0, 2, 3]), ("x", "b", [0, 11, 12]), ("y", "a", [0, 0, 1])]


def test_periods_are_ordered_as_dates_and_not_as_text() -> None:
    frame = pd.DataFrame({"id": "a", "year": ["2024-9", "2024-10"], "debt": [9.0, 10.0], "bad": [0, 0]})

    assert make_windows(Table(frame, SCHEMA), length=2).x[0, :, 0].tolist() == [9, 10]


def test_several_rows_without_a_period_column_make_no_panel() -> None:
    with pytest.raises(TableError, match="expected a period column"):
        make_windows(Table(PANEL, replace(SCHEMA, period=None)), length=2)


def test_without_a_split_column_a_company_stays_in_one_split() -> None:
    frame = pd.DataFrame({"id": [f"c{number % 400}" for number in range(800)], "debt": 1.0, "bad": 0})

    windows = make_windows(Table(frame, Schema((Column("debt"),), Label("bad"), "id")), length=1)

    splits = pd.Series(windows.split).groupby(windows.company).nunique()
    shares = pd.Series(windows.split).value_counts(normalize=True)
    assert splits.max() == 1
    assert shares["train"] == pytest.approx(0.6, abs=0.07)
    assert shares["test"] == pytest.approx(0.2, abs=0.07)
