"""Moments become a panel: a row a customer, institution and month, with the indicators as they were known then."""

# ruff: noqa: S608 - the names in SQL are those of our own YAML files, never of a user
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, time
from typing import Literal

import numpy as np
import pyarrow as pa
from duckdb import DuckDBPyConnection

from fedcredit.data.hub.compute import compute, measure
from fedcredit.data.hub.formulas import INDICATORS
from fedcredit.data.hub.known import month_end, plain
from fedcredit.data.hub.outcomes import CUSTOMERS, OUTCOMES, Outcomes, find_customers, find_outcomes
from fedcredit.data.indicators import indicators
from fedcredit.data.splits import split_by_company
from fedcredit.errors import TableError

UNKNOWN = "unknown"  # industry, region or size class of a company whose registration is not known
Institution = Literal["region", "bank"]


@dataclass(frozen=True)
class Look:
    """From where and how a panel is looked at; see `build_table` for what the words mean."""

    as_of: datetime
    months: int
    horizon_months: int
    institution: Institution
    days_past_due: int
    has_outcome: bool


@dataclass(frozen=True)
class Panel:
    """The rows, by institution, company and period; what was left out of them; values out of range, by indicator."""

    rows: pa.Table
    outcomes: Outcomes | None
    unregistered: int
    out_of_range: dict[str, int]


def read_panel(con: DuckDBPyConnection, look: Look) -> Panel:
    """The panel that a look shows.

    Raises:
        TableError: the horizon is not over, or there is no customer with a region and an outcome.
    """
    moment, by_bank = plain(look.as_of), look.institution == "bank"
    find_customers(con, as_of=moment, by_bank=by_bank)
    outcomes = None
    if look.has_outcome:
        outcomes = find_outcomes(
            con,
            as_of=moment,
            horizon_months=look.horizon_months,
            days_past_due=look.days_past_due,
            by_bank=by_bank,
        )
    unregistered = _find_members(con, moment, look)
    outside: Counter[str] = Counter()
    for number, at in enumerate(moments(moment, look.months)):
        outside.update(compute(con, as_of=at).out_of_range)
        cells = ", ".join(f"{one.id}::FLOAT AS {one.id}" for one in indicators())
        month = f"SELECT firm, '{at:%Y-%m}' AS period, {cells} FROM {INDICATORS} SEMI JOIN members_now USING (firm)"
        con.execute(
            f"INSERT INTO panel_now {month}" if number else f"CREATE OR REPLACE TEMP TABLE panel_now AS {month}"
        )
    return Panel(_rows(con), outcomes, unregistered, dict(sorted(outside.items())))


def moments(as_of: datetime, months: int) -> list[datetime]:
    """The last instant of each month before, then `as_of` itself.

    >>> [str(one) for one in moments(datetime(2025, 3, 10), 3)]
    ['2025-01-31 23:59:59', '2025-02-28 23:59:59', '2025-03-10 00:00:00']
    """
    before = (month_end(as_of, ago=ago) for ago in range(months - 1, 0, -1))
    return [*(datetime.combine(day, time(23, 59, 59)) for day in before), as_of]


def _find_members(con: DuckDBPyConnection, moment: datetime, look: Look) -> int:
    """Make the temporary table of what does not change from month to month; how many customers have no institution."""
    measure(con, ["registration"], as_of=moment)
    chosen, outcome = CUSTOMERS, ""
    if look.has_outcome:
        chosen = f"(FROM {OUTCOMES} WHERE outcome IN ('default', 'performing'))"
        outcome = f", (outcome = 'default')::TINYINT AS default_{look.horizon_months}m"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE members_now AS
        SELECT firm, coalesce(bank, region) AS institution, coalesce(size_class, '{UNKNOWN}') AS size_class,
          coalesce(industry, '{UNKNOWN}') AS industry, coalesce(region, '{UNKNOWN}') AS region,
          coalesce(loan_cny, 0) AS loan_amount_cny{outcome}
        FROM {chosen} LEFT JOIN of_registration USING (firm)
        """
    )
    missing: int = con.execute("SELECT count(*) FROM members_now WHERE institution IS NULL").fetchall()[0][0]
    con.execute("DELETE FROM members_now WHERE institution IS NULL")
    companies: pa.Table = con.sql(
        "SELECT DISTINCT firm, company FROM members_now JOIN companies ON code = firm ORDER BY firm"
    ).to_arrow_table()
    if not companies.num_rows:
        hint = "institution: bank needs no registration" if missing else "an earlier or later as_of, or more sources"
        found = f"no company of {missing} customers with a region" if missing else "no customer of a bank"
        raise TableError(
            "feature table", found=found, expected="companies with an institution and an outcome", hint=hint
        )
    split = split_by_company(np.asarray(companies["company"].to_pylist(), dtype=np.str_))
    con.register("companies_split", companies.append_column("split", pa.array(split.tolist())))
    con.execute("CREATE OR REPLACE TEMP TABLE splits_now AS FROM companies_split")
    con.unregister("companies_split")
    return missing


def _rows(con: DuckDBPyConnection) -> pa.Table:
    features = ", ".join(one.id for one in indicators())
    return con.sql(
        f"""
        SELECT company, period, institution, split, members_now.* EXCLUDE (firm, institution), {features}
        FROM panel_now JOIN members_now USING (firm) JOIN splits_now USING (firm) ORDER BY institution, company, period
        """
    ).to_arrow_table()
