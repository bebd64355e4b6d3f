"""Events that are not plainly good become good rows after all, or faults with the contract's own reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from fedcredit.data.hub.rows import check_rows
from fedcredit.data.hub.typed import write_out
from fedcredit.data.sources import Source, source
from fedcredit.data.store.rows import schema_of
from server.shapes import SHARED, UNREADABLE


@dataclass(frozen=True)
class Doubt:
    """An event as it was sent: row `row` of body `body`."""

    body: int
    row: int
    text: bytes


@dataclass(frozen=True)
class Fault:
    """Why an event is not stored: a column and a rule, never a value. `text` is for the quarantine only."""

    body: int
    row: int
    reason: str
    text: bytes


@dataclass(frozen=True)
class Judged:
    """Rows that were good after all, with the bodies that they are of in ascending order; and the faults."""

    rows: pa.Table
    bodies: NDArray[np.int64]
    faults: tuple[Fault, ...]


def judge(about: Source, doubts: Sequence[Doubt], *, now: datetime) -> Judged:
    """What the contract says of the events; it reads their cells as it reads those of a file.

    What only a whole file shows is not looked for: its unit, a company's usual size, keys that occur twice.
    """
    if not doubts:
        return Judged(schema_of(about.table).empty_table(), np.empty(0, dtype=np.int64), ())
    doubts = sorted(doubts, key=lambda doubt: (doubt.body, doubt.row))
    faults, cells = [], {}
    for at, doubt in enumerate(doubts):
        found = _cells(about, doubt.text)
        if isinstance(found, str):
            faults.append(Fault(doubt.body, doubt.row, found, doubt.text))
        else:
            cells[at] = found
    names = [field.name for field in about.fields]
    checked = check_rows(
        pd.DataFrame(list(cells.values()), index=list(cells), columns=names, dtype="str"),
        _by_itself(about.table),
        now=now,
    )
    faults += [
        Fault(doubts[at].body, doubts[at].row, reason, doubts[at].text)
        for at, reason in zip(checked.bad["row"], checked.bad["reasons"], strict=True)
    ]
    good = write_out(checked.good, about)
    return Judged(
        pa.Table.from_pandas(good, schema=schema_of(about.table), preserve_index=False),
        np.array([doubts[at].body for at in good.index], dtype=np.int64),
        tuple(sorted(faults, key=lambda fault: (fault.body, fault.row))),
    )


@cache
def _by_itself(table: str) -> Source:
    """The source without what compares a company's rows with each other."""
    about = source(table)
    return replace(about, columns=tuple(replace(field, steady=False) for field in about.columns))


def _cells(about: Source, text: bytes) -> list[str | None] | str:
    """The event's cells as texts, in the order of the source's columns; or what keeps it from being an event."""
    try:
        event = msgspec.json.decode(text)
    except UNREADABLE:
        return "a number beyond all ranges, or a text that cannot be read"
    own = event.pop("columns", None) if isinstance(event, dict) else None
    if not isinstance(own, dict):
        return f"no event: it has not the members {', '.join(SHARED)}, columns"
    cells = event | own
    names = [field.name for field in about.fields]
    if not cells.keys() <= set(names):
        return "a member or column that the source has not"
    return [_text(cells.get(name)) for name in names]


def _text(cell: Any) -> str | None:
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and math.isfinite(cell):
        return repr(cell)
    return None if cell is None else str(cell)
