"""A period column as people write it becomes whole numbers that can be ordered and subtracted."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.cells import fault
from fedcredit.errors import TableError

Unit = Literal["year", "quarter", "month", "day", "number"]

YEARS = range(1900, 2200)
QUARTER = r"[-/ ]?[Qq](?P<quarter>[1-4])"
DAY = r"[-/.]?(?P<day>\d{1,2})日?(?:[ T].*)?"
WRITTEN = re.compile(rf"(?P<year>\d{{4}})年?(?:{QUARTER}|[-/.]?(?P<month>\d{{1,2}})月?(?:{DAY})?)?")


@dataclass(frozen=True)
class Periods:
    """number: (rows,) int64, one step apart from one period to the next; unit: what one step is."""

    number: NDArray[np.int64]
    unit: Unit


def number_periods(values: pd.Series, *, where: str) -> Periods:
    """Years, quarters, months, days or plain whole numbers, told apart by how they are written.

    Dates that all fall on one day of the month, or all on month ends, count months.

    >>> number_periods(pd.Series(["2024-01", "2023-12"]), where="t.csv").number.tolist()
    [24288, 24287]
    >>> number_periods(pd.Series([2011, 2012]), where="t.csv").unit
    'year'
    """
    codes, seen = pd.factorize(values)
    if len(codes) and codes.min() < 0:
        raise _unreadable(values, int(np.argmin(codes)), where=where)
    read = [_read(value) for value in seen]
    for code, one in enumerate(read):
        if one is None or one[0] != (read[0] or one)[0]:
            raise _unreadable(values, int(np.argmax(codes == code)), where=where)
    found = [one for one in read if one is not None]
    unit: Unit = found[0][0] if found else "number"
    numbers = [number for _, number in found]
    if unit == "day" and (months := _months(numbers)) is not None:
        unit, numbers = "month", months
    return Periods(np.asarray(numbers, dtype=np.int64)[codes], unit)


def _unreadable(values: pd.Series, row: int, *, where: str) -> TableError:
    expected = "a period written like the others, as 2024, 2024Q1, 2024-01, 2024-01-31 or a whole number"
    return fault(values, np.arange(len(values)) == row, where=where, expected=expected)


def _read(value: object) -> tuple[Unit, int] | None:
    if isinstance(value, datetime.date | np.datetime64):
        return "day", pd.Timestamp(value).toordinal()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    text = str(value).strip()
    match = WRITTEN.fullmatch(text)
    if match is None or int(match["year"]) not in YEARS:
        return ("number", int(text)) if re.fullmatch(r"-?\d{1,9}", text) else None
    year = int(match["year"])
    if match["quarter"]:
        return "quarter", 4 * year + int(match["quarter"]) - 1
    if match["month"] is None:
        return "year", year
    month = int(match["month"])
    if not 1 <= month <= 12:
        return None
    if match["day"] is None:
        return "month", 12 * year + month - 1
    try:
        return "day", datetime.date(year, month, int(match["day"])).toordinal()
    except ValueError:
        return None


def _months(days: list[int]) -> list[int] | None:
    """Month numbers, if the dates are one a month: on one day of the month, or all on the month's last day."""
    dates = [datetime.date.fromordinal(day) for day in days]
    ends = all((date + datetime.timedelta(days=1)).day == 1 for date in dates)
    if not ends and len({date.day for date in dates}) > 1:
        return None
    return [12 * date.year + date.month - 1 for date in dates]


def write_periods(periods: Periods) -> NDArray[np.generic]:
    """The periods in one form: 2024 or 17 as a whole number, else 2024Q1, 2024-01 or 2024-01-31.

    >>> write_periods(Periods(np.array([24288, 24287]), "month")).tolist()
    ['2024-01', '2023-12']
    """
    number = periods.number
    if periods.unit in ("year", "number"):
        return number
    seen, back = np.unique(number, return_inverse=True)
    if periods.unit == "month":
        written = [f"{one // 12}-{one % 12 + 1:02d}" for one in seen.tolist()]
    elif periods.unit == "quarter":
        written = [f"{one // 4}Q{one % 4 + 1}" for one in seen.tolist()]
    else:
        written = [datetime.date.fromordinal(one).isoformat() for one in seen.tolist()]
    return np.asarray(written)[back]
