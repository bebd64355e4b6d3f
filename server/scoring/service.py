"""A company's rows become its score by the model in force, watched by the health gate, with trials beside it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from server.scoring.champion import Champion
from server.scoring.gate import HealthGate
from server.scoring.lineup import GRADES, Lineup, Served, grade_of
from server.scoring.messages import Batch, CompanyRows, Fault, Refused, Score, Scores
from server.scoring.policy import Policy
from server.scoring.refusal import ScoringRefused
from server.scoring.rows import Window
from server.scoring.trials import Trials, takes
from server.scoring.why import reasons_for

CHAMPION, CHALLENGER = "champion", "challenger"
MOST_AHEAD_HOURS = 0.1  # clocks differ
log = logging.getLogger(__name__)


@dataclass
class _Read:
    """One company's window, and which arm answers for it."""

    asked: CompanyRows
    window: Window
    age: float | None
    arm: str


class Service:
    """Scores by the line-up of `champion`, and what each answer teaches about the model that gave it."""

    def __init__(
        self,
        champion: Champion,
        policy: Policy,
        trials: Trials,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.champion, self.policy, self.trials, self._clock = champion, policy, trials, clock
        self._gates: dict[str, HealthGate] = {}

    def lineup(self) -> Lineup:
        """The models in force. Raises ScoringRefused where there are none."""
        found = self.champion.lineup
        if found is None:
            hint = "fedcredit model promote makes a champion"
            raise ScoringRefused("no-champion", "service", found="no champion", expected="a promoted model", hint=hint)
        return found

    def one(self, asked: CompanyRows) -> Score:
        """The score of one company. Raises ScoringRefused."""
        lineup = self.lineup()
        read = self._read(asked, lineup)
        return self._scored([read], lineup)[0]

    def many(self, batch: Batch, level: int) -> Scores:
        """The scores of a batch in its order, with reasons up to the level; who is refused is named by place."""
        lineup = self.lineup()
        refused: dict[int, Fault] = {}
        good: list[_Read] = []
        for at, asked in enumerate(batch.companies):
            try:
                good.append(self._read(asked, lineup))
            except ScoringRefused as fault:
                refused[at] = Fault(**fault.at(f"companies[{at}]").as_dict())
        found = self._scored(good, lineup) if good else []
        self.explain([(read.asked, score) for read, score in zip(good, found, strict=True)], level)
        scored = iter(found)
        scores = [None if at in refused else next(scored) for at in range(len(batch.companies))]
        return Scores(scores, [Refused(at, fault) for at, fault in refused.items()])

    def explain(self, scores: Sequence[tuple[CompanyRows, Score]], level: int) -> None:
        """Give those scores their reasons whose request asks for them. Raises ScoringRefused: the model has none."""
        groups: dict[tuple[str, Literal["zh", "en"]], list[tuple[CompanyRows, Score]]] = {}
        for asked, score in scores:
            if asked.reasons is not None:
                groups.setdefault((score.model_version, asked.reasons), []).append((asked, score))
        models = {one.model_version: one for one in self.lineup().all()} if groups else {}
        for (version, language), group in groups.items():
            if version not in models:  # exchanged since
                raise ScoringRefused("busy", "reasons", found="another champion by now", expected="the same again")
            found = reasons_for(models[version], [asked.rows for asked, _ in group], level=level, language=language)
            for (_, score), reasons in zip(group, found, strict=True):
                score.reasons = reasons

    def failed(self, seconds: float) -> None:
        """An answer that broke off counts against the champion."""
        if lineup := self.champion.lineup:
            self._saw(lineup.champion, seconds, is_failed=True)

    def _read(self, asked: CompanyRows, lineup: Lineup) -> _Read:
        arm, served = CHAMPION, lineup.champion
        if lineup.challenger is not None and takes(asked.company, lineup.challenger, self.policy.challenger_share):
            arm, served = CHALLENGER, lineup.challenger
        if asked.schema_sha256 is not None and asked.schema_sha256 != lineup.champion.bundle.schema.sha256:
            hint = "GET /models says it, with the indicators that the model asks for"
            raise ScoringRefused(
                "model-schema", "schema_sha256", found="another schema", expected="the champion's", hint=hint
            )
        age = self._age(asked.known_at)
        try:
            return _Read(asked, served.reader.read(asked.rows), age, arm)
        except ScoringRefused:
            if arm == CHAMPION:
                raise
            return _Read(asked, lineup.champion.reader.read(asked.rows), age, CHAMPION)

    def _age(self, known_at: str | None) -> float | None:
        if known_at is None:
            return None
        try:
            moment = datetime.fromisoformat(known_at)
            if moment.tzinfo is None:
                raise ValueError("no offset")  # noqa: TRY301 - the same as any other text that is no moment
            hours = (self._clock() - moment).total_seconds() / 3600
        except (ValueError, OverflowError):
            hint = "2025-12-31T08:00:00+08:00"
            raise ScoringRefused(
                "field", "known_at", found="no moment", expected="ISO 8601 with its offset", hint=hint
            ) from None
        if hours < -MOST_AHEAD_HOURS:
            raise ScoringRefused("field", "known_at", found="a moment to come", expected="a moment that has been")
        if hours > self.policy.fresh_hours and self.policy.stale == "refuse":
            expected = f"at most {self.policy.fresh_hours:g} h"
            hint = "fetch the indicators again"
            raise ScoringRefused(
                "stale", "known_at", found=f"indicators {hours:.0f} h old", expected=expected, hint=hint
            )
        return max(hours, 0.0)

    def _scored(self, reads: Sequence[_Read], lineup: Lineup) -> list[Score]:
        served = self._arms(reads, lineup)
        p = np.full(len(reads), np.nan)
        for arm, model in served.items():
            at = [k for k, read in enumerate(reads) if read.arm == arm]
            p[at] = self._watched(model, [reads[k].window for k in at])
        for k in np.flatnonzero(~np.isfinite(p)).tolist():
            p[k], reads[k].arm = self._rescued(reads[k], served, lineup)
        grades = grade_of(p).tolist()
        answered = self._answering(served, lineup)
        for read, grade in zip(reads, grades, strict=True):
            self._tried(read, grade, lineup)
        return [
            Score(
                company=read.asked.company,
                period=read.window.period,
                pd=float(one),
                grade=GRADES[grade],
                model_version=answered[read.arm].model_version,
                coverage=read.window.coverage,
                missing=list(read.window.missing),
                age_hours=None if read.age is None else round(read.age, 3),
                arm=read.arm if read.arm == CHALLENGER else CHAMPION,
            )
            for read, one, grade in zip(reads, p, grades, strict=True)
        ]

    def _arms(self, reads: Sequence[_Read], lineup: Lineup) -> dict[str, Served]:
        arms: dict[str, Served] = {CHAMPION: lineup.champion}
        if lineup.challenger is not None and any(read.arm == CHALLENGER for read in reads):
            arms[CHALLENGER] = lineup.challenger
        return arms

    def _answering(self, served: dict[str, Served], lineup: Lineup) -> dict[str, Served]:
        return served | ({"previous": lineup.previous} if lineup.previous else {})

    def _watched(self, model: Served, windows: Sequence[Window]) -> NDArray[np.float64]:
        """Scores, counted by the model's gate; NaN where it fails."""
        began = time.perf_counter()
        if not windows:
            return np.empty(0)
        try:
            p = model.scores(np.stack([window.x for window in windows]))
        except (RuntimeError, ValueError):
            p = np.full(len(windows), math.nan)
        each = (time.perf_counter() - began) / len(windows)
        self._saw(model, each, is_finite=bool(np.isfinite(p).all()))
        return p

    def _rescued(self, read: _Read, served: dict[str, Served], lineup: Lineup) -> tuple[float, str]:
        """A score by the champion for a challenger's that is no number, or by the champion before."""
        others = [(CHAMPION, lineup.champion)] if read.arm == CHALLENGER else []
        others += [("previous", lineup.previous)] if lineup.previous else []
        for arm, model in others:
            p = self._watched(model, [model.reader.read(read.asked.rows)])
            if np.isfinite(p).all():
                return float(p[0]), arm
        raise ScoringRefused("busy", "model", found="a score that is no number", expected="a probability")

    def _saw(self, model: Served, seconds: float, *, is_failed: bool = False, is_finite: bool = True) -> None:
        gate = self._gates.get(model.sha256)
        if gate is None:
            gate = self._gates[model.sha256] = HealthGate(self.policy)
        gate.saw(seconds=seconds, is_failed=is_failed, is_finite=is_finite)
        if not gate.verdict:
            return
        lineup = self.champion.lineup
        if lineup is not None and model is lineup.challenger:
            self.champion.retire(model, gate.verdict)
        elif lineup is not None and model is lineup.champion:
            self.champion.fall_back(model, gate.verdict)

    def _tried(self, read: _Read, grade: int, lineup: Lineup) -> None:
        """Leave the request to the trials, which compare without being waited for."""
        if lineup.challenger is not None and read.arm == CHALLENGER:
            self.trials.compare(lineup.challenger, lineup.champion, read.asked.rows, grade)
        elif lineup.shadow is not None and read.arm == CHAMPION:
            self.trials.compare(lineup.shadow, lineup.shadow, read.asked.rows, grade)

    def health(self, model: Served) -> str:
        """The gate's verdict on a model, empty where it is healthy."""
        gate = self._gates.get(model.sha256)
        return gate.verdict if gate else ""

    def models(self, *, with_trials: bool) -> dict[str, Any]:
        """The models in force; with what trials counted, for those who may see it."""
        lineup = self.lineup()
        told: dict[str, Any] = {"champion": _described(lineup.champion), "fault": self.champion.fault}
        for name in ("challenger", "shadow", "previous"):
            served = getattr(lineup, name)
            told[name] = _named(served) if served else None
            if served and with_trials and name != "previous":
                told[name]["trial"] = self.trials.of(served.sha256).as_dict()
        return told


def _named(served: Served) -> dict[str, Any]:
    return {
        "version": served.version,
        "model_version": served.model_version,
        "bundle_sha256": served.sha256,
        "study": served.bundle.study,
    }


def _described(served: Served) -> dict[str, Any]:
    bundle = served.bundle
    indicators = [
        {"name": one.name, "kind": one.kind, "unit": one.unit, "level": one.level, "may_be_missing": one.nullable}
        | ({"lo": one.lo, "hi": one.hi} if one.kind in ("ratio", "number") else {})
        | ({"levels": list(one.levels)} if one.kind == "category" else {})
        for one in bundle.schema.columns
    ]
    return _named(served) | {
        "periods": bundle.time,
        "has_periods": bundle.schema.period is not None,
        "indicators": indicators,
        "schema_sha256": bundle.schema.sha256,
        "scale": bundle.scale,
        "epsilon": bundle.epsilon,
        "delta": bundle.delta,
    }
