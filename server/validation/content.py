"""A section of the validation file: words, tables and drawings, from which the page and the Markdown are both made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedcredit.evaluation.figures import interval


@dataclass(frozen=True)
class Grid:
    """A table. Columns from `numbers_from` on hold figures and stand to the right."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers_from: int = 1


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


def grid(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[object]], *, numbers_from: int = 1
) -> Grid:
    """A table of whatever can be printed.

    >>> grid("Rows", ["split", "rows"], [["test", 806]]).rows
    (('test', '806'),)
    """
    return Grid(caption, tuple(head), tuple(tuple(str(cell) for cell in row) for row in rows), numbers_from)


def facts(caption: str, told: Mapping[str, object]) -> Grid:
    """A table of two columns."""
    return grid(caption, ["", ""], told.items(), numbers_from=2)


def told(one: Any) -> str:
    """A figure of the evidence with its interval, the way statisticians print it."""
    return interval(one.interval)
