"""Refreshes leave a trace: up to which batch and moment the indicators go, and what would move all of them."""

# ruff: noqa: S608 - the names in SQL are those of our own YAML files, never of a user
from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection

from fedcredit.data.hub.compute import SCORES
from fedcredit.data.hub.formulas import silent
from fedcredit.data.hub.measures import formulas_sha256, measures


@dataclass(frozen=True)
class State:
    """What the indicators in derived.features were computed from.

    Rows of batches up to `seq`, of what was known at `as_of`. `shared` is what every company's indicators rest on; when
    it differs, all are computed again. `latest` says by raw table when its last row comes to light: rows that were
    stored ahead of their time (a history replayed) are found by it.
    """

    as_of: datetime
    seq: int
    shared: str
    latest: Mapping[str, str]


def create(con: DuckDBPyConnection) -> None:
    """Make schema `derived` with the tables of refreshes and of scores (firm, period, pd)."""
    con.execute("CREATE SCHEMA IF NOT EXISTS derived")
    con.execute(f"CREATE TABLE IF NOT EXISTS {SCORES} (firm INTEGER, period DATE, pd DOUBLE)")
    con.execute(
        "CREATE TABLE IF NOT EXISTS derived.refreshes"
        " (as_of TIMESTAMP, seq BIGINT, shared VARCHAR, latest VARCHAR, recomputed BIGINT)"
    )


def last_state(con: DuckDBPyConnection) -> State | None:
    """The state that the last refresh left, None before the first."""
    found = con.execute(
        "SELECT as_of, seq, shared, latest FROM derived.refreshes ORDER BY rowid DESC LIMIT 1"
    ).fetchone()
    return State(found[0], found[1], found[2], json.loads(found[3])) if found else None


def state_now(con: DuckDBPyConnection, *, as_of: datetime, last: State | None) -> State:
    """The state that a refresh at this moment will leave."""
    seq = con.execute("SELECT coalesce(max(seq), 0) FROM batches").fetchall()[0][0]
    latest, since = (dict(last.latest), last.seq) if last else ({}, 0)
    comes = " UNION ALL ".join(
        f"SELECT '{table}', max(greatest(known_at, valid_at::TIMESTAMP)) FROM raw.{table} WHERE seq > {since}"
        for table in measures().reads()
    )
    for table, moment in con.execute(comes).fetchall():
        if moment is not None:
            latest[table] = max(latest.get(table, ""), moment.isoformat())
    return State(as_of, seq, _shared(con, as_of=as_of), latest)


def keep(con: DuckDBPyConnection, state: State, *, recomputed: int) -> None:
    """Write the state as that of the last refresh."""
    values = [state.as_of, state.seq, state.shared, json.dumps(state.latest), recomputed]
    con.execute("INSERT INTO derived.refreshes VALUES (?, ?, ?, ?, ?)", values)


def _shared(con: DuckDBPyConnection, *, as_of: datetime) -> str:
    """The month, the formulas, the partners' scores, the silent sources, the rows that the month's norms rest on."""
    month = datetime(as_of.year, as_of.month, 1)
    last = f"period = (SELECT max(period) FROM {SCORES} WHERE period < DATE '{month.date()}')"
    scores = con.execute(f"SELECT max(period), count(*), bit_xor(hash(firm, pd)) FROM {SCORES} WHERE {last}").fetchone()
    counts = " UNION ALL ".join(
        f"SELECT count(*) FROM raw.{table} WHERE known_at <= TIMESTAMP '{month}'"
        for table in measures().reads(*measures().norms.of)
    )
    facts = {
        "month": f"{month:%Y-%m}",
        "formulas": formulas_sha256(),
        "scores": scores,
        "silent": sorted(silent(con, as_of=as_of)),
        "norms": con.execute(counts).fetchall(),
    }
    return json.dumps(facts, default=str)
