"""A synthetic economy of regions becomes mapping tables, and how well regions agree on companies that both rate.

$ python -m experiments.cross_region.run --json
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clients.app import app as client_app
from experiments.cross_region.judge import judge
from experiments.machine import commit, machine
from experiments.workplace import Workplace
from fedcredit.data.economy import EconomySettings, generate
from fedcredit.data.features import make_windows
from fedcredit.data.schema import Table
from fedcredit.data.windows import Windows
from fedcredit.evaluation.metrics import auc
from fedcredit.federation import personal
from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import Task
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings, evaluate
from server.app import Order, conduct

FEDAVG = {"_target_": "flwr.serverapp.strategy.FedAvg"}
MODEL = ModelSettings("nine_factor")
LOCAL = LocalSettings("adam", lr=0.01, batch_size=128)
SEARCHED, JUDGED = 11, 1  # economies: the first for every choice, the second for the page


@dataclass(frozen=True)
class World:
    """The economy, and how often its regions meet; everything here was chosen on the economy SEARCHED."""

    seed: int = JUDGED
    companies: int = 60_000
    regions: int = 6
    months: int = 12
    rounds: int = 8


def run(world: World, *, is_own: bool = True) -> dict[str, Any]:
    """Train with all regions, without each, and alone; map the scales on validation rows; judge on test rows."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    rows = rows_of(world)
    everybody = trained(rows, world)
    shared = judge(rows, dict.fromkeys(rows.institutions, everybody))
    found = asdict(shared) | {"unseen": unseen(rows, everybody, world)}
    if is_own:
        alone = {region: trained(rows.of(region), world, rows=rows) for region in rows.institutions}
        found["own_models"] = asdict(judge(rows, alone))
    return found | {"seconds": round(time.perf_counter() - began, 1), "world": asdict(world)}


def rows_of(world: World) -> Windows:
    """The economy with each region as an institution."""
    settings = EconomySettings(
        seed=world.seed, companies=world.companies, months=world.months, regions=world.regions, institutions=1
    )
    table = generate(settings)
    return make_windows(Table(table.frame, replace(table.schema, institution="region")), length=world.months)


def trained(part: Windows, world: World, *, rows: Windows | None = None) -> NDArray[np.float64]:
    """PDs of all rows by a model that the part's regions trained together."""
    with tempfile.TemporaryDirectory() as name:
        place = Workplace.build(Path(name), part, label_definition="default in 12 months")
        members = place.institutions
        task = Task(
            run="cross-region",
            model=MODEL.resolved(part.features),
            features=part.features,
            time=part.x.shape[1],
            seed=world.seed,
            local=LOCAL,
            metrics="none",
            study="cross_region",
        )
        plan = RoundPlan(rounds=world.rounds, quorum=len(members))
        nodes = [place.node_config(one, state=Path(name) / "state") for one in members]
        conducted = conduct(InProcessGrid(client_app, nodes), Order(task, plan, FEDAVG))
    model = build(task.model, features=part.features, time=task.time, seed=0)
    personal.load_shared(model, conducted.state.arrays, share="all")
    return evaluate(model, torch.from_numpy((part if rows is None else rows).x))


def unseen(rows: Windows, everybody: NDArray[np.float64], world: World) -> dict[str, float]:
    """AUC that each region loses on its test rows where it has not taken part."""
    lost = {}
    for region in rows.institutions:
        without = trained(rows.take(rows.institution != region), world, rows=rows)
        at = (rows.institution == region) & (rows.split == "test")
        lost[region] = float(auc(rows.y[at], everybody[at]) - auc(rows.y[at], without[at]))
    return lost


def figures() -> dict[str, Any]:
    """What the benchmark of decisions prints."""
    found = run(World())
    return {
        "region_within_one_notch": found["within_one_notch"],
        "region_cells_pass": found["cells_pass"],
        "region_ece": found["ece"],
        "region_unseen_auc_loss": max(found["unseen"].values()),
        "region_within_one_notch_own_models": found["own_models"]["within_one_notch"],
        "region_within_one_notch_from_afar": found["within_one_notch_from_afar"],
        "region_within_one_notch_by_rank": found["within_one_notch_by_rank"],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print one object."""
    parser = argparse.ArgumentParser(prog="python -m experiments.cross_region.run", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--seed", type=int, default=JUDGED, help=f"of the economy; choices were made on {SEARCHED}")
    parser.add_argument("--companies", type=int, default=World.companies)
    parser.add_argument("--rounds", type=int, default=World.rounds)
    asked = parser.parse_args(arguments)
    found = run(World(seed=asked.seed, companies=asked.companies, rounds=asked.rounds))
    about = {"repeats": 1, "torch_threads": 1, "machine": machine(), "commit": commit()}
    sys.stdout.write(json.dumps(found | about, indent=None if asked.json else 1) + "\n")


if __name__ == "__main__":
    main()
