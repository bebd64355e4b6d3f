"""The body of a request becomes events of a source's type, and the texts of those that are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.shapes import UNREADABLE, event_type

MOST_EVENTS = 1000  # a body


@dataclass(frozen=True)
class Malformed:
    """A body that is no array of events at all; nothing of it is quoted."""

    status: int
    found: str


@dataclass(frozen=True)
class Read:
    """Events of the source's type with the rows where they stood, and by row the texts of the others."""

    events: list[Any]
    rows: NDArray[np.int64]
    doubtful: dict[int, bytes]


def read(table: str, body: bytes) -> Malformed | Read:
    """The events of a body, or why it has none."""
    try:
        events = _decoder(table, many=True).decode(body)
        found = Read(events, np.arange(len(events)), {})
    except UNREADABLE:
        try:
            body.decode()  # what msgspec skips over it does not look into
            found = _one_by_one(table, [bytes(raw) for raw in msgspec.json.decode(body, type=list[msgspec.Raw])])
        except msgspec.ValidationError:
            return Malformed(400, "no array")
        except UNREADABLE:
            return Malformed(400, "malformed JSON")
    count = len(found.events) + len(found.doubtful)
    return Malformed(413, f"{count} events") if count > MOST_EVENTS else found


def _one_by_one(table: str, texts: Sequence[bytes]) -> Read:
    plain: dict[int, Any] = {}
    doubtful: dict[int, bytes] = {}
    decoder = _decoder(table, many=False)
    for row, text in enumerate(texts):
        try:
            plain[row] = decoder.decode(text)
        except msgspec.ValidationError:
            doubtful[row] = text
    return Read(list(plain.values()), np.array(list(plain), dtype=np.int64), doubtful)


@cache
def _decoder(table: str, *, many: bool) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(list[event_type(table)] if many else event_type(table))  # type: ignore[misc]
