"""Periods as people write them, put in one order."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest

from fedcredit.data.periods import Periods, number_periods, write_periods
from fedcredit.errors import TableError

JANUARY_2024 = 24288


def read(*values: object) -> Periods:
    return number_periods(pd.Series(list(values), name="month"), where="loans.csv")


@pytest.mark.parametrize(
    "written", ["2024-01", "2024/1", "2024.01", "202401", 202401, 202401.0, "2024年1月", "2024年01月", " 2024-01 "]
)
def test_a_month_is_read_in_every_usual_form(written: object) -> None:
    periods = read(written)

    assert (periods.unit, periods.number.tolist()) == ("month", [JANUARY_2024])


def test_years_quarters_and_days_have_their_own_unit() -> None:
    assert read(2023, 2024).number.tolist() == [2023, 2024]
    assert (read("2024Q1", "2023q4").number.tolist(), read("2024Q1").unit) == ([8096, 8095], "quarter")
    assert read("2024-01-05", "2024-01-07").unit == "day"
    assert (read(-1, 0, 23).number.tolist(), read(0).unit) == ([-1, 0, 23], "number")


@pytest.mark.parametrize(
    "dates",
    [
        ("2024-01-31", "2024-02-29"),
        ("2024-01-01", "2024-02-01"),
        ("20240115", "20240215"),
        ("2024年1月3日", "2024年2月3日"),
    ],
)
def test_dates_one_a_month_count_months(dates: tuple[str, str]) -> None:
    periods = read(*dates)

    assert (periods.unit, periods.number.tolist()) == ("month", [JANUARY_2024, JANUARY_2024 + 1])


def test_timestamps_and_dates_are_read_alike() -> None:
    assert read(pd.Timestamp("2024-01-31")).number.tolist() == [JANUARY_2024]
    assert read(datetime.date(2024, 1, 31)).number.tolist() == [JANUARY_2024]


@pytest.mark.parametrize("odd", ["soon", "2024-13", "2024-02-30", None, 2024, 1.5])
def test_an_odd_period_is_named_by_row(odd: object) -> None:
    with pytest.raises(TableError, match=r"loans.csv, column 'month', row 3"):
        read("2024-01", odd)


@pytest.mark.parametrize("written", ["2024", "2024Q3", "2024-11", "2024-02-03"])
def test_written_periods_are_read_back(written: str) -> None:
    periods = read(written, "2024-03-04") if written == "2024-02-03" else read(written)

    assert str(write_periods(periods)[0]) == written
