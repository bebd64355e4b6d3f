"""Rows of the event store become what was known at a moment: each fact once, as last heard, none from the future."""

# ruff: noqa: S608 - the names in SQL are those of our own YAML files, never of a user
from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime

import duckdb
from duckdb import DuckDBPyConnection

from fedcredit.data.hub.measures import Measures
from fedcredit.data.sources import COMPANY, VALID_AT, Source, source

# In a monthly table a month that ended this many months ago is over, whoever has reported: see measures.yaml.
MONTHS_TO_REPORT = 2
# Decimals add up to the same sum in every order, doubles do not. The widths hold the ranges of sources.yaml.
DECIMALS = {"number": "DECIMAL(18, 4)", "share": "DECIMAL(9, 6)"}


def plain(moment: datetime) -> datetime:
    """The moment in UTC without a zone, as the event store writes it."""
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def month_end(day: date, *, ago: int = 0) -> date:
    """The last day of the month that many months before.

    >>> month_end(date(2025, 1, 15), ago=2)
    datetime.date(2024, 11, 30)
    """
    number = 12 * day.year + day.month - 1 - ago
    year, month = number // 12, number % 12 + 1
    return date(year, month, calendar.monthrange(year, month)[1])


@contextmanager
def as_known(
    con: DuckDBPyConnection,
    reads: Mapping[str, int],
    *,
    of: Measures,
    as_of: datetime,
    few: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """While this is open, `tax` is what was known of raw.tax at a moment, and so for each table of `reads`.

    With `few`, a SELECT of firms by table, only rows that name one of these companies are shown.
    """
    made: list[str] = []

    def make(kind: str, name: str, sql: str) -> None:
        con.execute(f"CREATE TEMP {kind} {name} AS {sql}")
        made.append(f"DROP {kind} temp.{name}")

    try:
        for table, months in reads.items():
            one = _Reading(source(table), plain(as_of), months, of.columns(table), few[table] if few else None)
            if one.few is not None:
                make("TABLE", f"{table}_rows", one.few_rows())
            make("TABLE", f"{table}_corrected", one.corrected())
            if one.of.frequency in "MQ":
                make("TABLE", f"{table}_newest", one.newest())
            is_read_once = sum(table in group.reads for group in of.groups) == 1
            make("VIEW" if few is None and is_read_once else "TABLE", table, one.shown())
        yield
    finally:
        for drop in reversed(made):
            with suppress(
                duckdb.TransactionException
            ):  # after a fault, its transaction is rolled back with all of them
                con.execute(drop)


@dataclass(frozen=True)
class _Reading:
    """The SELECTs that lead from a raw table to what is shown of it.

    `heard` is what is known at all, `days` which days are read. A correction may move the day of a fact, unless the
    day is part of the key: then days are bounded from the start, which lets DuckDB skip the blocks of older ones.
    """

    of: Source
    as_of: datetime
    months: int
    columns: tuple[str, ...]
    few: str | None

    @property
    def heard(self) -> str:
        heard = f"known_at <= TIMESTAMP '{self.as_of}'"
        return f"{heard} AND {self.days}" if VALID_AT in self.of.key else heard

    @property
    def days(self) -> str:
        after = month_end(self.as_of, ago=self.months + (MONTHS_TO_REPORT if self.of.frequency == "M" else 0))
        return f"valid_at > DATE '{after}' AND valid_at <= DATE '{self.as_of.date()}'"

    @property
    def rows(self) -> str:
        """What is known: of all companies, or what `few_rows` found."""
        if self.few is not None:
            return f"{self.of.table}_rows"
        return f"(SELECT *, rowid AS id FROM raw.{self.of.table} WHERE {self.heard})"

    def few_rows(self) -> str:
        cells = ", ".join(dict.fromkeys([*self._key.split(", "), "valid_at", "known_at", *self.columns, "seq"]))
        raw = f"SELECT {cells}, rowid AS id FROM raw.{self.of.table} WHERE {self.heard} AND"
        partners = (field.name for field in self.of.columns if field.type == COMPANY)
        few = f"({self.few})"
        named = [f"{raw} firm IN {few}", *(f"{raw} {name} IN {few} AND firm NOT IN {few}" for name in partners)]
        return " UNION ALL ".join(named)

    def corrected(self) -> str:
        """The rows that a later one corrects or repeats; only the few keys that occur twice are put in order."""
        return f"""
            SELECT id FROM {self.rows}
            WHERE hash({self._key}) IN (SELECT hash({self._key}) FROM {self.rows} GROUP BY 1 HAVING count(*) > 1)
            QUALIFY row_number() OVER (PARTITION BY {self._key} ORDER BY known_at DESC, seq DESC, id DESC) > 1"""

    def newest(self) -> str:
        """The newest day of each company; in a monthly table only where a month that is not yet over is reported."""
        recent = f"WHERE valid_at > DATE '{self._over}'" if self.of.frequency == "M" else ""
        return f"SELECT firm, max(valid_at) AS newest FROM {self.rows} {recent} GROUP BY firm"

    def shown(self) -> str:
        """The rows that stand, their numbers as decimals, counted back in months."""
        cells = [self._cell(field.name, field.type) for field in self.of.columns if field.name in self.columns]
        month = f"DATE '{self.as_of.date().replace(day=1)}'"
        back_from, join = month, ""
        if self.of.frequency in "MQ":
            back_from, join = "newest", f"LEFT JOIN {self.of.table}_newest USING (firm)"
        if self.of.frequency == "M":
            back_from = f"coalesce(newest, DATE '{self._over}')"
        return f"""
            SELECT {", ".join(["firm", "valid_at", "known_at", *cells])}, {month} AS this_month,
              datediff('month', valid_at, {month}) AS months_ago, datediff('month', valid_at, {back_from}) AS back
            FROM {self.rows} ANTI JOIN {self.of.table}_corrected USING (id) {join} WHERE {self.days}"""

    @property
    def _key(self) -> str:
        return ", ".join("firm" if name == COMPANY else name for name in self.of.key)

    @property
    def _over(self) -> date:
        return month_end(self.as_of, ago=MONTHS_TO_REPORT)

    @staticmethod
    def _cell(name: str, kind: str) -> str:
        return f"TRY_CAST({name} AS {DECIMALS[kind]}) AS {name}" if kind in DECIMALS else name
