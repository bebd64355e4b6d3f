"""What serves, its trials and the age of the book become metrics; no label holds a company."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from fedcredit.gauges import Sheet
from server.scoring.book import BookError, ScoreBook
from server.scoring.service import Service

WAIT_SECONDS = 1.0
KEEP_SECONDS = 30.0  # a count over the book takes longer than a scrape should


class Gauges(Collector):
    """Read anew at each scrape; the book's freshness twice a minute."""

    def __init__(self, service: Service, book: Path) -> None:
        self._service, self._book = service, book
        self._fresh: tuple[float, float | None, float | None] = (float("-inf"), None, None)

    def collect(self) -> Iterable[Metric]:
        """The metrics as things are now."""
        sheet, lineup = Sheet("fedcredit_scoring"), self._service.champion.lineup
        sheet.gauge("champion_in_force", "1 while a champion answers.", lineup is not None)
        sheet.gauge(
            "degraded", "1 while an older model answers than the desk says.", bool(self._service.champion.fault)
        )
        for part in ("challenger", "shadow"):
            served = getattr(lineup, part) if lineup else None
            if served is None:
                continue
            counts = self._service.trials.of(served.sha256)
            told = counts.as_dict()
            sheet.gauge("trial_compared", "Scores compared with the champion's.", told["compared"], trial=part)
            share = told["within_one_notch"]
            sheet.gauge("trial_within_one_notch", "Share within one notch of the champion's grade.", share, trial=part)
            sheet.gauge("trial_failed", "Scores that the model under trial did not give.", counts.failed, trial=part)
            sheet.gauge("trial_left_out", "Requests that were not compared.", counts.left_out, trial=part)
        share, oldest = self._freshness()
        sheet.gauge("fresh_share", "Living companies whose grade is younger than 72 hours.", share)
        sheet.gauge("oldest_hours", "Age of the oldest grade of a living company.", oldest)
        return sheet.metrics()

    def _freshness(self) -> tuple[float | None, float | None]:
        at, share, oldest = self._fresh
        if time.monotonic() > at + KEEP_SECONDS:
            share = oldest = None
            if self._book.exists():
                try:
                    with ScoreBook(self._book, is_writable=False, wait_seconds=WAIT_SECONDS) as book:
                        found = book.freshness(datetime.now(UTC))
                    share, oldest = found.share, found.oldest_hours
                except BookError:
                    pass
            self._fresh = (time.monotonic(), share, oldest)
        return share, oldest
