"""Scores whose rows carry a period become one row for each company and period, in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fedcredit.data.periods import Unit, number_periods
from fedcredit.errors import TableError
from server.validation.cells import is_key
from server.validation.source import Scores

PERIOD = ("period", "stratum")  # a stratum is often the year, and the only one where rows are one a company


@dataclass(frozen=True)
class Dated:
    """rows: company, period (as written), number (one step a `unit`), p, y; by company and then by time."""

    rows: pd.DataFrame
    unit: Unit


def dated(scores: Sequence[Scores]) -> Dated | None:
    """The rows of some splits that carry a period; None where none does, or where periods are no points in time.

    A company that several institutions know has one row a period: the last one, and a default at one is its default.
    """
    parts = [
        pd.DataFrame({"company": one.company, "period": one.about[column], "p": one.p, "y": one.y})
        for one in scores
        for column in [name for name in PERIOD if name in one.about][:1]
    ]
    return in_time(pd.concat(parts, ignore_index=True)) if parts else None


def in_time(frame: pd.DataFrame) -> Dated | None:
    """Rows of company, period, p and y in time; see `dated`.

    >>> found = in_time(pd.DataFrame({"company": "a", "period": ["2024-02", "2024-01"], "p": [0.2, 0.1], "y": 0}))
    >>> found.rows["p"].tolist(), found.unit
    ([0.1, 0.2], 'month')
    """
    has_period = np.array([is_key(one) and one != "" for one in frame["period"]], dtype=bool)
    rows = frame[has_period].astype({"period": object})
    if rows.empty:
        return None
    try:
        found = number_periods(rows["period"], where="periods")
    except TableError:
        return None
    rows = rows.assign(number=found.number).sort_values(["company", "number"], kind="stable")
    whole = rows.groupby(["company", "number"], sort=False, as_index=False).agg(
        period=("period", "last"), p=("p", "last"), y=("y", "max")
    )
    return Dated(whole, found.unit)
