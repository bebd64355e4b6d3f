"""A study's settings become a forecast: minutes from a timed trial on random numbers, epsilon from the plan."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.units import Unit, study_epsilon
from experiments.workplace import Workplace
from fedcredit.data.windows import Windows
from fedcredit.settings import StudySettings

TRIAL_ROUNDS = 2
BEST_ALONE_SECONDS = 8.0  # an allowance for one institution's candidates, not a measurement


@dataclass(frozen=True)
class Estimate:
    """Minutes on this machine, and epsilon as one run of one seed and as the whole study would spend it."""

    units: int
    minutes: float
    epsilon_run: float | None
    epsilon_study: float | None
    sentence: str

    def __str__(self) -> str:
        run = (
            "none"
            if self.epsilon_run is None
            else f"{self.epsilon_run:g} a run, {self.epsilon_study:g} the whole study"
        )
        return f"{self.units} models, about {self.minutes:g} minutes; epsilon: {run}\n{self.sentence}"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def estimate(settings: StudySettings, windows: Windows, units: Sequence[Unit]) -> Estimate:
    """Time each kind of unit for a few rounds on noise of the same shape; the rows themselves are not trained on."""
    from experiments.training import train

    rng = np.random.default_rng(0)
    stand_in = replace(windows, x=rng.normal(size=windows.x.shape).astype(np.float32))
    seconds = 0.0
    kinds: dict[tuple[str, str, bool], float] = {}
    with tempfile.TemporaryDirectory() as name:
        place = Workplace.build(Path(name) / "work", stand_in, label_definition="stand-in")
        for unit in units:
            kind = (unit.arm, unit.method, unit.epsilon is not None)
            if unit.arm in ("best_alone", "incumbent"):
                seconds += BEST_ALONE_SECONDS if unit.arm == "best_alone" else 0.0
                continue
            if kind not in kinds:
                folder = Path(name) / unit.name
                folder.mkdir()
                short = {key: {**value, "rounds": TRIAL_ROUNDS} for key, value in settings.recipes.items()}
                trial = replace(settings, recipe=replace(settings.recipe, rounds=TRIAL_ROUNDS), recipes=short)
                # Never at a consortium: what is only tried is charged to nobody there.
                trial = replace(trial, federation=replace(settings.federation, engine="inprocess"))
                done = train(unit, trial, place, folder=folder, on_round=lambda record: None)
                kinds[kind] = sum(record.seconds for record in done.history[1:]) / (TRIAL_ROUNDS - 1)
            recipe = settings.recipe_for(unit.arm, is_private=unit.epsilon is not None, method=unit.method)
            seconds += kinds[kind] * recipe.rounds
    private = [e for e in settings.privacy.epsilons if e is not None]
    trained = study_epsilon({unit: unit.epsilon for unit in units if unit.epsilon}, windows.institutions)
    is_charged = settings.data.name == "table"
    is_deployed = settings.federation.engine == "superlink"
    sentence = (
        "every institution charges its own ledger, at most this much; the time is that of this machine, without the way"
        if is_deployed
        else "your own table: charged to the ledger of this machine, at most this much; see fedcredit node ledger"
        if is_charged
        else "public or synthetic data: tuning and repeated runs are not charged, what they would have spent is shown"
    )
    workers = min(settings.workers, len(units))
    return Estimate(
        len(units), round(seconds / workers / 60 + 0.5, 1), max(private, default=None), trained or None, sentence
    )
