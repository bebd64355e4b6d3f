"""Requests that wait become one commit after another: each answered when all that it sent is on the disk."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from fedcredit.data.store.duck import DuckStore
from fedcredit.data.store.store import Batch, Receipt
from fedcredit.errors import FedCreditError
from server.bodies import Malformed
from server.events import Checked, check
from server.quarantine import Quarantine

MOST_WAITING = 1024  # requests; then others are told to come back
MOST_BYTES_WAITING = 64 << 20
MOST_BYTES = 4 << 20  # that are checked at a time: some 25,000 events
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stored:
    """What a request is told: rows stored, faults by row, the batch's name, and whether it was new."""

    accepted: int
    quarantined: tuple[tuple[int, str], ...]
    batch: str
    is_new: bool


@dataclass(frozen=True)
class NotStored:
    """The store could not be written; nothing of the request is in, and it may be sent again."""

    reason: str


Outcome = Stored | Malformed | NotStored


@dataclass(frozen=True, eq=False)
class Waiting:
    """A request that has come, and where its answer is awaited."""

    table: str
    body: bytes
    answer: asyncio.Future[Outcome]


@dataclass(frozen=True, eq=False)
class Ready:
    """A request whose events are checked; `batch` is the digest of its body."""

    waiting: Waiting
    batch: str
    found: Checked


One = TypeVar("One", Waiting, Ready)


class Writer:
    """One thread checks all that waits, another commits all that is checked; then every request of it is answered.

    The more come at a time, the more share one wait for the disk: no timer, no setting. While one group is on its way
    to the disk the next is checked.
    """

    def __init__(self, store: DuckStore, quarantine: Quarantine, *, most_waiting: int = MOST_WAITING) -> None:
        self._store, self._quarantine, self._most_waiting = store, quarantine, most_waiting
        self._waiting: list[Waiting] = []
        self._unanswered = self._bytes = 0  # counted in the event loop alone
        self._is_closing = False
        self._changed = threading.Condition()
        self._ready: queue.SimpleQueue[list[Ready] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._check_on, self._commit_on)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Requests that are not answered yet."""
        return self._unanswered

    def submit(self, table: str, body: bytes) -> asyncio.Future[Outcome] | None:
        """The outcome to come, or None when too many wait already. Called in the event loop."""
        if self._unanswered >= self._most_waiting or self._bytes > MOST_BYTES_WAITING or self._is_closing:
            return None
        self._unanswered, self._bytes = self._unanswered + 1, self._bytes + len(body)
        waiting = Waiting(table, body, asyncio.get_running_loop().create_future())
        waiting.answer.add_done_callback(lambda _: self._forget(len(body)))
        with self._changed:
            self._waiting.append(waiting)
            self._changed.notify()
        return waiting.answer

    def close(self) -> None:
        """Finish what waits, then stop."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        for thread in self._threads:
            thread.join()

    def _forget(self, size: int) -> None:
        self._unanswered, self._bytes = self._unanswered - 1, self._bytes - size

    def _check_on(self) -> None:
        while group := self._take():
            _each_if_all_fail(self._check, group)
        self._ready.put(None)

    def _commit_on(self) -> None:
        is_last = False
        while not is_last:
            groups = [self._ready.get()]
            while not self._ready.empty():
                groups.append(self._ready.get())
            is_last = groups[-1] is None
            if ready := [one for group in groups if group for one in group]:
                _each_if_all_fail(self._commit, ready)

    def _take(self) -> list[Waiting]:
        with self._changed:
            self._changed.wait_for(lambda: bool(self._waiting) or self._is_closing)
            size = end = 0
            while end < len(self._waiting) and (end == 0 or size < MOST_BYTES):
                size += len(self._waiting[end].body)
                end += 1
            taken, self._waiting = self._waiting[:end], self._waiting[end:]
        return taken

    def _check(self, group: Sequence[Waiting]) -> None:
        now = datetime.now(UTC).replace(tzinfo=None)
        ready: list[Ready] = []
        refused: list[tuple[Waiting, Outcome]] = []
        for table in {waiting.table for waiting in group}:
            own = [waiting for waiting in group if waiting.table == table]
            for waiting, found in zip(own, check(table, [one.body for one in own], now=now), strict=True):
                if isinstance(found, Malformed):
                    refused.append((waiting, found))
                else:
                    ready.append(Ready(waiting, hashlib.sha256(waiting.body).hexdigest(), found))
        _tell(refused)
        if ready:
            self._ready.put(ready)

    def _commit(self, group: Sequence[Ready]) -> None:
        # Before the commit: what is not stored must not be lost with a crash after it.
        self._quarantine.keep(
            (one.waiting.table, one.batch, fault)
            for one in group
            if one.found.faults and not self._store.has(one.waiting.table, one.batch)
            for fault in one.found.faults
        )
        receipts = self._store.append_many([Batch(one.waiting.table, one.found.rows, one.batch) for one in group])
        _tell([(one.waiting, self._stored(one, receipt)) for one, receipt in zip(group, receipts, strict=True)])

    def _stored(self, one: Ready, receipt: Receipt) -> Stored:
        faults = tuple((fault.row, fault.reason) for fault in one.found.faults)
        if receipt.rows != one.found.rows.num_rows:  # a repeat of what was judged otherwise then, as by the clock
            faults = self._quarantine.find(one.waiting.table, one.batch)
        return Stored(receipt.rows, faults, receipt.sha256, receipt.is_new)


def _each_if_all_fail(step: Callable[[Sequence[One]], None], group: Sequence[One]) -> None:
    """Take the step with all, or with one after another if that fails: perhaps one is to blame, and all must hear."""
    try:
        step(group)
    except Exception as fault:
        if len(group) > 1:
            for one in group:
                _each_if_all_fail(step, [one])
            return
        reason = fault.code if isinstance(fault, FedCreditError) else type(fault).__name__
        log.error("a request could not be stored: %s", reason)  # noqa: TRY400 - a traceback may quote a cell
        _tell([(one.waiting if isinstance(one, Ready) else one, NotStored(reason)) for one in group])


def _tell(outcomes: Sequence[tuple[Waiting, Outcome]]) -> None:
    if outcomes:
        outcomes[0][0].answer.get_loop().call_soon_threadsafe(_answer, outcomes)


def _answer(outcomes: Sequence[tuple[Waiting, Outcome]]) -> None:
    for waiting, outcome in outcomes:
        if not waiting.answer.done():
            waiting.answer.set_result(outcome)
