"""The SQLite file under a ledger: one writer at a time, synced before it returns, and verified before it is used."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path

from fedcredit.errors import CheckpointError
from fedcredit.privacy.entry import GENESIS, Entry, Event, edited, mechanism_of, verify_chain
from fedcredit.privacy.mechanism import Mechanism

WAIT_SECONDS = 60.0  # for another process that is writing
COLUMNS = ", ".join(field.name for field in fields(Entry))
# The triggers keep a slip of ours from changing an entry; against a hand there is the chain.
SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, time TEXT NOT NULL, event TEXT NOT NULL, scope TEXT NOT NULL,
  dataset TEXT NOT NULL, population TEXT NOT NULL, study TEXT NOT NULL, run TEXT NOT NULL, round INTEGER NOT NULL,
  attempt INTEGER NOT NULL, kind TEXT NOT NULL, mechanism TEXT NOT NULL, count INTEGER NOT NULL, delta REAL NOT NULL,
  epsilon_after REAL NOT NULL, previous TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,
  UNIQUE (run, population, event, round, attempt, kind)
) STRICT;
CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_delete BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""

# Of each file, how it looked when this process last left it, and the last entry that was verified then.
Looks = tuple[int, int, int]
_left: dict[Path, tuple[Looks, int, str]] = {}


@contextlib.contextmanager
def writing(path: Path, *, is_whole: bool = False) -> Iterator[sqlite3.Connection]:
    """A verified ledger that nobody else can write to, until the block ends and all of it is on disk.

    Every entry is verified, unless this process verified them and nobody else has touched the file since; `is_whole`
    verifies them all the same.

    Raises:
        LedgerEdited: the chain is broken.
        CheckpointError: the file cannot be opened or written; nothing was charged.
    """
    with _opened(path) as db:
        db.execute("BEGIN IMMEDIATE")
        try:
            _verify(db, path, is_whole=is_whole)
            yield db
            last = _last(db)
        except BaseException:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
    _left[path] = (_looks(path), *last)


@contextlib.contextmanager
def reading(path: Path, *, is_whole: bool = True) -> Iterator[sqlite3.Connection]:
    """A verified ledger as it stands at one moment."""
    with _opened(path) as db:
        db.execute("BEGIN")
        _verify(db, path, is_whole=is_whole)
        yield db
        last = _last(db)
        db.execute("ROLLBACK")
    _left[path] = (_looks(path), *last)


def read(db: sqlite3.Connection) -> list[Entry]:
    """Every entry, oldest first."""
    return [Entry(*row) for row in db.execute(f"SELECT {COLUMNS} FROM entries ORDER BY seq")]  # noqa: S608 - our names


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
    seq, head = _last(db)
    written = []
    for draft in drafts:
        seq += 1
        entry = replace(draft, seq=seq).after(head)
        head = entry.hash
        marks = ", ".join("?" * len(fields(Entry)))
        db.execute(f"INSERT INTO entries ({COLUMNS}) VALUES ({marks})", astuple(entry))  # noqa: S608 - our own names
        written.append(entry)
    return tuple(written)


def _open(path: Path) -> sqlite3.Connection:
    is_new = not path.exists()
    if is_new:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):  # another process was first
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None)
    try:
        db.execute("PRAGMA synchronous = FULL")
        if db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'entries'").fetchone() == (0,):
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


def _verify(db: sqlite3.Connection, path: Path, *, is_whole: bool) -> None:
    looks, seq, head = _left.get(path, (None, 0, GENESIS))
    if is_whole or looks != _looks(path):
        seq, head = 0, GENESIS
    rows = db.execute(f"SELECT {COLUMNS} FROM entries WHERE seq > ? ORDER BY seq", (seq,))  # noqa: S608 - our own names
    seq, _ = verify_chain((Entry(*row) for row in rows), where=str(path), seq=seq, head=head)
    numbered = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone() or (0,)
    if numbered != (seq,):  # SQLite's own count of entries outlives those that were cut off the end
        raise edited(str(path), found=f"{seq} entries where {numbered[0]} were written")


def _looks(path: Path) -> Looks:
    """Time, size and number of the file: another process that writes to it, or replaces it, changes them."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _last(db: sqlite3.Connection) -> tuple[int, str]:
    row: tuple[int, str] | None = db.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
    return row or (0, GENESIS)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    with _faults(path), contextlib.closing(_open(path)) as db:
        yield db


@contextlib.contextmanager
def _faults(path: Path) -> Iterator[None]:
    """A fault of the file as an error of ours: nothing was charged, so nothing may be trained."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as fault:
        found = os.strerror(fault.errno) if isinstance(fault, OSError) and fault.errno else str(fault)
        hint = "nothing was charged or trained; mend the disk or the permissions and resume"
        raise CheckpointError(str(path), found=found, expected="a ledger that can be written", hint=hint) from fault
    except sqlite3.DatabaseError as fault:
        raise edited(str(path), found="a file that is no ledger") from fault
