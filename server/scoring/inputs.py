"""A hub becomes what a model scores: which companies have news, and the rows of their windows, month by month."""

# ruff: noqa: S608 - the names in SQL are those of our own YAML files, never of a user
from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import duckdb
import pandas as pd
import pyarrow as pa
from duckdb import DuckDBPyConnection

from fedcredit.data.hub.compute import SCORES, compute
from fedcredit.data.hub.formulas import INDICATORS
from fedcredit.data.hub.freshness import life_signs
from fedcredit.data.hub.known import plain
from fedcredit.data.hub.measures import formulas_sha256, measures
from fedcredit.data.hub.panel import moments
from fedcredit.data.hub.refresh import FEATURES, MEASURED, refresh
from fedcredit.data.hub.state import create, last_state
from fedcredit.data.indicators import indicators
from fedcredit.data.schema import Schema, Table
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.tables import check
from fedcredit.errors import ModelError, TableError

MONTHS, MADE = "derived.months", "derived.months_made"


class Inputs(Protocol):
    """Where rescoring gets what it scores."""

    def refresh(self, as_of: datetime) -> None:
        """Take in what is new. Raises FedCreditError where a source or the store stands in the way."""

    def moment(self) -> datetime | None:
        """Up to when all that came in is in the inputs (UTC, without a zone); None before the first refresh."""

    def companies(self) -> pd.DataFrame:
        """Columns company, computed_at (when its inputs last moved), input_known_at, is_live."""

    def rows(self, companies: Sequence[str]) -> Table:
        """The rows of these companies' windows, for the model that is scored."""


class HubInputs:
    """The indicators of a hub, for a model that learnt from a hub's table.

    The current month is what the last refresh left. Months that are over stand as they were known on their last day:
    they are computed once, kept in the hub, and again only where rows of their time come to light later.

    Raises:
        ModelError: the model has inputs that no hub gives.
    """

    def __init__(
        self, store: DuckStore, schema: Schema, *, time: int, intake: Callable[[], object] | None = None
    ) -> None:
        strange = [one.name for one in schema.columns if one.name not in {known.id for known in indicators()}]
        if strange:
            found = f"column {strange[0]!r}, which no hub has"
            hint = "train the champion on the table of fedcredit data build"
            raise ModelError("model", found=found, expected="the 28 indicators of a hub, or some of them", hint=hint)
        self._store, self._time, self._intake = store, time, intake
        # A hub's companies need no institution to be scored, and have no outcome yet.
        self._schema = Schema(schema.columns, schema.label, schema.company, schema.period, None)

    def refresh(self, as_of: datetime) -> None:
        """Take in what is new, recompute the indicators that it moves, and the months that are not kept yet."""
        try:
            if self._intake is not None:
                self._intake()
            at = self._after_the_last(plain(as_of))
            refresh(self._store, as_of=at)
            con = self._store.connection.cursor()
            try:
                self._keep_months(con, at)
            finally:
                con.close()
        except duckdb.Error as fault:
            found = str(fault).partition("\n")[0][:200]
            raise TableError(
                "hub", found=found, expected="a hub that can be written", hint="is the disk full?"
            ) from fault

    def moment(self) -> datetime | None:
        """The moment of the last refresh."""
        create(self._store.connection)
        last = last_state(self._store.connection)
        return last.as_of if last else None

    def companies(self) -> pd.DataFrame:
        """Every company of the hub."""
        at = self.moment()
        if at is None:
            raise TableError("hub", found="no indicators", expected="those of a refresh", hint="fedcredit data refresh")
        return self._store.connection.execute(
            f"SELECT company, computed_at, input_known_at, coalesce({life_signs(at)}, false) AS is_live"
            f" FROM {FEATURES} JOIN companies ON code = firm LEFT JOIN {MEASURED} USING (firm) ORDER BY company"
        ).fetchdf()

    def rows(self, companies: Sequence[str]) -> Table:
        """A row a company and month; the last months of the model's window, or the current one alone."""
        at = self.moment() or datetime.min
        con = self._store.connection.cursor()
        names = ", ".join(one.name for one in self._schema.columns)
        periods = [f"{one:%Y-%m}" for one in moments(at, self._time)]
        try:
            _require_months(con, periods[:-1])
            con.register("wanted_now", pa.table({"company": pa.array(companies, pa.string())}))
            con.execute("CREATE OR REPLACE TEMP TABLE wanted AS SELECT code AS firm, company FROM wanted_now"
                        " JOIN companies USING (company)")  # fmt: skip
            frame = con.execute(
                f"SELECT company, '{periods[-1]}' AS period, {names} FROM {FEATURES} JOIN wanted USING (firm)"
                f" UNION ALL SELECT company, period, {names} FROM {MONTHS} JOIN wanted USING (firm)"
                f" WHERE list_contains($before, period) ORDER BY company, period",
                {"before": periods[:-1]},
            ).fetchdf()
        finally:
            con.close()
        frame = frame.rename(columns={"company": self._schema.company, "period": self._schema.period or "period"})
        return check(frame.assign(**{self._schema.label.column: 0}), self._schema, where="hub", allow_gaps=True)

    def _after_the_last(self, at: datetime) -> datetime:
        """The moment, or one just after the last refresh, where rows came in since and the same moment is asked for.

        So what they move is later than the scores of before, and is seen.
        """
        create(self._store.connection)
        last = last_state(self._store.connection)
        if last is None or not at <= last.as_of < at + timedelta(seconds=1):
            return at
        return last.as_of + timedelta(microseconds=1) if self._store.seq > last.seq else last.as_of

    def _keep_months(self, con: DuckDBPyConnection, at: datetime) -> None:
        """Compute each earlier month that is not kept, or no longer holds; a month is whole or not there."""
        cells = ", ".join(f"{one.id} FLOAT" for one in indicators())
        con.execute(f"CREATE TABLE IF NOT EXISTS {MONTHS} (firm INTEGER, period VARCHAR, {cells})")
        con.execute(f"CREATE TABLE IF NOT EXISTS {MADE} (period VARCHAR, formulas VARCHAR, scores VARCHAR, seq BIGINT)")
        for end in moments(at, self._time)[:-1]:
            con.begin()
            try:
                self._keep_month(con, end)
                con.commit()
            except BaseException:
                con.rollback()
                raise

    def _keep_month(self, con: DuckDBPyConnection, end: datetime) -> None:
        period, names = f"{end:%Y-%m}", ", ".join(one.id for one in indicators())
        said = con.execute(f"SELECT formulas, scores, seq FROM {MADE} WHERE period = $1", [period]).fetchone()
        facts = (formulas_sha256(), _scores(con, end))
        seq = con.execute("SELECT coalesce(max(seq), 0) FROM batches").fetchall()[0][0]
        if said is not None and (said[:2] != facts or _has_rows(con, since=said[2], until=end)):
            con.execute(f"DELETE FROM {MONTHS} WHERE period = $1", [period])
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE lacking AS SELECT code AS firm FROM companies"
            f" ANTI JOIN (FROM {MONTHS} WHERE period = '{period}') ON firm = code"
        )
        lacking, known = con.execute(
            "SELECT (SELECT count(*) FROM lacking), (SELECT count(*) FROM companies)"
        ).fetchall()[0]
        if lacking:
            compute(con, as_of=end, firms=None if lacking == known else "lacking")
            con.execute(
                f"INSERT INTO {MONTHS} BY NAME SELECT firm, '{period}' AS period, {names} FROM {INDICATORS}"
                " SEMI JOIN lacking USING (firm)"
            )
        con.execute(f"DELETE FROM {MADE} WHERE period = $1", [period])
        con.execute(f"INSERT INTO {MADE} VALUES ($1, $2, $3, $4)", [period, *facts, seq])


def _require_months(con: DuckDBPyConnection, periods: Sequence[str]) -> None:
    """Return if they are kept: with one that is not, a window would be padded where there is something to know."""
    made = {row[0] for row in con.execute(f"SELECT period FROM {MADE}").fetchall()} if periods else set()
    if lacking := sorted(set(periods) - made):
        raise TableError("hub", found=f"no indicators of {lacking[0]}", expected=f"those of {len(periods) + 1} months")


def _scores(con: DuckDBPyConnection, end: datetime) -> str:
    """What partners' scores of before the month are, in a word."""
    month = end.date().replace(day=1)
    return str(
        con.execute(
            f"SELECT count(*), bit_xor(hash(firm, period, pd)) FROM {SCORES} WHERE period < $1", [month]
        ).fetchall()
    )


def _has_rows(con: DuckDBPyConnection, *, since: int, until: datetime) -> bool:
    """Whether rows that were known by then came into the store after that batch."""
    found = " UNION ALL ".join(
        f"SELECT 1 FROM raw.{table} WHERE seq > {since} AND known_at <= TIMESTAMP '{until}'"
        for table in measures().reads()
    )
    return con.execute(f"SELECT 1 FROM ({found}) LIMIT 1").fetchone() is not None


def hub_file(folder: Path) -> Path:
    """The event store in a hub's folder. Raises TableError where there is none."""
    path = folder / "events.duckdb"
    if not path.exists():
        hint = "fedcredit data build DIR HUB makes one"
        raise TableError(str(folder), found="no events.duckdb", expected="the folder of a hub", hint=hint)
    return path
