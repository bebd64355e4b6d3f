"""A finished study becomes MLflow runs (one for it, one for each institution) and its candidate a model version."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from experiments.charged import name_of
from experiments.folder import RunFolder
from experiments.units import Unit
from fedcredit.data.features import inputs_of
from fedcredit.data.schema import Table
from fedcredit.evaluation.calibration import Prevalence
from fedcredit.evaluation.report import Report
from fedcredit.models.bundle import Bundle, PriorShift, write
from fedcredit.registry import Registry, Version
from fedcredit.settings import StudySettings

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
            roster=tuple(sorted({name for record in found["history"] for name in record["institutions"]})),
            calibration=_calibration(unit, prevalence),
            epsilon=max(found["epsilon"].values(), default=None),
            delta=found["delta"],
            ledger=_ledger(settings, folder) if found["epsilon"] else None,
        ),
    )


def _ledger(settings: StudySettings, folder: RunFolder) -> str:
    """Where the spend is recorded, by a name that says nothing of this machine."""
    if settings.data.name != "table":
        return f"run folder {folder.path.name}"
    return f"ledger of the institution, study {name_of(folder, study=settings.study)}"


def _calibration(unit: Unit, prevalence: Prevalence) -> tuple[PriorShift, ...]:
    """The shift to the target rate; none under privacy, where an exact default rate would be a release of its own."""
    rates = prevalence.train["all"], prevalence.target["all"]
    return (PriorShift(*rates),) if unit.epsilon is None and all(0 < rate < 1 for rate in rates) else ()


def track(
    settings: StudySettings,
    table: Table,
    facts: Facts,
    report: Report,
    *,
    folder: RunFolder,
    unit: Unit | None,
    origin: Mapping[str, Any],
) -> Version | None:
    """Log the study and register its candidate, once."""
    if settings.tracking.uri:
        os.environ["MLFLOW_TRACKING_URI"] = settings.tracking.uri
    registry = Registry(Path(settings.runs))
    parent = registry.start_study(
        settings.study,
        config_sha256=origin["config_sha256"],
        schema_sha256=table.schema.sha256,
        git_sha=origin["git_sha"],
    )
    headline = {
        re.sub(
            r"[^\w .-]", "_", f"auc {row['name']} {row['method']} {row['split']} eps {row['epsilon'] or 'none'}"
        ): row["point"]
        for row in report.data["comparisons"]
        if row["headline"] and row["point"] is not None
    }
    spent = {f"epsilon {name}": value for name, value in (facts[unit]["epsilon"] if unit else {}).items()}
    registry.log_rounds(parent, {0: {**headline, **{re.sub(r"[^\w .-]", "_", k): v for k, v in spent.items()}}})
    for key, value in _flat(asdict(settings)).items():
        registry.client.log_param(parent, key, str(value)[:500])
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


def _flat(settings: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Settings by dotted name; lists and what differs by arm stay whole."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and key not in ("recipes", "kinds", "strategy"):
            found |= _flat(value, prefix=f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found
