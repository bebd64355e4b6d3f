"""A checked table becomes examples for a model: one window of numbers each, made by the fixed transforms."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.governance.levels import level_of
from fedcredit.data.panel import codes_of
from fedcredit.data.periods import number_periods
from fedcredit.data.schema import Table
from fedcredit.data.splits import split_by_company
from fedcredit.data.transforms import choose, inputs_of, transform
from fedcredit.data.windows import Windows
from fedcredit.errors import TableError

__all__ = ["choose", "inputs_of", "make_windows", "transform"]

PRESENT = "present"
WHOLE = "all"  # the institution of a table that names none
ABOUT = ("period", "incumbent", "amount", "size", "sector", "region", "stratum")


def make_windows(table: Table, *, length: int) -> Windows:
    """One example a company, institution and split: its last `length` periods, and the label of the last one.

    A shorter history is padded at the front with zeros, and an input `present` tells padding (0) from data (1). A
    window reaches back across the start of its split, never forward past its last row. With length 1 each row is an
    example, so a company may have several. Without a split column, companies are split by `split_by_company`.

    >>> from fedcredit.data.schema import Column, Label, Schema
    >>> frame = pd.DataFrame({"id": ["a", "a", "b"], "year": [2020, 2021, 2021], "debt": [1, 2, 3], "bad": [0, 1, 0]})
    >>> schema = Schema((Column("debt", "raw"),), Label("bad"), company="id", period="year")
    >>> make_windows(Table(frame, schema), length=2).x.tolist()
    [[[1.0, 1.0], [2.0, 1.0]], [[0.0, 0.0], [3.0, 1.0]]]
    """
    if length < 1:
        raise TableError("window length", found=str(length), expected="at least 1 period")
    frame, schema = _ordered(table, is_panel=length > 1), table.schema
    label = frame[schema.label.column].to_numpy(dtype=np.float64, na_value=np.nan)
    is_row = ~np.isnan(label)  # a row without a label only keeps the place of a missing period, see panel.order
    is_whole = bool(is_row.all())  # then no copy by mask, which takes as long as the transforms
    made, names = transform(frame if is_whole else frame[is_row], schema)
    if length == 1:
        ends = np.flatnonzero(is_row)
        x = made[:, None, :]
    else:
        inputs = np.zeros((len(frame), made.shape[1] + 1), dtype=np.float32)
        rows = slice(None) if is_whole else is_row
        inputs[rows, :-1] = made
        inputs[rows, -1] = 1.0
        names = (*names, PRESENT)
        history = _codes(frame, schema.institution, schema.company)
        ends = _last_of_each(_codes(frame, schema.institution, schema.company, schema.split), is_row)
        x = _windows_at(ends, history, inputs, length=length)

    last = frame.iloc[ends]
    company = _text(last[schema.company])
    roles = {role: getattr(schema, role) for role in ABOUT if getattr(schema, role) is not None}
    return Windows(
        x=x,
        y=label[ends].astype(np.float32),
        company=company,
        institution=np.full(len(ends), WHOLE) if schema.institution is None else _text(last[schema.institution]),
        split=split_by_company(company) if schema.split is None else _text(last[schema.split]),
        features=names,
        about=pd.DataFrame({role: last[name].to_numpy() for role, name in roles.items()}, index=range(len(ends))),
        schema_sha256=schema.sha256,
        level=level_of(schema),
    )


def _ordered(table: Table, *, is_panel: bool) -> pd.DataFrame:
    """The rows of each company together and in time, companies in the order in which they first appear."""
    frame, schema = table.frame, table.schema
    if not is_panel:
        return frame
    history = _codes(frame, schema.institution, schema.company)
    if schema.period is None:
        if len(np.unique(history)) < len(frame):
            raise TableError(
                "table", found="companies with several rows and no period column", expected="a period column"
            )
        return frame
    when = number_periods(frame[schema.period], where="table").number
    sort = np.lexsort((when, history))
    return frame if (sort[1:] > sort[:-1]).all() else frame.iloc[sort]  # a checked table is in order already


def _codes(frame: pd.DataFrame, *keys: str | None) -> NDArray[np.int64]:
    return codes_of(*(frame[key] for key in keys if key is not None))


def _text(cells: pd.Series) -> NDArray[np.str_]:
    return cells.astype("str").to_numpy().astype(np.str_)


def _last_of_each(group: NDArray[np.int64], is_row: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Position of the last true row of each group, rising."""
    at = np.flatnonzero(is_row)
    _, first = np.unique(group[at][::-1], return_index=True)
    return np.sort(at[len(at) - 1 - first])


def _windows_at(
    ends: NDArray[np.intp], history: NDArray[np.int64], inputs: NDArray[np.float32], *, length: int
) -> NDArray[np.float32]:
    """(ends, length, inputs): the rows up to each end that belong to the same history, zeros before they start."""
    start = np.flatnonzero(np.r_[True, history[1:] != history[:-1]])
    first = start[np.searchsorted(start, ends, side="right") - 1]
    x = np.zeros((len(ends), length, inputs.shape[1]), dtype=np.float32)
    for back in range(length):  # one step a period, so that no (ends, length) table of positions is gathered at once
        at = ends - back
        inside = at >= first
        x[inside, length - 1 - back] = inputs[at[inside]]
    return x
