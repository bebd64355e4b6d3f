"""Raw rows as known at a moment become measures by company, and these the 28 indicators of every company."""

# ruff: noqa: S608 - the names in SQL are those of our own YAML files, never of a user
from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime

import duckdb
from duckdb import DuckDBPyConnection

from fedcredit.data.hub.formulas import Computed, evaluate
from fedcredit.data.hub.known import as_known, plain
from fedcredit.data.hub.measures import measures
from fedcredit.data.indicators import indicators

SCORES = "derived.scores"


def compute(con: DuckDBPyConnection, *, as_of: datetime, firms: str | None = None) -> Computed:
    """Make the temporary table `indicators_now`: firm, the 28 indicators, and `known`, when their newest input came.

    Only rows with known_at and valid_at up to `as_of` are read, of each fact the one known last. A value outside the
    dictionary's range is missing, and counted. Equal rows give equal bits, for all companies or for those of a table
    `firms`.
    """
    moment, of = plain(as_of), measures()
    companies = f"SELECT DISTINCT firm FROM {firms}" if firms else "SELECT code AS firm FROM companies"
    few = dict.fromkeys(of.reads(), companies) if firms else None
    try:
        find_norms(con, month=moment.date().replace(day=1), into="norms_now")
        measure(con, [group.name for group in of.groups], as_of=moment, few=few)
        join(con, companies, into="TEMP TABLE measured_now")
        return evaluate(con, indicators(), as_of=moment, measured="measured_now", norms="norms_now")
    finally:
        for table in ("measured_now", "norms_now"):
            with suppress(duckdb.TransactionException):  # after a fault, its transaction is rolled back with them
                con.execute(f"DROP TABLE IF EXISTS temp.{table}")


def find_norms(con: DuckDBPyConnection, *, month: date, into: str) -> None:
    """Make the temporary table `into` of what was usual in each industry, as known at the first instant of a month."""
    norms = measures().norms
    measure(con, norms.of, as_of=datetime(month.year, month.month, 1))
    tables = ", ".join(f"{name} AS (FROM of_{name})" for name in norms.of)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {into} AS WITH {tables} {norms.sql}")
    for name in norms.of:
        con.execute(f"DROP TABLE temp.of_{name}")


def measure(
    con: DuckDBPyConnection, names: Sequence[str], *, as_of: datetime, few: Mapping[str, str] | None = None
) -> None:
    """Make a temporary table `of_<name>` of each group: firm, newest, known, its measures.

    `few` is a SELECT of firms by raw table. Then rows of their partners are there too, which are not whole.
    """
    moment, of = plain(as_of), measures()
    _show_scores(con, before=moment.date().replace(day=1))
    with as_known(con, of.reads(*names), of=of, as_of=moment, few=few):
        for group in of.groups:
            if group.name in names:
                columns = ", ".join(["firm", "newest", "known", *group.gives])
                con.execute(f"CREATE OR REPLACE TEMP TABLE of_{group.name} AS SELECT {columns} FROM ({group.sql})")
    con.execute("DROP TABLE temp.scores")


def join(con: DuckDBPyConnection, companies: str, *, into: str) -> None:
    """Make one table of those of all groups: firm, and of each group <name>_newest, <name>_known, its measures.

    Companies, a SELECT of firms, of which no group knows anything are left out. The tables of the groups are gone.
    """
    groups = measures().groups
    cells = ", ".join(
        f"of_{group.name}.newest AS {group.name}_newest, of_{group.name}.known AS {group.name}_known,"
        f" {', '.join(group.gives)}"
        for group in groups
    )
    joins = " ".join(f"LEFT JOIN of_{group.name} USING (firm)" for group in groups)
    known = ", ".join(f"of_{group.name}.known" for group in groups)
    con.execute(
        f"CREATE OR REPLACE {into} AS SELECT firm, {cells} FROM ({companies}) {joins}"
        f" WHERE coalesce({known}) IS NOT NULL ORDER BY firm"
    )
    for group in groups:
        con.execute(f"DROP TABLE temp.of_{group.name}")


def _show_scores(con: DuckDBPyConnection, *, before: date) -> None:
    """Make the temporary table `scores`, the PDs of the last period before a day."""
    scores = f"{SCORES} WHERE period = (SELECT max(period) FROM {SCORES} WHERE period < DATE '{before}')"
    if not con.execute(
        "SELECT 1 FROM duckdb_tables() WHERE schema_name = 'derived' AND table_name = 'scores'"
    ).fetchone():
        scores = "(SELECT NULL::INTEGER AS firm, NULL::DOUBLE AS pd) WHERE false"
    con.execute(f"CREATE OR REPLACE TEMP TABLE scores AS SELECT firm, pd FROM {scores}")
