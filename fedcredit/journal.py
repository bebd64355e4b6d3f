"""A new SQLite file into one with a write-ahead log, which a reader and a writer can use at the same time."""

from __future__ import annotations

import sqlite3
import threading

LOOK_SECONDS = 0.02


def write_ahead(db: sqlite3.Connection, *, wait_seconds: float) -> None:
    """Make the file's journal a write-ahead log, and wait where another process does the same at that moment.

    SQLite's own timeout does not cover this change: of two processes that open a new file at once one would be refused.

    Raises:
        sqlite3.OperationalError: the file is locked still after `wait_seconds`, or cannot be written.

    >>> db = sqlite3.connect(":memory:")
    >>> write_ahead(db, wait_seconds=1)
    """
    pause = threading.Event()  # the masks' core may use no clock
    for looks_left in reversed(range(max(1, round(wait_seconds / LOOK_SECONDS)))):
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as fault:
            if fault.sqlite_errorcode != sqlite3.SQLITE_BUSY or not looks_left:
                raise
            pause.wait(LOOK_SECONDS)
        else:
            return
