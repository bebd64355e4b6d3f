"""A table's columns become the fields that reasons speak of: words, unit, level, range and which way is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, cast

import yaml

from fedcredit.data.features import PRESENT
from fedcredit.data.indicators import Direction, Indicator, indicators
from fedcredit.data.schema import Column, Schema

ORDINAL_UNITS = ("level",)  # whole numbers only


@dataclass(frozen=True)
class Field:
    """What a reason may say of a column; `direction` is None where nobody said which way credit gets better.

    level: JR/T 0197-2020, the stricter of the table's and the dictionary's. is_whole: takes whole numbers only.
    """

    name: str
    zh: str
    en: str
    unit: str
    level: int
    direction: Direction | None = None
    lo: float | None = None
    hi: float | None = None
    optimum: tuple[float, float] | None = None
    is_whole: bool = False
    factor: str | None = None

    @property
    def is_movable(self) -> bool:
        """Whether a better value can be sought."""
        return self.direction is not None and self.lo is not None and self.hi is not None

    def best(self, value: float) -> float:
        """The best value that the field can take from here: an end of its range, or the near edge of its optimum.

        >>> debt = Field("debt", "负债", "Debt", "ratio", 3, "down", 0, 3)
        >>> debt.best(0.8), Field("r", "r", "r", "", 3, "inner", 0, 9, optimum=(1, 2)).best(5)
        (0, 2)
        """
        if self.optimum is not None:
            return min(max(value, self.optimum[0]), self.optimum[1])
        if self.lo is None or self.hi is None:
            return value
        return max(value, self.hi) if self.direction == "up" else min(value, self.lo)

    def speaks_for(self, value: float | str, typical: float | str, *, lowers: bool) -> bool:
        """Whether the value alone, being worse than the typical one, or better, tells why it raises or lowers a risk.

        Where it does not, its course over the periods does; where no direction is known, nobody can tell.

        >>> Field("debt", "负债", "Debt", "ratio", 3, "down").speaks_for(0.9, 0.6, lowers=False)
        True
        """
        if self.direction is None or isinstance(value, str) or isinstance(typical, str):
            return True
        better = typical - value if self.direction == "down" else value - typical
        if self.optimum is not None:
            better = abs(self.best(typical) - typical) - abs(self.best(value) - value)
            return better >= 0 if lowers else better <= 0
        return better > 0 if lowers else better < 0


def fields_of(
    schema: Schema,
    *,
    better: Mapping[str, Direction] | None = None,
    factors: Mapping[str, str] | None = None,
    has_history: bool = False,
) -> tuple[Field, ...]:
    """The fields of a table's columns, then the length of its history where the model reads a panel.

    A column that carries an indicator of the dictionary has its words, range, direction and level; another has its
    own name. `better` and `factors` are the model's directions and factors of columns: they come first.
    """
    known = {indicator.id: indicator for indicator in indicators()}
    made = [
        _field(column, known.get(column.indicator or ""), better=better or {}, factors=factors or {})
        for column in schema.columns
    ]
    history = words()["history"]
    levels = {name: indicator.level for name, indicator in known.items()}
    # A column of an indicator's name that does not say it is one may be in another unit; it is as secret all the same.
    made = [replace(field, level=max(field.level, levels.get(field.name, 0))) for field in made]
    return (*made, *([Field(PRESENT, history["zh"], history["en"], "periods", 1)] * has_history))


def _field(
    column: Column, indicator: Indicator | None, *, better: Mapping[str, Direction], factors: Mapping[str, str]
) -> Field:
    lo, hi = column.lo, column.hi
    if column.kind == "flag":
        lo, hi = 0.0, 1.0
    if column.kind in ("category", "month"):
        lo = hi = None
    direction = better.get(column.name)
    if indicator is None:
        return Field(
            column.name, column.name, column.name, column.unit, column.level, direction, lo, hi,
            is_whole=column.kind == "flag", factor=factors.get(column.name),
        )  # fmt: skip
    direction = direction or indicator.direction
    return Field(
        name=column.name,
        zh=indicator.zh,
        en=indicator.en,
        unit=indicator.unit,
        level=max(column.level, indicator.level),
        direction=direction,
        lo=indicator.lo if lo is None else lo,
        hi=indicator.hi if hi is None else hi,
        optimum=indicator.optimum if direction == "inner" else None,
        is_whole=indicator.unit in ORDINAL_UNITS,
        factor=factors.get(column.name, indicator.factor),
    )


@cache
def words() -> Mapping[str, Any]:
    """The sentences of words.yaml."""
    return _read("words.yaml")


@cache
def typical_of_dictionary() -> Mapping[str, float]:
    """The typical value of each indicator of the dictionary, as typical.yaml proposes it.

    >>> typical_of_dictionary()["debt_ratio"]
    0.6
    """
    return {name: float(value) for name, value in _read("typical.yaml")["typical"].items()}


def typical_for(schema: Schema) -> dict[str, float]:
    """The dictionary's typical value of each column that carries one of its indicators."""
    typical = typical_of_dictionary()
    return {c.name: typical[c.indicator] for c in schema.columns if c.indicator is not None and c.indicator in typical}


def _read(name: str) -> dict[str, Any]:
    return cast(dict[str, Any], yaml.safe_load(files(__package__).joinpath(name).read_text(encoding="utf-8")))
