"""A rescoring run leaves a record: how the last one went, and when the next is due, whatever the timer remembers."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

from fedcredit.errors import ConfigError, RunError
from fedcredit.strict import build
from fedcredit.trust.files import write_whole
from server.scoring.scored import instant, moment_of

EVERY_HOURS = 6.0
MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class RunRecord:
    """The last run; `good` is when the last began that went well, which is what the next one's due time counts from.

    state: `running` also where it was killed: a lock says whether anybody is at work.
    """

    state: str
    began: str
    ended: str | None
    good: str | None
    model_version: str
    scored: int
    fault: str = ""

    def is_due(self, now: datetime, *, every_hours: float = EVERY_HOURS) -> bool:
        """True once so many hours have gone since the last good run; at once after one that was cut or failed."""
        return self.state != "done" or self.good is None or moment_of(instant(now)) >= self.due(every_hours)

    def due(self, every_hours: float = EVERY_HOURS) -> datetime:
        """When the next run is due, counted from the last good one."""
        return moment_of(self.good or self.began) + timedelta(hours=every_hours)


def read_record(path: Path) -> RunRecord | None:
    """The last run's record; None where there is none, or one that cannot be read: then a run is due."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        record = build(RunRecord, json.loads(data), where=path.name)
        for text in (record.began, record.good or record.began):
            moment_of(text)
    except (OSError, ValueError, RecursionError, ConfigError):
        return None
    return record


def write_record(path: Path, record: RunRecord) -> None:
    """Write it whole or not at all."""
    write_whole(path, json.dumps(asdict(record), ensure_ascii=False).encode() + b"\n")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One run a model at a time; the lock goes with the process that holds it. Raises RunError at a second one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for it: what it has scored need not be scored again"
            raise RunError("rescoring", found="another run at work", expected="one a model", hint=hint) from None
        yield
