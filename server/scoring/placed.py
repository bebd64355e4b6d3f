"""The periods of a company's rows become places in a model's window, the newest last."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
import pandas as pd

from fedcredit.data.periods import number_periods
from fedcredit.errors import TableError
from server.scoring.refusal import ScoringRefused

PERIOD = "period"


def period_of(row: Mapping[str, object], at: int) -> str | int:
    """The period of row `at`, as it was sent. Raises ScoringRefused: it has none."""
    found = row.get(PERIOD)
    if isinstance(found, float) and found.is_integer() and abs(found) < 1e9:
        return int(found)
    if isinstance(found, str):
        return found
    hint = "2024, 2024Q1, 2024-01, 2024-01-31 or a whole number"
    raise ScoringRefused(f"rows[{at}].{PERIOD}", code="period", found="no period", expected="a period", hint=hint)


@lru_cache(maxsize=2048)
def placed(periods: tuple[str | int, ...], time: int) -> tuple[tuple[int, int], ...]:
    """(row, place in the window) of the rows that lie in it, oldest first; a missing period keeps its place.

    Remembered, since most companies send the same periods.

    >>> placed(("2025-12", "2025-09", "2025-10"), 3)
    ((2, 0), (0, 2))

    Raises:
        ScoringRefused: a period cannot be read, is of another form than the others, or is there twice.
    """
    try:
        found = number_periods(pd.Series(periods, dtype=object), where="rows")
    except TableError:
        hint = "2024, 2024Q1, 2024-01, 2024-01-31 or a whole number, all rows alike"
        raise ScoringRefused(
            "rows", code="period", found="a period of another form", expected="one", hint=hint
        ) from None
    order = np.argsort(found.number, kind="stable")
    step = np.diff(found.number[order])
    if (step == 0).any():
        raise ScoringRefused("rows", code="period", found="a period twice", expected="one row a period")
    back = np.ones(len(step), dtype=np.int64)
    if found.unit != "day" and len(step):
        steps, counts = np.unique(step, return_counts=True)
        back = -(-step // steps[np.argmax(counts)])
    place = time - 1 - np.r_[np.cumsum(back[::-1])[::-1], 0]
    return tuple((int(row), int(at)) for row, at in zip(order, place, strict=True) if at >= 0)
