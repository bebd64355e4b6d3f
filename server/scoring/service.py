"""A company's rows become its score by the model in force, watched by the health gate, with trials beside it."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from server.scoring.age import age_hours
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
            raise ScoringRefused(
                "service", code="no-champion", found="no champion", expected="a promoted model", hint=hint
            )
        return found

    def one(self, asked: CompanyRows) -> Score:
        """The score of one company. Raises ScoringRefused."""
        lineup = self.lineup()
        try:
            return self._scored([self._read(asked, lineup)], lineup)[0]
        except ScoringRefused:
            raise
        except Exception:
            self._saw(lineup.champion, 0.0, is_failed=True)
            raise

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
                raise ScoringRefused("reasons", code="busy", found="another champion by now", expected="the same again")
            found = reasons_for(models[version], [asked.rows for asked, _ in group], level=level, language=language)
            for (_, score), reasons in zip(group, found, strict=True):
                score.reasons = reasons

    def _read(self, asked: CompanyRows, lineup: Lineup) -> _Read:
        arm, served = CHAMPION, lineup.champion
        if lineup.challenger is not None and takes(asked.company, lineup.challenger, self.policy.challenger_share):
            arm, served = CHALLENGER, lineup.challenger
        if asked.schema_sha256 is not None and asked.schema_sha256 != lineup.champion.bundle.schema.sha256:
            hint = "GET /models says it, with the indicators that the model asks for"
            raise ScoringRefused(
                "schema_sha256", code="model-schema", found="another schema", expected="the champion's", hint=hint
            )
        age = age_hours(asked.known_at, now=self._clock(), policy=self.policy)
        try:
            return _Read(asked, served.reader.read(asked.rows), age, arm)
        except ScoringRefused:
            if arm == CHAMPION:
                raise
            return _Read(asked, lineup.champion.reader.read(asked.rows), age, CHAMPION)

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
        began = time.thread_time()  # of computing: a busy machine is no fault of the model
        if not windows:
            return np.empty(0)
        try:
            p = model.scores(np.stack([window.x for window in windows]))
        except (RuntimeError, ValueError):
            p = np.full(len(windows), math.nan)
        each = (time.thread_time() - began) / len(windows)
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
        raise ScoringRefused("model", code="busy", found="a score that is no number", expected="a probability")

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
