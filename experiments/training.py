"""A unit becomes predictions: every arm is a federation, a bank alone being a federation of one."""

from __future__ import annotations

import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from clients.app import app as client_app
from clients.institution import NODES_FILE, run_folder
from experiments import counts
from experiments.alone import Predict, best_alone
from experiments.deployed import conduct_deployed, deployed_members
from experiments.trust import masking_of
from experiments.units import Unit, metrics_under_privacy, noise_of
from experiments.workplace import POOLED, NodeConfig, Workplace
from fedcredit.data.windows import Windows
from fedcredit.errors import ConfigError
from fedcredit.evaluation.panel import ABOUT
from fedcredit.federation import personal
from fedcredit.federation.checkpoint import Arrays, RoundRecord
from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import PrivacyTerms, Task
from fedcredit.models.build import build
from fedcredit.models.train import evaluate
from fedcredit.privacy.accounting import delta_for
from fedcredit.settings import Recipe, StudySettings
from server.app import Conducted, Order, conduct


@dataclass(frozen=True)
class Trained:
    """What a unit leaves behind: predictions, the rounds, the spend, and the shared arrays where there are any."""

    predictions: pd.DataFrame
    history: list[RoundRecord]
    epsilon: dict[str, float]
    delta: float | None
    seconds: float
    note: str = ""
    arrays: Arrays | None = None


OnRound = Callable[[RoundRecord], None]


def train(unit: Unit, settings: StudySettings, place: Workplace, *, folder: Path, on_round: OnRound) -> Trained:
    """Train and score one unit; `folder` holds its checkpoints and the institutions' state."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    if unit.arm == "best_alone":
        rows = place.rows()
        recipe = settings.recipe_for("local", is_private=False)
        own = functools.partial(_fit_alone, unit=unit, settings=settings, recipe=recipe)
        p, note = best_alone(rows.of(unit.institution).part("train"), rows, own_model=own, seed=unit.seed)
        winner = note.partition(" (")[0]
        predictions = _predictions(unit, rows, p, settings, model=winner)
        return Trained(predictions, [], {}, None, time.perf_counter() - started, note)
    if unit.arm == "incumbent":
        own_rows = place.rows().of(unit.institution)
        scores = own_rows.about["incumbent"].to_numpy(np.float64)
        return Trained(_predictions(unit, own_rows, scores, settings, model="incumbent"), [], {}, None, 0.0)
    recipe = settings.recipe_for(unit.arm, is_private=unit.epsilon is not None, method=unit.method)
    deployed = settings.federation.engine == "superlink"
    members = deployed_members(settings) if deployed else _members(unit, place)
    order = _order(unit, settings, recipe, place, members=members, folder=folder)
    nodes = [] if deployed else [place.node_config(name, state=folder / "state") for name in members]
    if settings.federation.engine == "superlink":
        conducted = conduct_deployed(order, settings, unit=unit.name, run=folder.parent.parent.name, on_round=on_round)
    else:
        conducted = _conduct(order, nodes, settings, folder=folder, on_round=on_round)
    counts.keep(folder, conducted.evaluations)
    predictions = _score(unit, recipe, settings, place, order.task, conducted, nodes=nodes)
    return Trained(
        predictions,
        conducted.state.history,
        conducted.epsilon,
        order.task.privacy.delta if order.task.privacy else None,
        time.perf_counter() - started,
        note=f"no word of what was spent from {', '.join(conducted.silent)}: the plan's" if conducted.silent else "",
        arrays=conducted.state.arrays if recipe.share == "all" else None,
    )


def task_of(unit: Unit, settings: StudySettings, rows: Windows, *, members: list[str]) -> Task:
    """What the unit asks of each of its institutions."""
    recipe = settings.recipe_for(unit.arm, is_private=unit.epsilon is not None, method=unit.method)
    privacy, masking = None, None
    if unit.epsilon is not None:
        companies = [_companies(rows, name) for name in members]
        if settings.privacy.delta is None and not max(companies):
            hint = "privacy.delta=1e-5 is right up to 10,000 companies at the largest of them; else 1 / (10 n) for n"
            found = f"null, and no rows of {', '.join(members)} on this machine"
            raise ConfigError("privacy.delta", found=found, expected="one", hint=hint)
        delta = settings.privacy.delta if settings.privacy.delta is not None else delta_for(max(companies))
        is_shared = unit.arm == "federated"  # an institution alone has nobody to share a noise with
        privacy = PrivacyTerms(
            unit.epsilon,
            delta,
            recipe.clip,
            recipe.sample_rate,
            recipe.steps,
            recipe.rounds,
            noise=recipe.noise if is_shared else "local",
            dropouts=recipe.dropouts if is_shared else 0,
            engine=settings.privacy.dp_engine,
            unit=settings.privacy.unit if is_shared else "company",
        )
    if unit.arm == "federated":
        is_noise_shared = privacy is not None and privacy.noise == "distributed"
        masking = masking_of(settings, recipe, members=members, seed=unit.seed, is_noise_shared=is_noise_shared)
    terms = counts.count_terms(unit, settings, delta=privacy.delta if privacy is not None else None)
    metrics = "exact" if privacy is None else metrics_under_privacy(settings)
    if terms is not None:
        metrics = "noised" if terms.is_noised else "exact"
    return Task(
        run=unit.name,
        model=(recipe.model or settings.model).resolved(rows.features),
        features=rows.features,
        time=rows.x.shape[1],
        seed=unit.seed,
        local=recipe.local,
        share=recipe.share,
        privacy=privacy,
        personal=recipe.personal,
        personal_mu=recipe.personal_mu,
        metrics=metrics,
        masking=masking,
        study=settings.study,
        counts=terms,
    )


def _fit_alone(train: Windows, *, unit: Unit, settings: StudySettings, recipe: Recipe) -> Predict:
    """The study's own model trained on some of one institution's rows: a federation of one, in a folder that goes."""
    with tempfile.TemporaryDirectory() as name:
        place = Workplace.build(Path(name), train, label_definition="own")
        order = _order(unit, settings, recipe, place, members=place.institutions, folder=Path(name))
        nodes = [place.node_config(n, state=Path(name)) for n in place.institutions]
        conducted = conduct(InProcessGrid(client_app, nodes), replace(order, checkpoints=None))
        model = _model(order.task, conducted.state.arrays)
    return lambda rows: _probabilities(model, rows)


def _members(unit: Unit, place: Workplace) -> list[str]:
    if unit.arm == "pooled":
        return [POOLED]
    return [unit.institution] if unit.institution else [n for n in place.institutions if n != unit.left_out]


def _companies(rows: Windows, name: str) -> int:
    mine = (rows.split == "train") & ((rows.institution == name) | (name == POOLED))
    return len(np.unique(rows.company[mine]))


def _order(
    unit: Unit, settings: StudySettings, recipe: Recipe, place: Workplace, *, members: list[str], folder: Path
) -> Order:
    held = settings.federation
    quorum = len(members) // 2 + 1 if held.quorum is None or unit.arm != "federated" else held.quorum
    there = len(members) if held.engine == "superlink" else len(place.institutions)
    if held.quorum is not None and held.quorum > there:
        raise ConfigError("federation.quorum", found=f"{held.quorum}", expected=f"at most the {there} institutions")
    plan = RoundPlan(
        rounds=recipe.rounds,
        quorum=min(quorum, len(members)),
        deadline_seconds=held.deadline_seconds,
        wait_seconds=held.wait_seconds,
        poll_seconds=held.poll_seconds,
        select=recipe.select,
        patience=recipe.patience,
    )
    task = task_of(unit, settings, place.rows(), members=members)
    questions = counts.questions_of(unit, settings)
    return Order(task, plan, recipe.strategy, folder / "checkpoint", place.roster, questions=questions)


def _conduct(
    order: Order, nodes: list[NodeConfig], settings: StudySettings, *, folder: Path, on_round: OnRound
) -> Conducted:
    if settings.federation.engine == "inprocess":
        return conduct(InProcessGrid(client_app, nodes), order, on_round=on_round)
    from server.simulation import conduct_on_ray

    path = folder / "nodes.json"
    path.write_text(json.dumps(nodes, ensure_ascii=False))
    os.environ[NODES_FILE] = str(path)  # Ray's workers inherit it
    return conduct_on_ray(order, client_app, nodes=len(nodes), on_round=on_round)


def _score(
    unit: Unit,
    recipe: Recipe,
    settings: StudySettings,
    place: Workplace,
    task: Task,
    conducted: Conducted,
    *,
    nodes: list[NodeConfig],
) -> pd.DataFrame:
    """Predictions of the shared model on every row, and of each personal model on its institution's own rows."""
    rows = place.rows()
    found = []
    if recipe.share == "all":
        model = _model(task, conducted.state.arrays)
        found.append(
            _predictions(
                unit,
                rows,
                _probabilities(model, rows),
                settings,
                model=task.model.kind,
                method=recipe.method if unit.arm == "federated" else None,
            )
        )
    is_personal = unit.arm == "federated" and not unit.left_out and (recipe.share == "body" or recipe.personal)
    for node in nodes if is_personal else []:
        own = rows.of(str(node["institution"]))
        kept = run_folder(Path(str(node["state"])), task.run)
        model = _personal_model(task, recipe, conducted.state.arrays, state=kept)
        method = "fine_tuned" if recipe.personal else "local_head"
        found.append(
            _predictions(
                unit,
                own,
                _probabilities(model, own),
                settings,
                model=task.model.kind,
                method=method,
                owner=str(node["institution"]),
            )
        )
    return pd.concat(found, ignore_index=True)


def _model(task: Task, arrays: Arrays) -> nn.Module:
    model = build(task.model, features=task.features, time=task.time, seed=task.seed)
    personal.load_shared(model, arrays, share=task.share)
    return model


def _personal_model(task: Task, recipe: Recipe, arrays: Arrays, *, state: Path) -> nn.Module:
    model = _model(task, arrays)
    if recipe.personal:
        personal.load_model(state, model)
    else:
        personal.load_head(state, model, share="body", before=recipe.rounds + 1)
    return model


def _probabilities(model: nn.Module, rows: Windows) -> NDArray[np.float64]:
    return evaluate(model, torch.from_numpy(rows.x))


def _predictions(
    unit: Unit,
    rows: Windows,
    p: NDArray[np.float64],
    settings: StudySettings,
    *,
    model: str,
    method: str | None = None,
    owner: str | None = None,
) -> pd.DataFrame:
    scored = np.isin(rows.split, settings.evaluation.splits)
    facts: Mapping[str, Any] = {
        "arm": unit.arm,
        "method": method or unit.method,
        "model": model,
        "model_institution": owner if owner is not None else unit.institution,
        "left_out": unit.left_out,
        "epsilon": np.nan if unit.epsilon is None else unit.epsilon,
        "noise": noise_of(unit, settings),
        "seed": unit.seed,
    }
    frame = {
        "split": rows.split[scored],
        "company": rows.company[scored],
        "institution": rows.institution[scored],
        "y": rows.y[scored].astype(np.int8),
        "p": p[scored],
    }
    about = {name: rows.about[name].to_numpy()[scored] for name in ABOUT if name in rows.about}
    return pd.DataFrame({**facts, **frame, **about})


def as_json(trained: Trained) -> dict[str, Any]:
    """What is kept of a unit beside its predictions."""
    return {
        "history": [asdict(record) for record in trained.history],
        "epsilon": trained.epsilon,
        "delta": trained.delta,
        "seconds": trained.seconds,
        "note": trained.note,
    }
