"""What an institution has done in a run becomes rows on its disk, before any message about it leaves.

This is the only file of the room that touches a disk. A stage is a compare-and-set: of two processes, or of a process
and its restarted self, one gets to deal, upload, sign or release, and the other is refused. The file holds the pair
secrets and the open rounds' shares: mode 0600, or refused; a state is overwritten as its round moves on, and SQLite
zeroes what it deletes.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fedcredit.journal import write_ahead
from fedcredit.privacy.secagg.context import RoundId
from fedcredit.privacy.secagg.differencing import Summed, require_same
from fedcredit.privacy.secagg.refusals import StageRefused
from fedcredit.trust.keys import require_private

TABLES = """
create table if not exists run (plan blob primary key, stage text not null, state blob not null);
create table if not exists round (plan blob, round integer, attempt integer, stage text not null, state blob not null,
    primary key (plan, round, attempt));
create table if not exists signed (topic blob, survivors text not null, weighing blob not null, plan blob,
    round integer, attempt integer, primary key (topic, plan, round, attempt));
"""
CLOSED = "closed"
WAIT_SECONDS = 10.0  # for another process that is writing


class Store:
    """The write-ahead record of one institution: a SQLite file of mode 0600, or memory for a simulation."""

    def __init__(self, path: Path | None = None) -> None:
        """Open or make it. Raises KeyFileRefused if others than the owner may read the file."""
        if path is not None:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600))
            require_private(path)  # SQLite gives its side files the same mode
        # Transactions are explicit below; the lock lets a worker's threads share one connection.
        self._connection = sqlite3.connect(
            path or ":memory:", timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._lock = threading.Lock()
        for pragma in ("synchronous=full", "secure_delete=on"):
            self._connection.execute(f"pragma {pragma}")
        write_ahead(self._connection, wait_seconds=WAIT_SECONDS)
        self._connection.executescript(TABLES)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """One transaction that is on disk when it ends, or has not happened."""
        with self._lock:
            self._connection.execute("begin immediate")
            try:
                yield self._connection
            except BaseException:
                self._connection.execute("rollback")
                raise
            self._connection.execute("commit")

    def run(self, plan: bytes, *, stage: str) -> bytes:
        """The state of a run that is at this stage. Raises StageRefused if it is at another one."""
        row = self._one("select stage, state from run where plan = ?", (plan,))
        return _at_stage(row, stage, "set-up")

    def advance_run(self, plan: bytes, *, before: str | None, after: str, state: bytes) -> None:
        """Move a run from one stage to the next, once. Raises StageRefused if it is not at `before`."""
        with self._transaction() as db:
            if before is None:
                done = db.execute("insert or ignore into run values (?, ?, ?)", (plan, after, state))
            else:
                change = "update run set stage = ?, state = ? where plan = ? and stage = ?"
                done = db.execute(change, (after, state, plan, before))
            _require_one(done.rowcount, after)

    def round(self, at: RoundId, *, stage: str) -> bytes:
        """The state of a (round, attempt) that is at this stage. Raises StageRefused if it is at another one."""
        key = (at.plan, at.round, at.attempt)
        row = self._one("select stage, state from round where plan = ? and round = ? and attempt = ?", key)
        return _at_stage(row, stage, f"round {at.round}, attempt {at.attempt}")

    def advance(
        self,
        at: RoundId,
        *,
        before: str | None,
        after: str,
        state: bytes,
        signed: tuple[Iterable[bytes], Summed] | None = None,
    ) -> None:
        """Move a (round, attempt) to its next stage, once, with the (topics, sum) that it signs if any.

        Raises StageRefused if it is not at `before`, DifferencingRefused if another sum was signed under one of the
        topics: looked up in the same transaction, lest two processes sign past each other.
        """
        key = (at.plan, at.round, at.attempt)
        with self._transaction() as db:
            if before is None:
                done = db.execute("insert or ignore into round values (?, ?, ?, ?, ?)", (*key, after, state))
            else:
                change = (
                    "update round set stage = ?, state = ? where plan = ? and round = ? and attempt = ? and stage = ?"
                )
                done = db.execute(change, (after, state, *key, before))
            _require_one(done.rowcount, after)
            if signed is not None:
                topics, chosen = signed
                row = (json.dumps(sorted(chosen.names)), chosen.weighing, *key)
                for topic in topics:
                    require_same(chosen, sums_of(db, topic))
                    db.execute("insert into signed values (?, ?, ?, ?, ?, ?)", (topic, *row))

    def finish(self, at: RoundId, *, before: str) -> None:
        """Close a (round, attempt) that is at `before`, and forget the secrets of every attempt at rounds up to it.

        That they were used stays known. Raises StageRefused if it is not at `before`.
        """
        key = (at.plan, at.round, at.attempt)
        one = "update round set stage = ? where plan = ? and round = ? and attempt = ? and stage = ?"
        rest = "update round set stage = ?, state = x'' where plan = ? and round <= ?"
        with self._transaction() as db:
            _require_one(db.execute(one, (CLOSED, *key, before)).rowcount, CLOSED)
            db.execute(rest, (CLOSED, at.plan, at.round))

    def signed_sums(self, topics: Iterable[bytes]) -> list[Summed]:
        """Every sum ever signed under one of these topics, in any round and run of this store."""
        with self._lock:
            return [one for topic in topics for one in sums_of(self._connection, topic)]

    def _one(self, query: str, key: tuple[bytes | int, ...]) -> tuple[str, bytes] | None:
        with self._lock:
            row: tuple[str, bytes] | None = self._connection.execute(query, key).fetchone()
        return row


def sums_of(db: sqlite3.Connection, topic: bytes) -> list[Summed]:
    """Every sum that was signed under the topic, in the file that is open."""
    rows = db.execute("select distinct survivors, weighing from signed where topic = ?", (topic,)).fetchall()
    return [Summed(frozenset(json.loads(text)), weighing) for text, weighing in rows]


def _at_stage(row: tuple[str, bytes] | None, stage: str, where: str) -> bytes:
    if row is None or row[0] != stage:
        raise StageRefused(
            f"secagg {where}",
            found="nothing begun" if row is None else f"stage {row[0]!r}",
            expected=f"stage {stage!r}",
            hint="nothing is done twice; a failed round is repeated under a new attempt number",
        )
    return row[1]


def _require_one(changed: int, after: str) -> None:
    if changed != 1:
        raise StageRefused("secagg", found=f"a second way to {after!r}", expected="each stage once")
