"""Of two processes that make one SQLite file at the same moment, each waits for the other."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedcredit.journal import write_ahead


@contextmanager
def being_made(path: Path, *, seconds: float = 0.3) -> Iterator[None]:
    """Another one holds the new file for so long, as while it makes the journal a write-ahead log."""
    path.touch(mode=0o600)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    release = threading.Timer(seconds, lambda: other.execute("commit"))
    release.start()
    try:
        yield
    finally:
        release.join()
        other.close()


def test_a_file_that_another_makes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    with being_made(path):
        db = sqlite3.connect(path)
        write_ahead(db, wait_seconds=30)
        assert db.execute("pragma journal_mode").fetchone() == ("wal",)
        db.close()


def test_a_file_that_stays_locked_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    with being_made(path, seconds=3):
        db = sqlite3.connect(path, timeout=0)
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            write_ahead(db, wait_seconds=0.1)
        db.close()


def test_another_fault_than_a_lock_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite"
    path.write_bytes(b"no database " * 100)
    db = sqlite3.connect(path)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        write_ahead(db, wait_seconds=1_000)
    db.close()
