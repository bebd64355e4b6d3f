"""New rows become new indicators of the companies that they name, in one transaction; doing it again changes none."""

# ruff: noqa: S608 - the names in SQL are those of our own YAML files, never of a user
from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from duckdb import DuckDBPyConnection

from fedcredit.data.hub.compute import find_norms, join, measure
from fedcredit.data.hub.formulas import INDICATORS, Computed, evaluate
from fedcredit.data.hub.freshness import freshness
from fedcredit.data.hub.known import plain
from fedcredit.data.hub.measures import measures
from fedcredit.data.hub.state import State, create, keep, last_state, state_now
from fedcredit.data.indicators import indicators
from fedcredit.data.sources import COMPANY, source
from fedcredit.data.store.duck import DuckStore
from fedcredit.errors import TableError

FEATURES, MEASURED, NORMS, CHANGED = "derived.features", "derived.measures", "derived.norms", "changed_now"
NEWEST = "indicators.parquet"


@dataclass(frozen=True)
class Refreshed:
    """What a refresh did: `changed` companies had new rows, `recomputed` got indicators (all of them if `is_full`).

    `sources` are the raw tables with something new; only indicators that read one of them were computed. Values that
    no company can have are counted by indicator in `out_of_range`, and are missing.
    """

    as_of: datetime
    is_full: bool
    changed: int
    recomputed: int
    sources: tuple[str, ...]
    seconds: float
    live: int
    fresh: int
    fresh_share: float
    out_of_range: dict[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"as_of": self.as_of.isoformat(), "seconds": round(self.seconds, 3)}

    def text(self) -> str:
        """Two lines for people."""
        news = ", ".join(self.sources) or "no source"
        outside = sum(self.out_of_range.values())
        return (
            f"as of {self.as_of:%Y-%m-%d %H:%M}: {self.changed} companies with news of {news}; indicators of"
            f" {'all ' if self.is_full else ''}{self.recomputed} computed in {self.seconds:.1f} s"
            f"{f', {outside} values outside their range' if outside else ''}\n"
            f"fresh within 72 hours: {self.fresh} of {self.live} living companies ({self.fresh_share:.1%})"
        )


def refresh(store: DuckStore, *, as_of: datetime, folder: Path | None = None) -> Refreshed:
    """Bring derived.features (firm, 28 indicators, input_known_at, computed_at) to a moment not before the last one.

    Computed are the companies that rows of a new batch name, or rows that became known since; all of them at the
    first time, in a new month, and when something moved that all rest on (partners' scores, the formulas, a source
    that fell silent). The result equals that of a computation of all to the last bit. With `folder`, the indicators
    are also written there as indicators.parquet.

    Raises:
        TableError: the moment lies before that of the last refresh.
    """
    began, moment = time.monotonic(), plain(as_of)
    con = store.connection.cursor()
    con.begin()
    try:
        create(con)
        last = last_state(con)
        _refuse_earlier(moment, last)
        state = state_now(con, as_of=moment, last=last)
        is_full = last is None or last.shared != state.shared
        changed, tables = _find_changed(con, last, state)
        done = _compute_all(con, moment) if is_full else _compute_some(con, moment, tables=tables)
        if state != last:
            keep(con, state, recomputed=done.companies)
        fresh = freshness(con, as_of=moment)
        con.commit()
        if folder is not None:
            write_newest(con, folder)
    except BaseException:
        con.rollback()
        raise
    finally:
        con.close()
    return Refreshed(
        as_of=moment,
        is_full=is_full,
        changed=changed,
        recomputed=done.companies,
        sources=tuple(tables),
        seconds=time.monotonic() - began,
        live=fresh.live,
        fresh=fresh.fresh,
        fresh_share=fresh.share,
        out_of_range=dict(done.out_of_range),
    )


def _refuse_earlier(moment: datetime, last: State | None) -> None:
    if last and moment < last.as_of:
        found, expected = f"{moment}, before the last one at {last.as_of}", "that moment or a later one"
        hint = "fedcredit data build --as-of makes the indicators of an earlier moment"
        raise TableError("refresh", found=found, expected=expected, hint=hint)


def write_newest(con: DuckDBPyConnection, folder: Path) -> Path:
    """The indicators of the last refresh with the companies' codes, as FOLDER/indicators.parquet."""
    newest = f"(SELECT firm AS code, * EXCLUDE (firm) FROM {FEATURES})"
    rows = con.sql(
        f"SELECT company, * EXCLUDE (company, code) FROM {newest} JOIN companies USING (code) ORDER BY company"
    ).to_arrow_table()
    unfinished = folder / f"{NEWEST}.part"
    pq.write_table(rows, unfinished, compression="zstd")
    return unfinished.replace(folder / NEWEST)


def _find_changed(con: DuckDBPyConnection, last: State | None, now: State) -> tuple[int, list[str]]:
    """Make the temporary table of companies that new rows name; their number, and the raw tables of these rows."""
    parts: list[str] = []
    for table in measures().reads():
        visible = f"known_at <= TIMESTAMP '{now.as_of}' AND valid_at <= DATE '{now.as_of.date()}'"
        is_new = "true"
        if last:
            is_new = f"seq > {last.seq}"
            if now.as_of > last.as_of and now.latest.get(table, "") > last.as_of.isoformat():  # stored before its time
                is_new += f" OR known_at > TIMESTAMP '{last.as_of}' OR valid_at > DATE '{last.as_of.date()}'"
        parts.extend(
            f"SELECT '{table}' AS source, {party} AS firm FROM raw.{table} WHERE {visible} AND ({is_new})"
            for party in ("firm", *(one.name for one in source(table).columns if one.type == COMPANY))
        )
    named = " UNION ALL ".join(parts)
    con.execute(f"CREATE OR REPLACE TEMP TABLE {CHANGED} AS SELECT DISTINCT source, firm FROM ({named})")
    count = con.execute(f"SELECT count(DISTINCT firm) FROM {CHANGED}").fetchall()[0][0]
    return count, [row[0] for row in con.execute(f"SELECT DISTINCT source FROM {CHANGED} ORDER BY source").fetchall()]


def _compute_all(con: DuckDBPyConnection, moment: datetime) -> Computed:
    find_norms(con, month=moment.date().replace(day=1), into="norms_found")
    con.execute(f"CREATE OR REPLACE TABLE {NORMS} AS FROM norms_found ORDER BY ALL")
    measure(con, [group.name for group in measures().groups], as_of=moment)
    join(con, "SELECT code AS firm FROM companies", into=f"TABLE {MEASURED}")
    done = evaluate(con, indicators(), as_of=moment, measured=MEASURED, norms=NORMS)
    con.execute(f"CREATE OR REPLACE TABLE {FEATURES} AS {_as_features(moment)} ORDER BY firm")
    return done


def _compute_some(con: DuckDBPyConnection, moment: datetime, *, tables: Sequence[str]) -> Computed:
    """Measures of the companies that each table has news of, then the indicators that rest on one of these measures."""
    if not tables:
        return Computed(moment, 0, {}, ())
    of, few = measures(), {table: f"SELECT firm FROM {CHANGED} WHERE source = '{table}'" for table in tables}
    moved = [(group, few[table]) for group in of.groups for table in group.reads if table in few]
    measure(con, [group.name for group, _ in moved], as_of=moment, few=few)
    newcomers = f"SELECT DISTINCT firm FROM {CHANGED} ANTI JOIN {MEASURED} USING (firm)"
    has_new = bool(con.execute(f"INSERT INTO {MEASURED} BY NAME {newcomers}").fetchall()[0][0])
    for group, firms in moved:
        cells = {f"{group.name}_{name}": name for name in ("newest", "known")} | {name: name for name in group.gives}
        con.execute(
            f"UPDATE {MEASURED} AS old SET {', '.join(f'{cell} = new.{name}' for cell, name in cells.items())}"
            f" FROM (FROM ({firms}) LEFT JOIN of_{group.name} USING (firm)) AS new WHERE new.firm = old.firm"
        )
    measured = f"(FROM {MEASURED} WHERE firm IN (SELECT firm FROM {CHANGED}))"
    wanted = [one for one in indicators() if has_new or of.tables(one.sql).intersection(tables)]
    done = evaluate(con, wanted, as_of=moment, measured=measured, norms=NORMS)
    if has_new:
        con.execute(f"DELETE FROM {FEATURES} WHERE firm IN (SELECT firm FROM {CHANGED})")
        con.execute(f"INSERT INTO {FEATURES} {_as_features(moment)}")
        return done
    values = ", ".join(f"{name} = new.{name}" for name in done.indicators)
    con.execute(
        f"UPDATE {FEATURES} AS old SET {values}, input_known_at = new.known, computed_at = TIMESTAMP '{moment}'"
        f" FROM {INDICATORS} AS new WHERE new.firm = old.firm"
    )
    return done


def _as_features(moment: datetime) -> str:
    names = ", ".join(one.id for one in indicators())
    return f"SELECT firm, {names}, known AS input_known_at, TIMESTAMP '{moment}' AS computed_at FROM {INDICATORS}"
