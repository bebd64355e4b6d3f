"""Counts of a folder's raw tables become a report: what was read, what is faulty and why, what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from fedcredit.data.sources import COMPANY, KNOWN_AT, VALID_AT, Source

LATE = 3  # times the source's usual delay


@dataclass
class Tally:
    """One table as it is counted; `late` rows came after three times the usual delay."""

    source: Source
    rows: int = 0
    good: int = 0
    repeated: int = 0
    corrections: int = 0
    late: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    companies: set[str] = field(default_factory=set)
    first: str = ""
    last: str = ""

    @property
    def bad(self) -> int:
        """Faulty rows."""
        return sum(self.reasons.values())

    def read(self, rows: int, reasons: Iterable[str]) -> None:
        """Count rows of the file, and the first reason of each faulty one."""
        self.rows += rows
        self.reasons.update(reasons)

    def keep(self, good: pd.DataFrame) -> None:
        """Count good rows."""
        self.good += len(good)
        self.companies.update(good[COMPANY].unique())
        waited = good[KNOWN_AT] - good[VALID_AT]
        self.late += int((waited > pd.Timedelta(days=LATE * self.source.delay_days + 1)).sum())
        first, last = (f"{day:%Y-%m-%d}" for day in (good[VALID_AT].min(), good[VALID_AT].max()))
        self.first, self.last = min(self.first or first, first), max(self.last, last)

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        counts = {name: getattr(self, name) for name in ("rows", "good", "repeated", "corrections", "late", "bad")}
        return {
            "id": self.source.id,
            "table": self.source.table,
            **counts,
            "companies": len(self.companies),
            "first": self.first,
            "last": self.last,
            "reasons": dict(self.reasons.most_common()),
        }


@dataclass(frozen=True)
class FolderReport:
    """The tables of a folder; sources that it has no file of, and files that are of no source."""

    tables: tuple[Tally, ...]
    missing: tuple[str, ...]
    unknown: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; no value of any row is in it."""
        return {
            "sources": [tally.as_dict() for tally in self.tables],
            "missing": list(self.missing),
            "unknown": list(self.unknown),
        }

    def text(self) -> str:
        """A table for people, faults by reason below their source."""
        lines = [f"{'source':<16} {'rows':>11} {'good':>11} {'bad':>8} {'repeated':>8} {'corrected':>9} {'late':>8}"]
        for one in self.tables:
            numbers = f"{one.rows:>11,} {one.good:>11,} {one.bad:>8,} {one.repeated:>8,} {one.corrections:>9,}"
            lines.append(f"{one.source.table:<16} {numbers} {one.late:>8,}")
            lines += [f"    {count:,} x {reason}" for reason, count in one.reasons.most_common()]
        lines += [f"missing: {', '.join(self.missing)}"] if self.missing else []
        lines += [f"not read, since no source has such a name: {', '.join(self.unknown)}"] if self.unknown else []
        return "\n".join(lines)
