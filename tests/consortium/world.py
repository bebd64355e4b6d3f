"""A running consortium of four institutions on tiny rows: real processes, certificates and servers, on loopback."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments.demo.found import Founded, found, give_rows, home_in, widen_policies
from experiments.demo.run import Running, running
from fedcredit.data.windows import Windows, join
from fedcredit.federation.checkpoint import RoundRecord
from fedcredit.federation.counting import Question
from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.messages import Masking, Task
from server.app import Conducted
from server.consortium.operator import Profile, profile
from server.orders import DeployedOrder
from server.remote import conduct_on_consortium
from tests.conftest import make_windows
from tests.federation.conftest import make_task

NAMES = ("bank-a", "bank-b", "bank-c", "bank-d")
STUDY = "trial"
FEDAVG = {"_target_": "flwr.serverapp.strategy.FedAvg"}


@dataclass(frozen=True)
class World:
    """The consortium, its processes, and the operator's profile."""

    founded: Founded
    processes: Running
    folder: Path

    @property
    def operator(self) -> Profile:
        """Who starts studies."""
        return profile("demo")

    def order(
        self, task: Task | None = None, *, rounds: int = 3, questions: tuple[Question, ...] = (), **plan: Any
    ) -> DeployedOrder:
        """A plain task of every institution, under a run's name of its own."""
        run = f"run-{secrets.token_hex(4)}"
        asked = replace(task or make_task(), study=STUDY, run=run)
        settings = {"quorum": len(NAMES), "deadline_seconds": 60.0, "wait_seconds": 60.0, "poll_seconds": 0.1}
        by = RoundPlan(rounds=rounds, **{**settings, **plan})
        return DeployedOrder(STUDY, run, "unit", asked, by, FEDAVG, questions)

    def conduct(
        self, order: DeployedOrder, *, on_round: Callable[[RoundRecord], None] = lambda record: None
    ) -> Conducted:
        """What comes of the order, as the operator gets it."""
        return conduct_on_consortium(order, self.operator, patience_seconds=60.0, on_round=on_round)

    def unit(self, order: DeployedOrder) -> Path:
        """The order's folder at the platform."""
        return self.founded.consortium.places.folder / "studies" / order.folder


def masked(task: Task | None = None) -> Task:
    """The task with the updates of all four in one masked sum."""
    return replace(task or make_task(), masking=Masking((NAMES,), 16.0), metrics="none")


def rows() -> list[Windows]:
    """The rows of every institution."""
    return [make_windows(name, seed=number) for number, name in enumerate(NAMES)]


@contextmanager
def world_in(folder: Path) -> Iterator[World]:
    """Everything online in the folder, and stopped at the end."""
    with home_in(folder):
        founded = found(folder, NAMES, study=STUDY)
        give_rows(founded, join(rows()), label_definition="90 dpd")
        widen_policies(founded, studies="[trial]")
        with running(founded) as processes:
            yield World(founded, processes, folder)
