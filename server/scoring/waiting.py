"""Work that comes while enough of it is under way becomes a refusal, so that nobody waits long for nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from server.scoring.refusal import ScoringRefused


class Waiting:
    """How much work of one kind is under way or waits; for one event loop."""

    def __init__(self, most: int, *, kind: str) -> None:
        self._most, self._kind, self._count = most, kind, 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one while it lasts. Raises ScoringRefused: there are `most`.

        >>> batches = Waiting(1, kind="batches")
        >>> with batches.one(), batches.one():
        ...     pass
        Traceback (most recent call last):
        server.scoring.refusal.ScoringRefused: service: found 1 batches under way, expected fewer
        hint: send it again after 1 s
        """
        if self._count >= self._most:
            found, hint = f"{self._count} {self._kind} under way", "send it again after 1 s"
            raise ScoringRefused("service", code="busy", found=found, expected="fewer", hint=hint)
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
