"""PDs of a past period become the table that partner_risk reads: what was thought of a company's partners then."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa

from fedcredit.data.cells import fault, numbers, read_cells, require
from fedcredit.data.hub.state import create
from fedcredit.data.hub.times import read_times
from fedcredit.data.store.duck import DuckStore
from fedcredit.errors import TableError


def add_scores(store: DuckStore, path: Path) -> int:
    """How many PDs of the file (company, period, pd; CSV or Parquet) are in derived.scores now.

    A period is a day, or a month as 2025-11, which means its last day. The periods of the file replace those that
    were there; companies that the store does not know are left out: no invoice names them.

    Raises:
        TableError: a column is missing, a PD is not in 0..1, or a period is no day.
    """
    cells = read_cells(path, text=("company", "period"))
    require(cells, ("company", "period", "pd"), where=path.name)
    found = numbers(cells["pd"], where=path.name)
    if (wrong := ~found.between(0, 1)).any():
        raise fault(cells["pd"], wrong, where=path.name, expected="a probability, 0 to 1")
    periods = cells["period"].astype("str")
    is_month = periods.str.fullmatch(r"\d{4}-\d{2}")
    days, no_day = read_times(periods.where(~is_month, periods + "-01"), is_day=True)
    if no_day.any() or days.isna().any():
        raise fault(cells["period"], no_day | days.isna(), where=path.name, expected="a day or a month")
    days = days.where(~is_month, days + pd.offsets.MonthEnd(0))
    firms = cells["company"].astype("str").map(lambda company: store.code(company))
    rows = pd.DataFrame({"firm": firms, "period": days.dt.date, "pd": found}).dropna()
    if rows.duplicated(["firm", "period"]).any():
        raise TableError(path.name, found="a company and period twice", expected="once each")
    con = store.connection.cursor()
    fresh = pa.table({"firm": rows["firm"].astype("int32"), "period": rows["period"], "pd": rows["pd"]})
    try:
        con.begin()
        create(con)
        con.register("fresh", fresh)
        con.execute("DELETE FROM derived.scores WHERE period IN (SELECT period FROM fresh)")
        con.execute("INSERT INTO derived.scores SELECT firm, period, pd FROM fresh")
        con.commit()
    finally:
        con.close()
    return len(rows)
