"""A finished study becomes MLflow runs (one for it, one for each institution) and its candidate a model version."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from experiments.folder import RunFolder
from experiments.units import Unit
from fedcredit.config import StudySettings
from fedcredit.data.features import inputs_of
from fedcredit.data.schema import Table
from fedcredit.evaluation.calibration import Prevalence
from fedcredit.models.bundle import Bundle, PriorShift, write
from fedcredit.registry import Registry, Version

Facts = Mapping[Unit, Mapping[str, Any]]


def candidate(units: Sequence[Unit]) -> Unit | None:
    """The model a study offers: federated by its first method, the strictest epsilon, the first seed; none is chosen
    by its result.
    """
    shared = [unit for unit in units if unit.arm == "federated" and not unit.left_out]
    return min(shared, key=lambda unit: unit.epsilon or float("inf")) if shared else None


def write_bundle(
    unit: Unit,
    settings: StudySettings,
    table: Table,
    facts: Facts,
    *,
    folder: RunFolder,
    origin: Mapping[str, Any],
    prevalence: Prevalence,
) -> Bundle | None:
    """The candidate's bundle in the run's model/ folder; none where heads stay at home and no whole model exists."""
    weights = folder.path / "units" / f"{unit.name}.safetensors"
    if not weights.exists():
        return None
    time = settings.data.length
    inputs = inputs_of(table.schema) + (("present",) if time > 1 else ())
    found = facts[unit]
    recipe = settings.recipe_for(unit.arm, is_private=unit.epsilon is not None, method=unit.method)
    shutil.rmtree(folder.path / "model", ignore_errors=True)  # of this run, before it was resumed
    return write(
        folder.path / "model",
        Bundle(
            study=settings.study,
            settings=recipe.model or settings.model,
            time=time,
            inputs=inputs,
            schema=replace(table.schema, split=None),
            weights=load_file(weights),
            config_sha256=origin["config_sha256"],
            git_sha=origin["git_sha"],
            roster=tuple(found["history"][-1]["institutions"]),
            calibration=PriorShift(prevalence.train["all"], prevalence.target["all"]),
            epsilon=max(found["epsilon"].values(), default=None),
            delta=found["delta"],
            ledger=f"run folder {folder.path.name}" if found["epsilon"] else None,
        ),
    )


def track(
    settings: StudySettings,
    table: Table,
    facts: Facts,
    *,
    folder: RunFolder,
    unit: Unit | None,
    origin: Mapping[str, Any],
) -> Version | None:
    """Log the study and register its candidate, once."""
    registry = Registry(Path(settings.runs))
    parent = registry.start_study(
        settings.study,
        config_sha256=origin["config_sha256"],
        schema_sha256=table.schema.sha256,
        git_sha=origin["git_sha"],
    )
    if unit is not None:
        history = facts[unit]["history"]
        registry.log_rounds(parent, {r["round"]: _known(r) for r in history})
        for name in sorted({name for r in history for name in r["per_institution"]}):
            child = registry.start_institution(name, parent=parent)
            registry.log_rounds(
                child, {r["round"]: r["per_institution"][name] for r in history if name in r["per_institution"]}
            )
    for name in ("report.json", "report.html", "report.md"):
        registry.client.log_artifact(parent, str(folder.path / name))
    version = None
    if settings.tracking.register and (folder.path / "model").exists():
        version = registry.register(folder.path / "model", run=parent)
    registry.finish(parent)
    return version


def _known(record: Mapping[str, Any]) -> dict[str, float]:
    return {key: record[key] for key in ("seconds", "loss", "validation_auc") if record[key] is not None}
