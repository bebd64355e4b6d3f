"""Entries in and out of a ledger's SQLite file, once it is open and verified."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, fields, replace

from fedcredit.privacy.entry import GENESIS, Entry, Event, mechanism_of
from fedcredit.privacy.mechanism import Mechanism

COLUMNS = ", ".join(field.name for field in fields(Entry))


def read(db: sqlite3.Connection, *, after: int = 0) -> list[Entry]:
    """Every entry with a number above `after`, oldest first."""
    query = f"SELECT {COLUMNS} FROM entries WHERE seq > ? ORDER BY seq"  # noqa: S608 - our own names
    return [Entry(*row) for row in db.execute(query, (after,))]


def read_run(
    db: sqlite3.Connection, run: str, *, population: str, event: Event, number: int | None = None
) -> list[Entry]:
    """The run's plans, charges or closing for one population, oldest first; the charges of one round if it is named."""
    query = (
        f"SELECT {COLUMNS} FROM entries WHERE run = ?1 AND population = ?2 AND event = ?3 "  # noqa: S608 - our names
        "AND round = COALESCE(?4, round) ORDER BY seq"
    )
    return [Entry(*row) for row in db.execute(query, (run, population, event, number))]


def charged_counts(db: sqlite3.Connection, run: str, *, population: str) -> Counter[Mechanism]:
    """How many queries of each mechanism the run has charged to the population."""
    query = (
        "SELECT mechanism, SUM(count) FROM entries WHERE run = ? AND population = ? AND event = 'charge' "
        "GROUP BY mechanism"
    )
    return Counter({mechanism_of(text): count for text, count in db.execute(query, (run, population))})


def append(db: sqlite3.Connection, drafts: Sequence[Entry]) -> tuple[Entry, ...]:
    """The drafts, numbered and chained to the last entry, as they were written."""
    seq, head = last(db)
    written = []
    for draft in drafts:
        seq += 1
        entry = replace(draft, seq=seq).after(head)
        head = entry.hash
        marks = ", ".join("?" * len(fields(Entry)))
        db.execute(f"INSERT INTO entries ({COLUMNS}) VALUES ({marks})", astuple(entry))  # noqa: S608 - our own names
        written.append(entry)
    return tuple(written)


def last(db: sqlite3.Connection) -> tuple[int, str]:
    """Number and hash of the last entry."""
    row: tuple[int, str] | None = db.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
    return row or (0, GENESIS)
