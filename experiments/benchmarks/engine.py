"""The parity job of default_credit becomes seconds per round: a plain loop, our engine in one process, Flower on Ray.

python -m experiments.benchmarks.engine --json
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from clients.app import app as client_app
from clients.institution import NODES_FILE
from experiments.rows import rows_of, table_of
from experiments.study import origin
from experiments.training import task_of
from experiments.units import Unit
from experiments.workplace import Workplace
from fedcredit.config import load
from fedcredit.data.windows import Windows
from fedcredit.errors import FedCreditError
from fedcredit.evaluation.metrics import auc
from fedcredit.federation import personal
from fedcredit.federation.checkpoint import Arrays, RoundRecord
from fedcredit.federation.cohort import gather
from fedcredit.federation.engine import RoundPlan, run_rounds
from fedcredit.federation.grid import InProcessGrid
from fedcredit.models.build import build
from fedcredit.models.train import evaluate
from fedcredit.settings import StudySettings
from server.app import Order, initial_arrays, strategy_of
from server.simulation import conduct_on_ray

SEED = 0
WARM_UP = 1  # torch imports its compiler in the first optimizer step; no side's steady round pays for it


@dataclass(frozen=True)
class Job:
    """The study's own task, rows and institutions, laid out as `fedcredit study run` would."""

    settings: StudySettings
    rows: Windows
    order: Order
    nodes: list[dict[str, str | bool]]

    @staticmethod
    def prepare(folder: Path, *, rounds: int) -> Job:
        """From the name of the study to everything that its first round needs."""
        settings = load("default_credit")
        table = table_of(settings.data)
        rows = rows_of(settings, table)
        place = Workplace.build(folder / "work", rows, label_definition=table.schema.label.definition)
        members = place.institutions
        unit = Unit("federated", "federated", "", "", None, SEED)
        plan = RoundPlan(rounds=rounds, quorum=len(members), poll_seconds=0.02)
        order = Order(task_of(unit, settings, rows, members=members), plan, settings.recipe.strategy)
        nodes = [place.node_config(name, state=folder / "state") for name in members]
        return Job(settings, rows, order, nodes)

    def with_rounds(self, rounds: int) -> Job:
        """The same job with another number of rounds."""
        return replace(self, order=replace(self.order, plan=replace(self.order.plan, rounds=rounds)))


def plain_rounds(model: nn.Module, shards: Sequence[tuple[Tensor, Tensor]], *, lr: float, batch: int) -> Iterator[None]:
    """FedAvg as one would write it by hand, a round a step: `model` is trained in place; x (n, inputs), y (n,)."""
    total = sum(len(y) for _, y in shards)
    while True:
        states = []
        for x, y in shards:
            client = copy.deepcopy(model)
            optimizer = torch.optim.SGD(client.parameters(), lr=lr)
            order = torch.randperm(len(y))
            for rows, labels in zip(torch.split(x[order], batch), torch.split(y[order], batch), strict=True):
                optimizer.zero_grad()
                loss = binary_cross_entropy_with_logits(client(rows).squeeze(-1), labels)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            states.append((len(y), client.state_dict()))
        mean = {name: sum(state[name] * (n / total) for n, state in states) for name in model.state_dict()}
        model.load_state_dict(mean)
        yield


def plain_model(inputs: int) -> nn.Module:
    """The job's network 23-64-32-1, from the same seed as the federation's."""
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 1))


@dataclass
class Stopwatch:
    """Seconds of rounds of both sides, one after the other: the plain loop takes its turn between two of ours."""

    plain: Iterator[None]
    plain_seconds: list[float] = field(default_factory=list)
    round_seconds: list[float] = field(default_factory=list)
    checkpointed_seconds: list[float] = field(default_factory=list)
    began: float = 0.0

    def take_turns(self, record: RoundRecord) -> None:
        """Note our round that just ended, without and with its checkpoint; time one of the plain loop."""
        ended = time.perf_counter()
        self.round_seconds.append(record.seconds)
        self.checkpointed_seconds.append(ended - self.began)
        next(self.plain)
        self.began = time.perf_counter()
        self.plain_seconds.append(self.began - ended)


def alternated(job: Job, grid: InProcessGrid, *, folder: Path) -> tuple[Stopwatch, nn.Module, Arrays]:
    """One whole job of each side, round by round in turns, ours with a checkpoint a round; and both final models."""
    torch.manual_seed(SEED)
    model, shards = plain_model(job.rows.x.shape[2]), shards_of(job.rows)
    local = job.order.task.local
    watch = Stopwatch(plain_rounds(model, shards, lr=local.lr, batch=local.batch_size))
    members = gather(grid, job.order.task, quorum=len(job.nodes), wait_seconds=60)
    strategy, initial = strategy_of(job.order.strategy), initial_arrays(job.order.task)
    watch.began = time.perf_counter()
    state = run_rounds(
        grid,
        strategy,
        initial,
        task=job.order.task,
        plan=job.order.plan,
        members=members,
        checkpoints=folder,
        on_round=watch.take_turns,
    )
    return watch, model, state.arrays


def shards_of(rows: Windows) -> list[tuple[Tensor, Tensor]]:
    """The training rows of each institution: x (n, inputs), y (n,)."""
    parts = [rows.of(name).part("train") for name in rows.institutions]
    return [(torch.from_numpy(part.x[:, 0].copy()), torch.from_numpy(part.y.copy())) for part in parts]


def on_ray(job: Job, folder: Path) -> tuple[list[float], float]:
    """Seconds of each round but the first on Flower's simulation, and those until the first round was over."""
    path = folder / "nodes.json"
    path.write_text(json.dumps(job.nodes))
    os.environ[NODES_FILE] = str(path)
    began, ended = time.perf_counter(), list[float]()
    conducted = conduct_on_ray(
        job.order, client_app, nodes=len(job.nodes), on_round=lambda record: ended.append(time.perf_counter())
    )
    return [record.seconds for record in conducted.state.history[1:]], ended[0] - began


def measure(*, rounds: int, repeats: int, ray_rounds: int) -> dict[str, Any]:
    """The benchmark's one object; `ray_rounds` of 0 leaves Ray out."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job = Job.prepare(folder, rounds=rounds)
        grid = InProcessGrid(client_app, job.nodes)
        gather(grid, job.order.task, quorum=len(job.nodes), wait_seconds=60)
        start_seconds = time.perf_counter() - began
        warm, _, _ = alternated(job.with_rounds(WARM_UP), grid, folder=folder / "warm-up")
        runs = [alternated(job, grid, folder=folder / f"repeat-{number}") for number in range(repeats)]
        ray, ray_start = on_ray(job.with_rounds(ray_rounds + 1), folder) if ray_rounds else ([], None)
    _, plain_net, arrays = runs[-1]
    whence = origin(job.settings)
    return {
        "start_seconds": round(start_seconds, 3),
        **in_turns([watch for watch, _, _ in runs], ray),
        "clients": len(job.nodes),
        f"auc_{rounds}_rounds": round(auc_of(job, arrays), 4),
        f"auc_{rounds}_rounds_plain_loop": round(auc_of_plain(job, plain_net), 4),
        "first_round_seconds": round(warm.round_seconds[0], 3),
        "ray_start_seconds": None if ray_start is None else round(ray_start, 2),
        "repeats": repeats,
        "rounds": rounds,
        "ray_rounds": ray_rounds,
        "torch_threads": torch.get_num_threads(),
        "machine": whence["machine"],
        "commit": whence["git_sha"],
    }


def in_turns(watches: Sequence[Stopwatch], ray: Sequence[float]) -> dict[str, Any]:
    """Medians over all rounds of all repeats, and our rounds as a multiple of the plain loop's."""
    plain = median(chain.from_iterable(watch.plain_seconds for watch in watches))
    ours = median(chain.from_iterable(watch.round_seconds for watch in watches))
    kept = median(chain.from_iterable(watch.checkpointed_seconds for watch in watches))
    by_repeat = [median(watch.round_seconds) / median(watch.plain_seconds) for watch in watches]
    return {
        "round_seconds": {
            "plain_loop": round(plain, 4),
            "inprocess": round(ours, 4),
            "ray": round(median(ray), 4) if ray else None,
            "inprocess_with_checkpoint": round(kept, 4),
        },
        "ratio": {
            "inprocess": round(ours / plain, 3),
            "inprocess_with_checkpoint": round(kept / plain, 3),
            "inprocess_by_repeat": [round(ratio, 3) for ratio in by_repeat],
        },
    }


def auc_of(job: Job, arrays: Arrays) -> float:
    """Test AUC of our model."""
    task, test = job.order.task, job.rows.part("test")
    model = build(task.model, features=task.features, time=task.time, seed=task.seed)
    personal.load_shared(model, arrays, share="all")
    return float(auc(test.y, evaluate(model, torch.from_numpy(test.x))))


def auc_of_plain(job: Job, model: nn.Module) -> float:
    """Test AUC of the plain loop's model."""
    test = job.rows.part("test")
    with torch.no_grad():
        return float(auc(test.y, model(torch.from_numpy(test.x[:, 0])).squeeze(-1).numpy()))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; whatever Flower and Ray have to say goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmarks.engine", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--rounds", type=int, default=20, help="rounds of each repeat (the AUC's key names them)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--ray-rounds", type=int, default=8, help="timed rounds on Ray")
    parser.add_argument("--no-ray", action="store_true")
    asked = parser.parse_args(arguments)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            ray_rounds = 0 if asked.no_ray else asked.ray_rounds
            found = measure(rounds=asked.rounds, repeats=asked.repeats, ray_rounds=ray_rounds)
    except FedCreditError as fault:
        sys.stderr.write(f"error: {fault}\n")
        sys.exit(fault.exit_code)
    sys.stdout.write(json.dumps(found, indent=None if asked.json else 1) + "\n")


if __name__ == "__main__":
    main()
