"""A vintage and the model before it become the next model: one federation, charged to each institution's own ledger."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clients.app import app as client_app
from experiments.lifetime_budget.plan import Budget
from experiments.workplace import NodeConfig, Workplace
from fedcredit.data.windows import Windows
from fedcredit.federation import personal
from fedcredit.federation.checkpoint import Arrays
from fedcredit.federation.engine import RoundPlan
from fedcredit.federation.grid import InProcessGrid
from fedcredit.federation.messages import Masking, PrivacyTerms, Task
from fedcredit.models.build import ModelSettings, build
from fedcredit.models.train import LocalSettings, evaluate
from server.app import Conducted, Order, conduct, initial_arrays

STUDY = "lifetime_budget"
MODEL = ModelSettings("logistic")
PUBLIC_RATE = 0.08  # of default within a year: a figure that supervisors publish, so it costs no company anything
GRADIENT = LocalSettings("sgd", lr=1.0, steps=1, batch_size=1_000_000)  # FedSGD: one gradient of all rows a round
ADAM = {"_target_": "flwr.serverapp.strategy.FedAdam", "eta_l": 1.0, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3}
LIMIT = 16.0  # of a number in a masked update
SUM_LIMIT = 16384.0  # of one in a masked sum of clipped gradients and its noise: clip times companies is below


@dataclass(frozen=True)
class Consortium:
    """Institutions whose ledgers and ceilings lie under `folder` and outlive every retrain.

    is_private False trains on the same schedule without clip and noise; nobody has a ceiling then.
    """

    folder: Path
    budget: Budget
    delta: float
    seed: int
    is_private: bool = True

    def retrain(
        self, vintage: Windows, quarter: int, *, epsilon: float, rounds: int, before: Arrays | None
    ) -> Conducted:
        """Train on a vintage, from the arrays before or from those that know the public rate only.

        Raises:
            FederationError: too few institutions take part; `error-budget` where their ledgers refuse.
        """
        torch.set_num_threads(1)
        place = self._place(vintage, quarter)
        names = place.institutions
        task = self._task(vintage, names, run=f"retrain-{quarter + 1}", epsilon=epsilon, rounds=rounds)
        order = Order(
            task,
            RoundPlan(rounds=rounds, quorum=len(names) // 2 + 1),
            ADAM | {"eta": self.budget.eta},
            self.folder / "checkpoints" / task.run,
            place.roster,
            fresh(task) if before is None else before,
        )
        return conduct(InProcessGrid(client_app, self._nodes(place)), order)

    def ledger(self, number: int) -> Path:
        """Where the ledger of the n-th institution is, whatever the vintage."""
        return self.folder / "ledgers" / f"{number}.sqlite"

    def _place(self, vintage: Windows, quarter: int) -> Workplace:
        """The rows to train on, laid out for each institution."""
        folder = self.folder / "vintages" / str(quarter)
        if not (folder / "facts.json").exists():
            definition = "90 or more days past due at any bank within 12 months"
            Workplace.build(folder, vintage.part("train"), label_definition=definition, is_public=False, run=STUDY)
        return Workplace(folder)

    def _task(self, vintage: Windows, names: list[str], *, run: str, epsilon: float, rounds: int) -> Task:
        held = self.budget
        terms = PrivacyTerms(epsilon, self.delta, held.clip, held.sample_rate, 1, rounds, noise=held.noise)
        is_summed = self.is_private and held.noise == "distributed"
        return Task(
            run=run,
            model=MODEL,
            features=vintage.features,
            time=vintage.x.shape[1],
            seed=self.seed,
            local=GRADIENT,
            privacy=terms if self.is_private else None,
            metrics="none",
            masking=Masking((tuple(names),), SUM_LIMIT if is_summed else LIMIT),
        )

    def _nodes(self, place: Workplace) -> list[NodeConfig]:
        """What the operators set: a ceiling and a ledger of their own; or that their rows are open."""
        ceilings = self.folder / "ceilings.yaml"
        ceilings.write_text(f"lifetime_epsilon: {self.budget.lifetime}\n")
        (self.folder / "ledgers").mkdir(exist_ok=True)
        own: NodeConfig = {"ceilings": str(ceilings), "one-machine": False} if self.is_private else {"open-rows": True}
        return [
            place.node_config(name, state=self.folder / "state") | own | {"ledger": str(self.ledger(number))}
            for number, name in enumerate(place.institutions)
        ]


def fresh(task: Task) -> Arrays:
    """A model that knows nothing but PUBLIC_RATE: without it, much of a first budget would go into one constant."""
    arrays = {name: np.zeros_like(value) for name, value in initial_arrays(task).items()}
    arrays["head.bias"][:] = math.log(PUBLIC_RATE / (1 - PUBLIC_RATE))
    return arrays


def score(arrays: Arrays, rows: Windows) -> NDArray[np.float64]:
    """Probabilities of default (n,)."""
    model = build(MODEL, features=rows.features, time=rows.x.shape[1], seed=0)
    personal.load_shared(model, arrays, share="all")
    return evaluate(model, torch.from_numpy(rows.x))
