"""The score book becomes what a caller may see of a company: its grade, the path to it, and reasons up to a level."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path as Folder

from fedcredit.credit.path import Stop
from fedcredit.credit.path import path as stops_of
from fedcredit.credit.sentences import Language
from server.scoring.book import BookError, ScoreBook
from server.scoring.kept_reasons import read_reasons
from server.scoring.messages import Path, Step
from server.scoring.refusal import ScoringRefused
from server.scoring.scored import Scored
from server.scoring.tokens import Caller

WAIT_SECONDS = 2.0  # for whoever writes the book
LONGEST = 64
# JR/T 0197-2020: who answers a company's questions sees restricted fields, who examines the model confidential ones.
LEVEL = {"institution": 3, "data_scientist": 2, "ops": 1, "auditor": 4}


class Grades:
    """Reads one book; opened at the first question, since the book may come later than the service."""

    def __init__(self, path: Folder) -> None:
        self._path, self._lock = path, threading.Lock()
        self._book: ScoreBook | None = None

    def path(self, company: str, caller: Caller, now: datetime, fresh_hours: float, language: Language = "en") -> Path:
        """The company's grades. Raises ScoringRefused: it is unknown, or the book is locked."""
        if not 0 < len(company) <= LONGEST:
            raise ScoringRefused("company", code="field", found="another length", expected=f"1 to {LONGEST} characters")
        try:
            book = self._opened()
            newest, path = (book.latest(company), book.path(company)) if book else (None, [])
        except BookError as fault:
            raise ScoringRefused(
                "score book", code="busy", found=fault.found, expected="a book that can be read", hint="send it again"
            ) from None
        if newest is None:
            hint = "fedcredit model rescore scores the companies of the platform"
            raise ScoringRefused(
                "company", code="unknown-company", found="no score", expected="a scored company", hint=hint
            )
        seen = read_reasons(newest.reasons, level=LEVEL[caller.role], language=language)
        steps = _steps(path)
        return Path(
            company=company,
            grade=newest.grade or "",
            pd=newest.pd,
            age_hours=round(newest.age_hours(now), 3),
            is_fresh=not newest.is_stale(now, fresh_hours),
            path=steps,
            upgrades=sum(step.move == "upgrade" for step in steps),
            downgrades=sum(step.move == "downgrade" for step in steps),
            reasons=seen.reasons,
            are_reasons_hidden=seen.is_hidden,
        )

    def close(self) -> None:
        """Close the book."""
        with self._lock:
            if self._book is not None:
                self._book.close()

    def _opened(self) -> ScoreBook | None:
        with self._lock:
            if self._book is None and self._path.exists():
                self._book = ScoreBook(self._path, is_writable=False, wait_seconds=WAIT_SECONDS)
            return self._book


def _steps(scores: list[Scored]) -> list[Step]:
    """By period. A score without a grade, of a model that was not calibrated, is in the path and moves nothing."""
    stops = {stop.period: stop for stop in stops_of((one.period, one.pd) for one in scores if one.grade)}
    return [_step(one, stops.get(one.period)) for one in scores]


def _step(one: Scored, stop: Stop | None) -> Step:
    return Step(
        period=one.period or None,
        pd=one.pd,
        grade=one.grade or "",
        model_version=one.model_version,
        coverage=one.coverage,
        known_at=one.input_known_at,
        scored_at=one.scored_at,
        notches=None if stop is None else stop.notches,
        move=None if stop is None else stop.move,
    )
