"""Events that are not stored become lines of a file beside the store, with their reason."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from server.doubts import Fault

ENDING = ".quarantine.ndjson"


class Quarantine:
    """STORE.quarantine.ndjson: one object a line with at, table, batch, row, reason, event.

    It holds what was sent, identifiers included, so only its owner may read it. A crash between its lines and their
    batch, and sending that batch again, leave the lines twice: batch and row tell.
    """

    def __init__(self, store: Path) -> None:
        self.path = store.with_name(store.name + ENDING)
        self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def keep(self, faults: Iterable[tuple[str, str, Fault]]) -> None:
        """Put away faults with the table and batch that they are of; on the disk when this returns."""
        at = datetime.now(UTC)
        lines = [
            {
                "at": at,
                "table": table,
                "batch": batch,
                "row": fault.row,
                "reason": fault.reason,
                "event": msgspec.Raw(msgspec.json.format(fault.text, indent=-1)),
            }
            for table, batch, fault in faults
        ]
        if lines:
            text = msgspec.json.Encoder().encode_lines(lines)
            while text:
                text = text[os.write(self._file, text) :]
            os.fsync(self._file)

    def find(self, table: str, batch: str) -> tuple[tuple[int, str], ...]:
        """Row and reason of the faults that a batch had when it came first."""
        with self.path.open("rb") as lines:
            own = [line for line in map(msgspec.json.decode, lines) if (line["table"], line["batch"]) == (table, batch)]
        return tuple(sorted({(line["row"], line["reason"]) for line in own}))

    def close(self) -> None:
        """Give the file up."""
        os.close(self._file)
