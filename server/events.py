"""Bodies of requests become rows of the event store and faults, many bodies at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import pairwise
from operator import attrgetter
from typing import Any

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fedcredit.data.hub.contracts import A_DAY, FIRST_DAY, LAST_DAY
from fedcredit.data.hub.times import parse
from fedcredit.data.identifiers import is_uscc
from fedcredit.data.sources import COMPANY, KNOWN_AT, VALID_AT, Source, source
from fedcredit.data.store.rows import TYPES, schema_of
from server.bodies import Malformed, Read, read
from server.doubts import Doubt, Fault, judge

# A text that the contract would trim or refuse: a control sign, a sign that was not decoded, a blank at an end.
ODD_TEXT = r"[\x00-\x1f\x7f\x{FFFD}]|^[\s\p{Z}]|[\s\p{Z}]$"


@dataclass(frozen=True)
class Checked:
    """The good rows of a body as the store takes them, and what is wrong with the others."""

    rows: pa.Table
    faults: tuple[Fault, ...]


def check(table: str, bodies: Sequence[bytes], *, now: datetime) -> list[Malformed | Checked]:
    """The outcome of each body at the moment `now` (UTC, without zone).

    Two looks: what is plainly good after msgspec and a few comparisons of whole columns is taken. The rest is judged
    by the contract that files are judged by, row by row, with its reasons.
    """
    reads = [read(table, body) for body in bodies]
    parts = [(number, part) for number, part in enumerate(reads) if isinstance(part, Read)]
    events = [event for _, part in parts for event in part.events]
    rows = _columns(source(table), events)
    body_of = np.repeat([number for number, _ in parts], [len(part.events) for _, part in parts]).astype(np.int64)
    row_of = np.concatenate([np.empty(0, np.int64), *(part.rows for _, part in parts)])
    good = _is_plainly_good(rows, source(table), now=now)
    doubts = [Doubt(number, row, text) for number, part in parts for row, text in part.doubtful.items()]
    doubts += [
        Doubt(int(body_of[at]), int(row_of[at]), msgspec.json.encode(events[at])) for at in np.flatnonzero(~good)
    ]
    judged = judge(source(table), doubts, now=now)
    plain = rows if good.all() else rows.filter(pa.array(good))
    split = zip(
        _by_body(plain, body_of[good], len(bodies)), _by_body(judged.rows, judged.bodies, len(bodies)), strict=True
    )
    faults: dict[int, list[Fault]] = {}
    for fault in judged.faults:
        faults.setdefault(fault.body, []).append(fault)
    return [
        part if isinstance(part, Malformed) else Checked(_joined(own), tuple(faults.get(number, ())))
        for number, (part, own) in enumerate(zip(reads, split, strict=True))
    ]


def _by_body(rows: pa.Table, body_of: NDArray[np.int64], bodies: int) -> list[pa.Table]:
    """The rows of each body; `body_of` is ascending."""
    at = np.searchsorted(body_of, np.arange(bodies + 1))
    return [rows.slice(begin, end - begin) for begin, end in pairwise(at.tolist())]


def _joined(parts: Sequence[pa.Table]) -> pa.Table:
    filled = [part for part in parts if part.num_rows]
    return filled[0] if len(filled) == 1 else pa.concat_tables(filled or parts)


def _columns(about: Source, events: Sequence[Any]) -> pa.Table:
    """The events as Arrow columns; a time that is none is empty."""
    made = {
        COMPANY: pa.array(_members(events, COMPANY), pa.string()),
        VALID_AT: _times(_members(events, VALID_AT), pa.date32()),
        KNOWN_AT: _times(_members(events, KNOWN_AT), pa.timestamp("us", "UTC")),
    }
    columns = _members(events, "columns")
    for field in about.columns:
        cells = _members(columns, field.name)
        made[field.name] = _times(cells, pa.date32()) if field.type == "date" else pa.array(cells, TYPES[field.type])
    return pa.table(made).cast(schema_of(about.table))


def _members(structs: Sequence[Any], name: str) -> list[Any]:
    return list(map(attrgetter(name), structs))  # a third of the time of a list comprehension


def _times(texts: Sequence[str | None], kind: pa.DataType) -> pa.Array:
    """The times that ISO 8601 texts say; if one of them is none, each by itself, and that one is empty."""
    try:
        return pa.array(texts, pa.string()).cast(kind)
    except pa.ArrowException:
        moments = parse(pa.array(texts, pa.large_string()))
        return pa.array(moments.astype("datetime64[D]") if pa.types.is_date(kind) else moments)


def _is_plainly_good(rows: pa.Table, about: Source, *, now: datetime) -> NDArray[np.bool_]:
    """Which rows have nothing that the contract could object to; it is asked about all others."""
    valid, known = (rows[name].to_numpy().astype("datetime64[us]") for name in (VALID_AT, KNOWN_AT))
    moment, day = np.datetime64(now, "us"), np.timedelta64(A_DAY.value, "ns").astype("timedelta64[us]")
    good = (known <= moment) & (valid <= moment + day) & (valid <= known + day)  # a time that is none is never below
    if about.frequency in ("M", "Q"):
        months = valid.astype("datetime64[M]")
        good &= (valid.astype("datetime64[D]") + 1).astype("datetime64[M]") > months
        good &= (about.frequency == "M") | (months.astype(np.int64) % 3 == 2)  # months since January 1970
    for field in about.fields:
        column = rows[field.name]
        if field.type == "company":
            good &= is_uscc(column.combine_chunks())
        elif field.type == "date":
            days = column.to_numpy().astype("datetime64[us]")
            in_range = (days >= np.datetime64(FIRST_DAY, "us")) & (days <= np.datetime64(LAST_DAY, "us"))
            good &= in_range
        elif field.type == "text":
            good &= ~np.asarray(pc.fill_null(pc.match_substring_regex(column, ODD_TEXT), False))
    return good & _obeys(rows, about) if about.rules else good


def _obeys(rows: pa.Table, about: Source) -> NDArray[np.bool_]:
    """Whether what must hold between the cells of a row does, as SQL has it."""
    holds = " AND ".join(f"({rule.sql}) IS NOT FALSE" for rule in about.rules)
    with _sql().cursor() as cursor:
        cursor.register("rows", rows)
        found = cursor.execute(f"SELECT {holds} AS holds FROM rows").fetchnumpy()  # noqa: S608
    return np.asarray(found["holds"], dtype=bool)


@cache
def _sql() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})
