"""The dictionary of indicators.yaml becomes 28 checked indicators and the schema columns that a table of them has."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from fedcredit.data.schema import Column, Kind
from fedcredit.errors import TableError

Direction = Literal["up", "down", "inner"]
Frequency = Literal["D", "W", "M", "Q", "Y"]
Missing = Literal["flag", "zero"]

DICTIONARY = Path(__file__).with_name("indicators.yaml")
# Indicators in each factor: 12 of financial health, 9 of operating activity, 7 of growth potential.
FACTOR_SIZES = {"F-A": 4, "F-B": 4, "F-C": 4, "O-A": 3, "O-B": 3, "O-C": 3, "G-A": 3, "G-B": 2, "G-C": 2}
SOURCES = frozenset(f"S{number:02d}" for number in range(1, 19))


@dataclass(frozen=True)
class Indicator:
    """One row of the dictionary; `direction` says which way credit gets better, `optimum` where for `inner`.

    `lo..hi` is the valid range in `unit`; `level` is the JR/T 0197-2020 level 1..5; `sources` are S01..S18;
    `kind`, `scale` and `nullable` are those of `schema.Column`. `formula` is for people; `sql` is the same over the
    measures of hub/measures.yaml, none of them older than `max_age_days`; `missing` is what no record means.
    """

    id: str
    zh: str
    en: str
    dimension: str
    factor: str
    formula: str
    unit: str
    lo: float
    hi: float
    direction: Direction
    sources: tuple[str, ...]
    freq: Frequency
    level: int
    kind: Kind
    sql: str
    max_age_days: int
    missing: Missing
    scale: float = 1.0
    nullable: bool = False
    optimum: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        for wrong, field, expected in (
            (not self.lo < self.hi, "lo, hi", "lo < hi"),
            (self.factor not in FACTOR_SIZES, "factor", f"one of {', '.join(FACTOR_SIZES)}"),
            (self.dimension != self.factor[:1], "dimension", "the first letter of the factor"),
            (self.direction not in get_args(Direction), "direction", "up, down or inner"),
            ((self.direction == "inner") != (self.optimum is not None), "optimum", "given for direction inner only"),
            (self.freq not in get_args(Frequency), "freq", "D, W, M, Q or Y"),
            (not self.sources or not SOURCES.issuperset(self.sources), "sources", "at least one of S01..S18"),
            (self.level not in range(1, 6), "level", "1..5"),
            (not self.scale > 0, "scale", "above 0"),
            (not self.sql.strip(), "sql", "a formula over measures"),
            (not self.max_age_days > 0, "max_age_days", "above 0"),
            (self.missing not in get_args(Missing), "missing", "flag or zero"),
        ):
            if wrong:
                found = ", ".join(f"{name}={getattr(self, name)!r}" for name in field.split(", "))
                raise TableError(f"indicator {self.id!r}", found=found, expected=expected)

    @property
    def column(self) -> Column:
        """The schema column that carries this indicator.

        >>> debt = indicators()[0].column
        >>> debt.name, debt.kind, debt.lo, debt.hi, debt.scale, debt.level
        ('debt_ratio', 'ratio', 0.0, 3.0, 1.0, 3)
        """
        return Column(
            name=self.id,
            kind=self.kind,
            unit=self.unit,
            level=self.level,
            indicator=self.id,
            lo=self.lo,
            hi=self.hi,
            scale=self.scale,
            nullable=self.nullable,
        )


def read(path: Path) -> tuple[Indicator, ...]:
    """The indicators of a dictionary file, in its order, once the counts 12/9/7 and 4+4+4, 3+3+3, 3+2+2 are right.

    Raises `TableError`, which names the row, when a row or the whole is not as the dictionary must be.
    """
    rows = yaml.safe_load(path.read_text(encoding="utf-8"))["indicators"]
    found = tuple(_indicator(row, where=f"{path.name}, row {number}") for number, row in enumerate(rows, start=1))
    _check_whole(found, where=path.name)
    return found


def _indicator(row: dict[str, Any], *, where: str) -> Indicator:
    values = dict(row)
    try:
        values |= {name: float(values[name]) for name in ("lo", "hi", "scale") if name in values}
        values |= {"sources": tuple(values["sources"])}
        if "optimum" in values:
            values["optimum"] = (float(values["optimum"][0]), float(values["optimum"][1]))
        return Indicator(**values)
    except (KeyError, TypeError, ValueError) as fault:
        raise TableError(where, found=str(fault), expected="the fields of an indicator") from fault


def _check_whole(found: Sequence[Indicator], *, where: str) -> None:
    repeated = [name for name, count in Counter(i.id for i in found).items() if count > 1]
    if repeated:
        raise TableError(where, found=f"{repeated[0]!r} more than once", expected="unique ids")
    sizes = Counter(i.factor for i in found)
    for factor, size in FACTOR_SIZES.items():
        if sizes[factor] != size:
            raise TableError(f"{where}, factor {factor}", found=f"{sizes[factor]} indicators", expected=str(size))


@cache
def indicators() -> tuple[Indicator, ...]:
    """The 28 indicators that fedcredit is shipped with.

    >>> [sum(i.dimension == d for i in indicators()) for d in "FOG"]
    [12, 9, 7]
    """
    return read(DICTIONARY)


def columns() -> tuple[Column, ...]:
    """The 28 schema columns, in dictionary order.

    >>> len(columns()), columns()[-1].name
    (28, 'procure_win')
    """
    return tuple(indicator.column for indicator in indicators())


@cache
def dictionary_sha256() -> str:
    """Digest of the dictionary file, which `table.json` carries: the same digest means the same words and ranges."""
    return hashlib.sha256(DICTIONARY.read_bytes()).hexdigest()
