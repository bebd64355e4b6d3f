"""A masked private round becomes a multiple of the same round in the open.

python -m experiments.benchmarks.secure_round
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from clients.app import app
from experiments.benchmarks.masking import figures
from experiments.rows import rows_of, table_of
from experiments.training import task_of
from experiments.units import Unit
from experiments.workplace import Workplace
from fedcredit.config import load
from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.grid import InProcessGrid
from fedcredit.models.build import build
from server.app import Order, conduct

EPSILON, SAMPLE_RATE, EPOCHS = 3.0, 0.1, 5
STUDY = (
    "partition=hash",
    "partition.n=10",
    "privacy=eps3",
    f"recipe.sample_rate={SAMPLE_RATE}",
    f"+recipes.federated_private.steps={round(EPOCHS / SAMPLE_RATE)}",
)
KINDS = {"plain": "open", "secure": "masked"}


def measure(*, repeats: int = 7, rounds: int = 4) -> dict[str, Any]:
    """Ten institutions with some 245 american companies each, an LSTM, five private local epochs; in turns."""
    torch.set_num_threads(1)
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as name:
        for repeat in range(repeats):
            for kind, mode in KINDS.items():
                took[kind] += seconds(Path(name) / f"{kind}-{repeat}", mode=mode, rounds=rounds)
        size = parameters()
    return {
        "secure_over_plain_round": round(median(took["secure"]) / median(took["plain"]), 3),
        "round_seconds": {kind: round(median(times), 4) for kind, times in took.items()},
        "protocol_client_cpu_ms": round(_protocol_cpu_ms(size), 2),
        "institutions": 10,
        "parameters": size,
    }


def seconds(folder: Path, *, mode: str, rounds: int) -> list[float]:
    """Seconds of each round after the first, whose set-up is stated apart (see `masking`)."""
    settings = load("american_bankruptcy", [*STUDY, f"federation.trust_mode={mode}"])
    table = table_of(settings.data)
    rows = rows_of(settings, table)
    place = Workplace.build(folder / "work", rows, label_definition=table.schema.label.definition)
    members = place.institutions
    unit = Unit("federated", "federated", "", "", EPSILON, 0)
    task = task_of(unit, settings, rows, members=members)
    task = replace(task, privacy=replace(task.privacy, rounds=rounds) if task.privacy else None)
    recipe = settings.recipe_for("federated", is_private=True)
    order = Order(task, RoundPlan(rounds=rounds, quorum=len(members)), recipe.strategy, roster=place.roster)
    nodes = [place.node_config(name, state=folder / "state") for name in members]
    done = conduct(InProcessGrid(app, nodes), order)
    return [record.seconds for record in done.state.history[1:]]


def parameters() -> int:
    """How many numbers the study's model has."""
    settings = load("american_bankruptcy", STUDY)
    rows = rows_of(settings, table_of(settings.data))
    model = build(settings.model, features=rows.features, time=rows.x.shape[1], seed=0)
    return sum(parameter.numel() for parameter in model.parameters())


def _protocol_cpu_ms(size: int) -> float:
    found = figures(institutions=10, size=size, dropouts=0, repeats=9)
    return float(found["secagg_42"]["client_cpu_ms"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.secure_round", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    asked = parser.parse_args(arguments)
    sys.stdout.write(json.dumps(measure(repeats=asked.repeats), indent=1) + "\n")


if __name__ == "__main__":
    main()
