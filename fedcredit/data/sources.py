"""The 18 sources of sources.yaml become checked descriptions of raw tables: columns, keys, ranges, levels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from fedcredit.errors import ConfigError, TableError
from fedcredit.strict import build

SOURCES = Path(__file__).with_name("sources.yaml")
Type = Literal["number", "count", "share", "category", "text", "date", "flag", "company"]
COMPANY, VALID_AT, KNOWN_AT = "company", "valid_at", "known_at"


@dataclass(frozen=True)
class Field:
    """One column of a raw table; see the head of sources.yaml for what each word means.

    `lo..hi` bound a number or count; `usual` holds the median of a file of 30 companies; `level` 0 takes the source's.
    """

    name: str
    type: Type
    lo: float | None = None
    hi: float | None = None
    levels: tuple[str, ...] = ()
    usual: tuple[float, float] | None = None
    steady: bool = False
    nullable: bool = False
    level: int = 0

    def __post_init__(self) -> None:
        for wrong, found, expected in (
            (self.type not in get_args(Type), f"type {self.type!r}", f"one of {', '.join(get_args(Type))}"),
            ((self.type == "category") != bool(self.levels), f"levels {self.levels}", "levels of a category only"),
            (
                self.type in ("number", "count") and (self.lo is None or self.hi is None),
                "no range",
                "lo and hi",
            ),
            (self.level not in range(6), f"level {self.level}", "1..5"),
        ):
            if wrong:
                raise TableError(f"source column {self.name!r}", found=found, expected=expected)


@dataclass(frozen=True)
class Rule:
    """What must hold between the cells of a row: an SQL condition, and the reason given where it does not."""

    reason: str
    sql: str


@dataclass(frozen=True)
class Source:
    """One kind of raw table; `table` is its name in SQL and of its file, `columns` follow the three of all tables."""

    id: str
    table: str
    zh: str
    en: str
    holder: Mapping[str, str]
    frequency: Literal["D", "W", "M", "Q", "Y"]
    level: int
    delay_days: int
    key: tuple[str, ...]
    columns: tuple[Field, ...]
    rules: tuple[Rule, ...] = field(default=())
    identifier: str = "uscc"

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every column with its level, the three of all tables first.

        >>> [f.name for f in source("gas").fields]
        ['company', 'valid_at', 'known_at', 'cubic_metres', 'days_late']
        """
        shared = (
            Field(COMPANY, "company", level=max(self.level, 2)),
            Field(VALID_AT, "date", level=self.level),
            Field(KNOWN_AT, "date", level=self.level, nullable=True),
        )
        return (*shared, *(replace(f, level=f.level or self.level) for f in self.columns))


def read(path: Path) -> tuple[Source, ...]:
    """The sources of a file like sources.yaml, in its order.

    Raises:
        TableError: a source or column is not as it must be.
    """
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))["sources"]
    try:
        return tuple(build(Source, _plain(row), where=f"{path.name}, {row.get('id')}") for row in rows)
    except ConfigError as fault:
        raise TableError(fault.where, found=fault.found, expected=fault.expected, hint=fault.hint) from None


@cache
def sources() -> tuple[Source, ...]:
    """The 18 sources that fedcredit knows.

    >>> len(sources()), sources()[7].table, sources()[11].level
    (18, 'power', 4)
    """
    return read(SOURCES)


def source(table: str) -> Source:
    """The source whose raw table has this name.

    >>> source("taxes")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    fedcredit.errors.TableError: source: found 'taxes', expected one of registration, tax, invoices, ...
    """
    for one in sources():
        if one.table == table:
            return one
    raise TableError("source", found=repr(table), expected=f"one of {', '.join(s.table for s in sources())}")


@cache
def sources_sha256() -> str:
    """Digest of sources.yaml, which the lineage of a feature table carries."""
    return hashlib.sha256(SOURCES.read_bytes()).hexdigest()


def _plain(row: Any) -> Any:
    """YAML's whole and exponent numbers as floats where a range stands, so that a strict dataclass takes them."""
    if isinstance(row, Mapping):
        ranges = ("lo", "hi")
        return {key: float(value) if key in ranges else _plain(value) for key, value in row.items()}
    return [_plain(item) for item in row] if isinstance(row, list) else row
