"""A section of the validation file: words, tables and drawings, from which the page and the Markdown are both made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedcredit.evaluation.figures import interval

SMALLEST_SHOWN = 0.0005
FIGURE = re.compile(r"[<+-]?[\d.–][\d.,e+-]*( %| of \d+| pp)?( \[[^\]]*\]( pp)?)?")


@dataclass(frozen=True)
class Grid:
    """A table; `numbers` says of each column whether it holds figures, which stand to the right.

    >>> grid("", ["split", "rows", "how"], [["test", 806, "2 AUC"], ["all", "–", "counted"]]).numbers
    (False, True, False)
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def numbers(self) -> tuple[bool, ...]:
        columns = zip(*self.rows, strict=True)
        return tuple(place > 0 and all(map(FIGURE.fullmatch, column)) for place, column in enumerate(columns))


@dataclass(frozen=True)
class Section:
    """One heading of the file.

    key: what law.yaml calls it. says: paragraphs. drawings: our own SVG by caption. recompute: commands that give its
    figures again. uncovered: what it does not say, in sentences.
    """

    key: str
    title: str
    says: tuple[str, ...] = ()
    grids: tuple[Grid, ...] = ()
    drawings: Mapping[str, str] = field(default_factory=dict)
    recompute: tuple[str, ...] = ()
    uncovered: tuple[str, ...] = ()


def grid(caption: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Grid:
    """A table of whatever can be printed.

    >>> grid("Rows", ["split", "rows"], [["test", 806]]).rows
    (('test', '806'),)
    """
    return Grid(caption, tuple(head), tuple(tuple(str(cell) for cell in row) for row in rows))


def facts(caption: str, told: Mapping[str, object]) -> Grid:
    """A table of two columns."""
    return grid(caption, ["", ""], told.items())


def told(one: Any) -> str:
    """A figure of the evidence with its interval, the way statisticians print it; a tiny p value is not nought."""
    if one.value is not None and 0 < one.value < SMALLEST_SHOWN and one.low is None:
        return "<.001"
    return interval(one.interval)
