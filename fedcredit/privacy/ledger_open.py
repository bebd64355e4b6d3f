"""A ledger's file, opened once a process: one writer at a time, verified before it is used, synced after."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fedcredit.errors import CheckpointError
from fedcredit.journal import write_ahead
from fedcredit.privacy.entry import GENESIS, edited, verify_chain
from fedcredit.privacy.ledger_file import last, read

WAIT_SECONDS = 60.0  # for another process that is writing
MOST_OPEN = 16  # a study has a ledger in each of hundreds of folders
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

Looks = tuple[int, int, int]


@dataclass
class _Held:
    """An open file, how it looked when this process last left it, and the last entry that was verified then.

    Opening it for each charge would cost five syncs instead of one: SQLite tidies up after the last one who leaves.
    """

    db: sqlite3.Connection
    looks: Looks | None = None
    version: int = -1
    seq: int = 0
    head: str = GENESIS


_held: OrderedDict[Path, _Held] = OrderedDict()
_inherited: list[_Held] = []  # of the parent, before a fork: never used or closed here, SQLite forbids both
_lock = threading.RLock()


def _forked() -> None:
    global _lock
    _lock = threading.RLock()
    _inherited.extend(_held.values())
    _held.clear()


os.register_at_fork(after_in_child=_forked)


@contextlib.contextmanager
def writing(path: Path, *, is_whole: bool = False) -> Iterator[sqlite3.Connection]:
    """A verified ledger that nobody else can write to, until the block ends and all of it is on disk.

    Every entry is verified, unless this process verified them and nobody else has touched the file since; `is_whole`
    verifies them all the same.

    Raises:
        LedgerEdited: the chain is broken.
        CheckpointError: the file cannot be opened or written; nothing was charged.
    """
    with _transaction(path, "BEGIN IMMEDIATE", is_whole=is_whole) as db:
        yield db


@contextlib.contextmanager
def reading(path: Path, *, is_whole: bool = True) -> Iterator[sqlite3.Connection]:
    """A verified ledger as it stands at one moment."""
    with _transaction(path, "BEGIN", is_whole=is_whole) as db:
        yield db


@contextlib.contextmanager
def _transaction(path: Path, begin: str, *, is_whole: bool) -> Iterator[sqlite3.Connection]:
    with _lock, _faults(path):
        held = _hold(path)
        try:
            held.db.execute(begin)
            _verify(held, path, is_whole=is_whole)
            yield held.db
            held.seq, held.head = last(held.db)
            held.db.execute("COMMIT")
            held.looks = _looks(path)
        except BaseException:
            _held.pop(path, None)
            held.db.close()  # which rolls back
            raise


def _hold(path: Path) -> _Held:
    held = _held.get(path)
    if held is not None and held.looks is not None and path.exists() and _looks(path)[2] == held.looks[2]:
        _held.move_to_end(path)
        return held
    if held is not None:  # the file was deleted or replaced
        _held.pop(path).db.close()
    while len(_held) >= MOST_OPEN:
        _held.popitem(last=False)[1].db.close()
    _held[path] = _Held(_open(path))
    return _held[path]


def _open(path: Path) -> sqlite3.Connection:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):  # another process was first
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    db = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)  # _lock is held
    try:
        db.execute("PRAGMA synchronous = FULL")
        if db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'entries'").fetchone() == (0,):
            write_ahead(db, wait_seconds=WAIT_SECONDS)
            db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
    except BaseException:
        db.close()
        raise
    return db


def _verify(held: _Held, path: Path, *, is_whole: bool) -> None:
    numbered: tuple[int] = held.db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone() or (0,)
    version: int = held.db.execute("PRAGMA data_version").fetchone()[0]  # another one when somebody else wrote
    if is_whole or (held.looks, held.version) != (_looks(path), version):
        held.seq, held.head = 0, GENESIS
    held.version = version
    seq, _ = verify_chain(read(held.db, after=held.seq), where=str(path), seq=held.seq, head=held.head)
    if numbered != (seq,):  # SQLite's own count of entries outlives those that were cut off the end
        raise edited(str(path), found=f"{seq} entries where {numbered[0]} were written")


def _looks(path: Path) -> Looks:
    """Time, size and number of the file: a hand that writes to it past SQLite, or replaces it, changes them."""
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


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
