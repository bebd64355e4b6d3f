"""Scores of companies become a book on disk: the newest of each, its path over the periods, and how old they are."""

# ruff: noqa: S608 - the names in SQL are constants of this file
from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from fedcredit.errors import FedCreditError
from fedcredit.journal import write_ahead
from server.scoring.scored import FRESH_HOURS, Freshness, Scored, instant
from server.scoring.weigh import weigh

BATCH = 10_000  # rows a transaction: what a kill can cost, and about a tenth of a second
WAIT_SECONDS = 30.0  # for another process that is writing
SCHEMA = """
CREATE TABLE IF NOT EXISTS scores (
  company TEXT NOT NULL, period TEXT NOT NULL, pd REAL NOT NULL, grade TEXT, coverage REAL NOT NULL,
  model_version TEXT NOT NULL, input_known_at TEXT, scored_at TEXT NOT NULL, reasons TEXT,
  PRIMARY KEY (company, period, model_version)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS newest (
  company TEXT PRIMARY KEY, period TEXT, model_version TEXT, scored_at TEXT, input_known_at TEXT,
  is_live INTEGER NOT NULL DEFAULT 1
) STRICT, WITHOUT ROWID;
"""
ROW = "company, period, pd, grade, coverage, model_version, input_known_at, scored_at, reasons"
NEWEST = "newest.company = ? AND scores.company = newest.company AND scores.period = newest.period"


class BookError(FedCreditError):
    """The score book cannot be read or written, or a row is none of its kind; what was whole in it stays."""

    code = "book"


class ScoreBook:
    """RUNS/models/NAME/scores.sqlite: one row a company, period and model version; nothing is ever dropped.

    Writers go one after another in batches of 10,000, each whole or not at all; readers see the last whole batch while
    one is written (SQLite's write-ahead log). `is_writable=False` opens a book that must be there, for reading only.
    May be used from several threads.

    Raises:
        BookError: from every method, where the disk or another process stands in the way.
    """

    def __init__(self, path: Path, *, is_writable: bool = True, wait_seconds: float = WAIT_SECONDS) -> None:
        self.file = path
        self._lock = threading.RLock()
        with self._told():
            if is_writable:
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                path.touch(mode=0o600)
            mode = "rw" if is_writable else "ro"
            where = f"{path.resolve().as_uri()}?mode={mode}"
            self._db = sqlite3.connect(
                where, uri=True, timeout=wait_seconds, isolation_level=None, check_same_thread=False
            )
            if is_writable:
                write_ahead(self._db, wait_seconds=wait_seconds)
                self._db.execute("PRAGMA synchronous = NORMAL")  # a lost batch is scored again
                self._db.executescript(SCHEMA)

    def put(self, frame: pd.DataFrame, *, scored_at: datetime | None = None, is_newest: bool = True) -> int:
        """Write scores; how many. The same rows again change nothing but `scored_at`.

        Columns: company, period, pd, coverage, model_version, and where known grade, input_known_at, scored_at and
        reasons (a list or JSON text). `is_newest=False` keeps them as history: a shadow's scores are nobody's grade.
        A score that speaks of an earlier moment than the newest one of its company does not take its place.
        """
        rows = _rows(frame, scored_at=scored_at or datetime.now(UTC))
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            with self._writing() as db:
                db.executemany(f"INSERT OR REPLACE INTO scores ({ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", batch)
                if is_newest:
                    db.executemany(
                        "INSERT INTO newest (company, period, model_version, input_known_at, scored_at)"
                        " VALUES (?, ?, ?, ?, ?) ON CONFLICT (company) DO UPDATE SET period = excluded.period,"
                        " model_version = excluded.model_version, input_known_at = excluded.input_known_at,"
                        " scored_at = excluded.scored_at"
                        " WHERE newest.scored_at IS NULL OR excluded.scored_at >= newest.scored_at",
                        [(row[0], row[1], *row[5:8]) for row in batch],
                    )
        return len(rows)

    def live(self, companies: Sequence[str]) -> None:
        """Say which companies live: these count for freshness, scored or not; the others' scores stay in the book."""
        with self._writing() as db:
            db.execute("CREATE TEMP TABLE IF NOT EXISTS living (company TEXT PRIMARY KEY)")
            db.execute("DELETE FROM living")
            db.executemany("INSERT OR IGNORE INTO living VALUES (?)", ((one,) for one in companies))
            db.execute("UPDATE newest SET is_live = company IN living WHERE is_live <> (company IN living)")
            db.execute("INSERT OR IGNORE INTO newest (company) SELECT company FROM living")

    def latest(self, company: str) -> Scored | None:
        """The company's newest score of a champion, however old; None if it has none."""
        found = self._read(
            f"SELECT {_of('scores')} FROM newest, scores WHERE {NEWEST}"
            " AND scores.model_version = newest.model_version",
            company,
        )
        return Scored(*found[0]) if found else None

    def path(self, company: str, *, model_version: str | None = None) -> list[Scored]:
        """The company's scores by period, one a period: of that version, or the one that was scored last."""
        sql = f"SELECT {ROW} FROM scores WHERE company = ? ORDER BY period, scored_at, model_version"
        found = [Scored(*row) for row in self._read(sql, company)]
        return list(
            {one.period: one for one in found if model_version is None or one.model_version == model_version}.values()
        )

    def of_version(self, model_version: str, *, last: int) -> pd.DataFrame:
        """Company, period and pd of the scores by that version, of the last so many periods that it has scored."""
        sql = (
            "SELECT company, period, pd FROM scores WHERE model_version = ?1 AND period IN"
            " (SELECT DISTINCT period FROM scores WHERE model_version = ?1 AND period <> ''"
            " ORDER BY period DESC LIMIT ?2)"
        )
        return pd.DataFrame(self._read(sql, model_version, last), columns=["company", "period", "pd"])

    def newest(self) -> pd.DataFrame:
        """Of every company: company, period, model_version, scored_at, input_known_at (UTC, no zone), is_live."""
        names = ["company", "period", "model_version", "scored_at", "input_known_at", "is_live"]
        found = pd.DataFrame(self._read(f"SELECT {', '.join(names)} FROM newest ORDER BY company"), columns=names)
        for name in ("scored_at", "input_known_at"):
            found[name] = pd.to_datetime(found[name], utc=True, format="ISO8601").dt.tz_localize(None)
        return found.astype({"is_live": bool})

    def freshness(self, now: datetime, hours: float = FRESH_HOURS) -> Freshness:
        """How many living companies have a score younger than that; a company that was never scored is stale."""
        return weigh(self._read, now=now, hours=hours)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def _read(self, sql: str, *values: object) -> list[Any]:
        with self._told(), self._lock:
            return self._db.execute(sql, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._told(), self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk has ended it already
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as fault:
            hint = "free the disk, or wait for the other writer; scores in whole batches are kept"
            found = str(fault) if isinstance(fault, sqlite3.Error) else fault.strerror or "a fault"
            raise BookError(str(self.file), found=found, expected="a score book", hint=hint) from fault


def _of(table: str) -> str:
    return ", ".join(f"{table}.{name}" for name in ROW.split(", "))


def _rows(frame: pd.DataFrame, *, scored_at: datetime) -> list[tuple[object, ...]]:
    missing = {"company", "pd", "coverage", "model_version"} - set(frame.columns)
    if missing:
        found = f"no column {', '.join(sorted(missing))}"
        raise BookError("scores to keep", found=found, expected="the columns of a score")
    p = frame["pd"].to_numpy(dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        found = f"{int((~((p >= 0) & (p <= 1))).sum())} probabilities outside 0..1"
        raise BookError("scores to keep", found=found, expected="probabilities of default")
    count, none = len(frame), [None] * len(frame)
    periods = ["" if pd.isna(one) else str(one) for one in frame["period"]] if "period" in frame else [""] * count
    at = _instants(frame["scored_at"]) if "scored_at" in frame else [instant(scored_at)] * count
    known = _instants(frame["input_known_at"]) if "input_known_at" in frame else none
    grades = [None if pd.isna(one) else str(one) for one in frame["grade"]] if "grade" in frame else none
    reasons = [_words(one) for one in frame["reasons"]] if "reasons" in frame else none
    companies, versions = frame["company"].astype(str).tolist(), frame["model_version"].astype(str).tolist()
    coverage = frame["coverage"].astype(float).tolist()
    return list(zip(companies, periods, p.tolist(), grades, coverage, versions, known, at, reasons, strict=True))


def _instants(moments: pd.Series) -> list[str | None]:
    found = pd.to_datetime(moments, utc=True)
    return [None if pd.isna(one) else one for one in found.dt.strftime("%Y-%m-%dT%H:%M:%S.%fZ").tolist()]


def _words(reasons: object) -> str | None:
    if reasons is None or (isinstance(reasons, float) and np.isnan(reasons)):
        return None
    return reasons if isinstance(reasons, str) else json.dumps(reasons, ensure_ascii=False)
