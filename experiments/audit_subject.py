"""A finished run's folder into what is audited: one institution's private training, and what the run said of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from clients.reserve import reserved_rounds
from experiments.folder import read_settings
from experiments.rows import rows_of, table_of
from experiments.training import task_of
from experiments.units import Unit, units_of
from fedcredit.data.windows import Windows
from fedcredit.errors import PolicyRefused, RunError
from fedcredit.federation.messages import Task
from fedcredit.models.build import build
from fedcredit.privacy.accounting import Step, solve_noise
from fedcredit.privacy.auditing.canaries import Rows
from fedcredit.privacy.auditing.engine import Plan
from fedcredit.settings import StudySettings


@dataclass(frozen=True)
class Subject:
    """What is audited: one institution's private training in one unit of a run, and what the run said it spent."""

    unit: Unit
    institution: str
    task: Task
    plan: Plan
    train: Rows
    odd: Rows
    claimed: float
    delta: float
    history: tuple[Step, ...]

    @property
    def companies(self) -> int:
        """How many companies it trains on."""
        return len(np.unique(self.train.company))

    def model(self) -> nn.Module:
        """The model that the run started from."""
        return build(self.task.model, features=self.task.features, time=self.task.time, seed=self.task.seed)


def read_subject(folder: Path, *, institution: str | None = None) -> Subject:
    """The run's first federated private unit at the institution named, or at the smallest, whose companies show most.

    Raises:
        PolicyRefused: the run is on your own table: an audit trains on it again, which no budget has been asked for.
        RunError: the run is not finished, or nothing in it is federated and private; no such institution.
    """
    settings = read_settings(folder)
    if settings.data.name == "table":
        raise PolicyRefused(
            "study audit",
            found="a run on your own table",
            expected="public or synthetic data",
            hint="an audit trains on the rows again and prints exact figures, which would have to be charged: "
            "audit the same recipe on data=economy",
        )
    rows = rows_of(settings, table_of(settings.data))
    units = units_of(settings, rows.institutions, has_incumbent="incumbent" in rows.about)
    private = [unit for unit in units if unit.arm == "federated" and unit.epsilon is not None]
    if not private:
        hint = "fedcredit study run quickstart is private at epsilon 3"
        raise RunError(str(folder), found="no federated private arm", expected="one", hint=hint)
    facts = _facts(folder, private[0])
    if institution is not None and institution not in facts["epsilon"]:
        raise RunError(f"institution {institution!r}", found="none", expected=f"one of {', '.join(facts['epsilon'])}")
    sizes = {name: len(np.unique(rows.of(name).part("train").company)) for name in facts["epsilon"]}
    return _subject(settings, rows, private[0], facts, name=institution or min(sizes, key=lambda name: sizes[name]))


def _subject(settings: StudySettings, rows: Windows, unit: Unit, facts: dict[str, Any], *, name: str) -> Subject:
    task = task_of(unit, settings, rows, members=list(facts["epsilon"]))
    terms = task.privacy
    if terms is None:
        raise RunError(unit.name, found="a unit without privacy terms", expected="a private one")
    steps = terms.steps * (terms.rounds + reserved_rounds(terms.rounds))
    noise = solve_noise(terms.epsilon, delta=terms.delta, sample_rate=terms.sample_rate, steps=steps)
    rounds = sum(name in record["institutions"] for record in facts["history"])
    own = rows.of(name)
    return Subject(
        unit=unit,
        institution=name,
        task=task,
        plan=Plan(task.local, noise, terms.clip, terms.sample_rate, terms.steps, rounds),
        train=_rows(own.part("train")),
        odd=_rows(_one_a_company(own.part("validation"), but=own.part("train").company)),
        claimed=float(facts["epsilon"][name]),
        delta=terms.delta,
        history=tuple(Step(noise, terms.sample_rate, terms.steps) for _ in range(rounds)),
    )


def _facts(folder: Path, unit: Unit) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((folder / "units" / f"{unit.name}.json").read_text())
    except (OSError, ValueError):
        hint = f"fedcredit study resume {folder} finishes it"
        raise RunError(str(folder), found=f"no {unit}", expected="a finished run", hint=hint) from None
    return facts


def _rows(windows: Windows) -> Rows:
    return Rows(torch.from_numpy(windows.x), torch.from_numpy(windows.y), windows.company)


def _one_a_company(windows: Windows, *, but: NDArray[np.str_]) -> Windows:
    _, first = np.unique(windows.company, return_index=True)
    return windows.take(
        np.array([row for row in first if windows.company[row] not in set(but.tolist())], dtype=np.intp)
    )
