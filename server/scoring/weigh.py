"""A score book's file becomes its freshness, by one query: also for who watches it and has no need of anything else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from server.scoring.scored import FRESH_HOURS, Freshness, instant, moment_of

SQL = (
    "SELECT count(*), count(*) FILTER (WHERE scored_at > ?1), count(*) FILTER (WHERE scored_at IS NULL),"
    " min(scored_at), count(*) FILTER (WHERE input_known_at > ?1) FROM newest WHERE is_live"
)
WAIT_SECONDS = 2.0


def weigh(read: Callable[..., list[Any]], *, now: datetime, hours: float = FRESH_HOURS) -> Freshness:
    """The freshness at a moment; `read` answers a query with rows."""
    live, fresh, unscored, oldest, on_news = read(SQL, instant(now - timedelta(hours=hours)))[0]
    age = (moment_of(instant(now)) - moment_of(oldest)).total_seconds() / 3600 if oldest else None
    return Freshness(live=live, fresh=fresh, unscored=unscored, oldest_hours=age, on_news=on_news, hours=hours)


def weigh_file(path: Path, *, now: datetime) -> Freshness | None:
    """The freshness of the book in a file; None where there is none that can be read."""
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=WAIT_SECONDS)
        try:
            return weigh(lambda sql, since: db.execute(sql, (since,)).fetchall(), now=now)
        finally:
            db.close()
    except (sqlite3.Error, ValueError, TypeError):
        return None
