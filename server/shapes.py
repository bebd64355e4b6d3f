"""A source of sources.yaml becomes the type of its events: what msgspec can refuse while it reads, it does."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from fedcredit.data.hub.contracts import LONGEST_TEXT
from fedcredit.data.sources import COMPANY, KNOWN_AT, VALID_AT, Field, source

SHARED = (COMPANY, VALID_AT, KNOWN_AT)
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # what msgspec raises for a text


@cache
def event_type(table: str) -> type[msgspec.Struct]:
    """An event of a source: the three members that all have, and `columns` with the source's own.

    Dates and codes are read as text, since a whole column of those is checked faster than one at a time.

    >>> event = '{"company": "?", "valid_at": "?", "known_at": "?", "columns": {"cubic_metres": -1, "days_late": 0}}'
    >>> msgspec.json.decode(event, type=event_type("gas"))
    Traceback (most recent call last):
    msgspec.ValidationError: Expected `float` >= 0.0 - at `$.columns.cubic_metres`
    """
    own = [_member(field) for field in source(table).columns]
    columns = msgspec.defstruct(f"{table}_columns", own, forbid_unknown_fields=True, kw_only=True, gc=False)
    members = [*((name, str) for name in SHARED), ("columns", columns)]
    return msgspec.defstruct(f"{table}_event", members, forbid_unknown_fields=True, gc=False)


def _member(field: Field) -> tuple[str, Any] | tuple[str, Any, None]:
    return (field.name, _type(field) | None, None) if field.nullable else (field.name, _type(field))


def _type(field: Field) -> Any:
    if field.type == "share":
        return Annotated[float, Meta(ge=0.0, le=1.0)]
    if field.type == "number":
        return Annotated[float, Meta(ge=field.lo, le=field.hi)]
    if field.type == "count":
        return Annotated[int, Meta(ge=int(field.lo or 0), le=int(field.hi or 0))]
    if field.type == "category":
        return Literal[field.levels]
    if field.type == "flag":
        return bool
    return Annotated[str, Meta(min_length=1, max_length=LONGEST_TEXT)]
