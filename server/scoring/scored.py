"""A row of the score book becomes a score that knows its age, and all rows one figure of freshness."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

FRESH_HOURS = 72.0
OBJECTIVE = 0.99  # of living companies with a fresh score


@dataclass(frozen=True)
class Scored:
    """One score as it stands in the book; moments are ISO in UTC.

    `scored_at` is the moment that it speaks of: all that had come in by then is in it. `input_known_at` is when the
    newest of its inputs became known.
    """

    company: str
    period: str
    pd: float
    grade: str | None
    coverage: float
    model_version: str
    input_known_at: str | None
    scored_at: str
    reasons: str | None = None

    def age_hours(self, now: datetime) -> float:
        """Hours since the moment that it speaks of."""
        return (moment_of(instant(now)) - moment_of(self.scored_at)).total_seconds() / 3600

    def is_stale(self, now: datetime, hours: float = FRESH_HOURS) -> bool:
        """True from the age of 72 hours on: still an answer, but one that must be flagged."""
        return self.age_hours(now) >= hours

    def as_dict(self, now: datetime) -> dict[str, Any]:
        """For an answer: its fields, its age, and whether it is stale."""
        told = {name: value for name, value in asdict(self).items() if name != "reasons"}
        reasons = json.loads(self.reasons) if self.reasons else None
        return told | {"reasons": reasons, "age_hours": round(self.age_hours(now), 3), "stale": self.is_stale(now)}


@dataclass(frozen=True)
class Freshness:
    """`live` companies; of these `fresh` have a score younger than `hours`, `unscored` none at all.

    `oldest_hours` is the age of the oldest score (None without any); `on_news` counts living companies with an input
    that became known within `hours`: most sources report by the month, so it is no part of the objective.
    """

    live: int
    fresh: int
    unscored: int
    oldest_hours: float | None
    on_news: int
    hours: float = FRESH_HOURS

    @property
    def stale(self) -> int:
        """Living companies whose score is too old, or missing."""
        return self.live - self.fresh

    @property
    def share(self) -> float:
        """Fresh over live; 1 where nobody lives, since nothing is late.

        >>> Freshness(live=4, fresh=3, unscored=0, oldest_hours=80.0, on_news=0).share
        0.75
        """
        return self.fresh / self.live if self.live else 1.0

    @property
    def is_met(self) -> bool:
        """True while at least 99 % are fresh."""
        return self.share >= OBJECTIVE

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self) | {"stale": self.stale, "share": self.share, "objective": OBJECTIVE, "is_met": self.is_met}


def instant(moment: datetime) -> str:
    """A moment in UTC, as the book writes it: of one length, so that texts sort as times. Without a zone it is UTC.

    >>> instant(datetime(2025, 1, 2, 3, 4, 5))
    '2025-01-02T03:04:05.000000Z'
    """
    plain = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{plain:%Y-%m-%dT%H:%M:%S.%f}Z"


def moment_of(text: str) -> datetime:
    """The moment that `instant` wrote.

    >>> moment_of("2025-01-02T03:04:05.000000Z").hour
    3
    """
    return datetime.fromisoformat(text)
