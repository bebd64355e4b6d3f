"""What every event store can do: take whole batches once, and tell what became known in a stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, Self

import pyarrow as pa


@dataclass(frozen=True)
class Batch:
    """Rows of one source that are stored together or not at all; without a `sha256`, their content names them."""

    table: str
    rows: pa.Table
    sha256: str | None = None


@dataclass(frozen=True)
class Receipt:
    """What became of a batch: its number, its rows, and whether this call stored them (or an earlier one had)."""

    seq: int
    rows: int
    is_new: bool
    sha256: str


class EventStore(Protocol):
    """Rows go in by batch, durable when `append` returns; the same batch again changes nothing.

    A correction is a row with the key of an earlier one that became known later: nothing is ever overwritten.
    """

    def append(self, table: str, rows: pa.Table, *, batch: str | None = None) -> Receipt:
        """Store rows of a source (columns of sources.yaml, already checked) unless this batch is in."""
        ...

    def window(
        self, table: str, column: str, *, after: datetime, until: datetime, company: str | None = None
    ) -> pa.Table:
        """By company the count, sum and last of a column, over the facts that became known in (after, until].

        Of a fact that was corrected in that time, the version known last counts, once. `last` is the value of the
        newest `valid_at` (of several, the one known last; of several of those, the largest).
        """
        ...

    def close(self) -> None:
        """Let go of the file or connection; what was acknowledged stays."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *raised: object) -> None: ...
