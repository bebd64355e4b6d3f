"""The rows of companies become panels: in order of time, no period twice, no silent hole."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.cells import FIRST_ROW
from fedcredit.data.periods import Periods, number_periods, write_periods
from fedcredit.data.schema import Schema
from fedcredit.errors import TableError

MOST_FILLED = 20  # a typo in one period must not ask for a billion rows


def order(frame: pd.DataFrame, schema: Schema, *, where: str, allow_gaps: bool) -> pd.DataFrame:
    """The frame with each company's rows together and in time; a company at two institutions has two panels.

    The panel's step is the distance of two rows that is most frequent (a month, a quarter, a year); a longer one is a
    hole. Panels of days have no step.
    """
    period = str(schema.period)
    periods = number_periods(frame[period], where=where)
    keys = [frame[name] for name in (schema.institution, schema.company) if name is not None]
    history = codes_of(*keys)
    sort = np.lexsort((periods.number, history))
    when, whose = periods.number[sort], history[sort]
    same = whose[1:] == whose[:-1]
    step = np.diff(when)

    twice = np.flatnonzero(same & (step == 0))
    if len(twice):
        first, second = np.sort(frame.index.to_numpy()[sort[[twice[0], twice[0] + 1]]]) + FIRST_ROW
        raise TableError(
            f"{where}, column {period!r}, row {second}",
            found=f"the company and period of row {first} again",
            expected="one row a company and period",
            hint=f"{len(twice)} rows repeat an earlier one; keep the latest of each",
        )
    ordered = frame if (sort[1:] > sort[:-1]).all() else frame.iloc[sort]
    if periods.unit == "day" or not same.any():
        return ordered
    steps, counts = np.unique(step[same], return_counts=True)
    usual = int(steps[np.argmax(counts)])
    missing = np.where(same, np.maximum(-(-step // usual) - 1, 0), 0)
    if not missing.any():
        return ordered
    if not allow_gaps:
        at, panels = int(np.argmax(missing > 0)), len(np.unique(whose[1:][missing > 0]))
        raise TableError(
            f"{where}, column {period!r}, row {ordered.index[at + 1] + FIRST_ROW}",
            found=f"{missing.sum()} missing periods in {panels} panels, the first before this row",
            expected=f"one row every {_interval(usual, periods)}",
            hint="allow_gaps: true pads them",
        )
    return _filled(ordered, when, missing, schema=schema, unit=periods, step=usual)


def codes_of(*keys: pd.Series) -> NDArray[np.int64]:
    """One whole number for each distinct combination of the keys, counted in order of appearance.

    >>> codes_of(pd.Series(["b", "a", "b"]), pd.Series([1, 1, 2])).tolist()
    [0, 1, 2]
    """
    code = np.zeros(len(keys[0]), dtype=np.int64)
    for key in keys:
        part, seen = pd.factorize(key)
        code = code * max(len(seen), 1) + part
    return np.asarray(pd.factorize(code)[0], dtype=np.int64)


def _filled(
    ordered: pd.DataFrame,
    when: NDArray[np.int64],
    missing: NDArray[np.int64],
    *,
    schema: Schema,
    unit: Periods,
    step: int,
) -> pd.DataFrame:
    """The panel with an empty row (no label, no features) in the place of each missing period."""
    place = np.arange(len(ordered)) + np.r_[0, np.cumsum(missing)]
    total = int(place[-1]) + 1
    if total > MOST_FILLED * len(ordered):
        found, expected = f"holes of {total - len(ordered)} periods", f"at most {MOST_FILLED} times the table's rows"
        raise TableError("panel", found=found, expected=expected, hint="a period far from the others is often a typo")
    filled = ordered.set_axis(place).reindex(range(total))
    keys = [name for name in (schema.company, schema.institution, schema.split) if name is not None]
    filled[keys] = filled[keys].ffill()
    before = np.searchsorted(place, np.arange(total), side="right") - 1
    number = when[before] + step * (np.arange(total) - place[before])
    return filled.assign(**{str(schema.period): write_periods(Periods(number, unit.unit))})


def _interval(step: int, periods: Periods) -> str:
    unit = "step" if periods.unit == "number" else periods.unit
    return unit if step == 1 else f"{step} {unit}s"
