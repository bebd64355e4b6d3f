"""Tasks and orders for small federations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.messages import Task
from fedcredit.models.build import ModelSettings
from fedcredit.models.train import LocalSettings
from server.app import Order
from tests.conftest import FEATURES

FEDAVG = {"_target_": "flwr.serverapp.strategy.FedAvg"}


def make_task(**settings: Any) -> Task:
    """A logistic task of three periods, unless said otherwise."""
    usual: dict[str, Any] = {
        "run": "test",
        "model": ModelSettings("logistic"),
        "features": FEATURES,
        "time": 3,
        "seed": 5,
        "local": LocalSettings("sgd", lr=0.1, batch_size=32),
    }
    return Task(**{**usual, **settings})


def make_order(
    task: Task | None = None, *, strategy: dict[str, Any] | None = None, checkpoints: Path | None = None, **plan: Any
) -> Order:
    """An order of three rounds with a quorum of three, polled without delay."""
    usual = {"rounds": 3, "quorum": 3, "poll_seconds": 0.001, "deadline_seconds": 0.05, "wait_seconds": 0.05}
    return Order(task or make_task(), RoundPlan(**{**usual, **plan}), strategy or FEDAVG, checkpoints)
