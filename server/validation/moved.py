"""Scored rows, or the score book, become grades of the same companies at two dates, counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fedcredit.credit.scale import MASTER
from fedcredit.evaluation.migration import migration_counts
from server.scoring.book import BookError, ScoreBook
from server.validation.cells import SMALLEST
from server.validation.dated import Dated, dated, in_time
from server.validation.source import Source

SCORED = ("validation", "test")
LAST = 13  # periods of the score book that are read: a year of months, and the one before


@dataclass(frozen=True)
class Moved:
    """Companies by grade before (rows) and after. steps: how many `unit`s later; others: pairs at another distance."""

    counts: NDArray[np.int64]
    steps: int
    unit: str
    others: int

    @property
    def companies(self) -> int:
        return int(self.counts.sum())


def moved(found: Dated | None) -> Moved | None:
    """Each company's latest two grades at the commonest distance in time; None where fewer than ten have two."""
    if found is None:
        return None
    rows = found.rows
    same = rows["company"].eq(rows["company"].shift())
    distance = (rows["number"] - rows["number"].shift()).where(same)
    counted = distance.dropna().astype(int).value_counts()
    if counted.empty:
        return None
    steps = int(min(counted[counted == counted.max()].index))
    grades = MASTER.place(rows["p"])
    pairs = rows.assign(before=np.roll(grades, 1), after=grades)[distance == steps].drop_duplicates(
        "company", keep="last"
    )
    if len(pairs) < SMALLEST:
        return None
    counts = migration_counts(pairs["before"].to_numpy(), pairs["after"].to_numpy(), grades=len(MASTER.grades))
    return Moved(counts, steps, found.unit, int(counted.sum() - counted[steps]))


def from_rows(source: Source) -> Moved | None:
    """Between the periods of the rows that the run has scored."""
    names = dict.fromkeys([*SCORED, *source.headline.split("+")])
    return moved(dated([one for name in names if (one := source.scores(name)) is not None]))


def from_book(book: Path, *, model_version: str) -> Moved | None:
    """Between the last periods that this version has scored; None where no book can be read."""
    if not book.is_file():
        return None
    try:
        with ScoreBook(book, is_writable=False) as opened:
            scores = opened.of_version(model_version, last=LAST)
    except BookError:
        return None
    return moved(in_time(scores.rename(columns={"pd": "p"}).assign(y=0)))
