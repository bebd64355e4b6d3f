"""Days past due after a moment become outcomes: who defaulted within the horizon, who did not, who cannot be told."""

# ruff: noqa: S608 - the names in SQL are those of our own YAML files, never of a user
from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time

from duckdb import DuckDBPyConnection

from fedcredit.data.hub.known import month_end, plain
from fedcredit.data.schema import Label
from fedcredit.errors import TableError

CUSTOMERS, OUTCOMES = "customers_now", "outcomes_now"
LIVE_MONTHS = 3  # a customer of a bank has a row there about one of these months


@dataclass(frozen=True)
class Outcomes:
    """Customers of banks at a moment: `defaults` and `performing` have an outcome, the others are left out.

    `in_default` were so by then already, `censored` have no bank row in the horizon.
    """

    defaults: int
    performing: int
    in_default: int
    censored: int


def find_customers(con: DuckDBPyConnection, *, as_of: datetime, by_bank: bool = False) -> None:
    """Make the temporary table `customers_now`: firm, bank (NULL unless `by_bank`), loan_cny, as known at a moment."""
    moment = plain(as_of)
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {CUSTOMERS} AS
        WITH accounts AS (
          SELECT firm, bank, arg_max(loan_cny, (valid_at, known_at, seq, id)) AS loan
          FROM (SELECT *, rowid AS id FROM raw.bank) WHERE known_at <= TIMESTAMP '{moment}'
            AND valid_at > DATE '{month_end(moment, ago=LIVE_MONTHS + 1)}' AND valid_at <= DATE '{moment.date()}'
          GROUP BY firm, bank)
        SELECT firm, {_bank(by_bank)}, sum(loan::DECIMAL(18, 4))::DOUBLE AS loan_cny FROM accounts GROUP BY ALL
        """
    )


def find_outcomes(
    con: DuckDBPyConnection, *, as_of: datetime, horizon_months: int, days_past_due: int = 90, by_bank: bool = False
) -> Outcomes:
    """Make the temporary table `outcomes_now`: the rows of `customers_now`, with their `outcome`.

    The horizon begins after the day of `as_of` and goes to the end of a month. What is known today of it counts,
    corrections included.

    Raises:
        TableError: the horizon is not over, or no bank has told of its last month.
    """
    moment = plain(as_of)
    last = month_end(moment, ago=-horizon_months)
    _require_told(con, last)
    bank, begin, end = _bank(by_bank), f"DATE '{moment.date()}'", f"DATE '{last}'"
    con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {OUTCOMES} AS
        WITH overdue AS (
          SELECT firm, valid_at, bank FROM (SELECT *, rowid AS id FROM raw.bank)
          SEMI JOIN (SELECT DISTINCT firm, valid_at, bank FROM raw.bank WHERE days_past_due >= {days_past_due}) AS once
            USING (firm, valid_at, bank)
          GROUP BY ALL HAVING arg_max(days_past_due, (known_at, seq, id)) >= {days_past_due}
        ), first AS (SELECT firm, {bank}, min(valid_at) AS day FROM overdue GROUP BY ALL),
        seen AS (SELECT DISTINCT firm, {bank} FROM raw.bank WHERE valid_at > {begin} AND valid_at <= {end})
        SELECT c.*, CASE WHEN day <= {begin} THEN 'in default' WHEN s.firm IS NULL THEN 'censored'
          WHEN day <= {end} THEN 'default' ELSE 'performing' END AS outcome
        FROM {CUSTOMERS} AS c
        LEFT JOIN first AS f ON f.firm = c.firm AND f.bank IS NOT DISTINCT FROM c.bank
        LEFT JOIN seen AS s ON s.firm = c.firm AND s.bank IS NOT DISTINCT FROM c.bank
        """
    )
    counts = dict(con.execute(f"SELECT outcome, count(*) FROM {OUTCOMES} GROUP BY outcome").fetchall())
    return Outcomes(*(counts.get(name, 0) for name in ("default", "performing", "in default", "censored")))


def label_of(*, horizon_months: int, days_past_due: int, by_bank: bool) -> Label:
    """What the column of the outcome says, in words that institutions compare.

    >>> label_of(horizon_months=12, days_past_due=90, by_bank=False).definition
    '90 or more days past due at any bank'
    """
    return Label(
        column=f"default_{horizon_months}m",
        definition=f"{days_past_due} or more days past due at {'this bank' if by_bank else 'any bank'}",
        performance_window=f"{horizon_months} months after the last period; one label in all rows of a company",
        cure="none: the first month counts, whatever follows; who was in default before is left out",
        censoring="without a bank row in the window a company is left out; seen for a part of it, it counts as seen",
        acceptance="accepted",
    )


def _bank(by_bank: bool) -> str:
    return "bank" if by_bank else "NULL::VARCHAR AS bank"


def _require_told(con: DuckDBPyConnection, last: date) -> None:
    newest = con.execute("SELECT max(valid_at) FROM raw.bank").fetchall()[0][0]
    if newest is None or newest < last.replace(day=1):
        raise TableError(
            "outcomes",
            found=f"bank rows up to {newest or 'no month'}",
            expected=f"up to {last}, where the horizon ends",
            hint="look back from an earlier day (--as-of), or make a table without outcomes to score",
        )


def last_outcome(con: DuckDBPyConnection, *, horizon_months: int) -> datetime:
    """The latest month's end whose horizon is over: the newest month that banks have told of, less the horizon.

    Raises:
        TableError: there are no bank rows.
    """
    newest = con.execute("SELECT max(valid_at) FROM raw.bank").fetchall()[0][0]
    if newest is None:
        hint = "outcomes are days past due of table bank"
        raise TableError("event store", found="no rows of banks", expected="some", hint=hint)
    return datetime.combine(month_end(datetime.combine(newest, time()), ago=horizon_months), time(23, 59, 59))
