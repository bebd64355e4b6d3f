"""A vintage and the model before it become the next model: one federation, charged to each institution's own ledger."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

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
from fedcredit.privacy.ceilings import Ceilings
from fedcredit.privacy.ledger import Ledger
from server.app import Conducted, Order, conduct

STUDY = "lifetime_budget"
LIMIT = 16.0  # of a number in a masked update
SUM_LIMIT = 4096.0  # of one in a masked sum of clipped gradients and its noise: more than an institution's companies
PLAIN = "flwr.serverapp.strategy.FedAvg"
NOISY = "flwr.serverapp.strategy.FedAdam"  # DP-FedSGD: a noisy gradient a round, Adam at the platform


@dataclass(frozen=True)
class Recipe:
    """How a model is trained: the same kind with noise and without, each by its own way of training.

    first_rounds, later_rounds: without noise; under privacy the budget says how many.
    """

    model: ModelSettings = field(default_factory=lambda: ModelSettings("mlp", hidden=16))
    plain: LocalSettings = field(default_factory=lambda: LocalSettings("adam", lr=3e-3, batch_size=128))
    first_rounds: int = 20
    later_rounds: int = 10


@dataclass(frozen=True)
class Consortium:
    """Institutions that hold their rows, ledgers and ceilings under `folder`; `place(quarter)` is one vintage of them.

    budget None trains without privacy; nobody has a ceiling then.
    """

    folder: Path
    recipe: Recipe
    budget: Budget | None
    delta: float
    seed: int

    def place(self, vintage: Windows, quarter: int) -> Workplace:
        """The rows to train on, laid out for each institution."""
        folder = self.folder / "vintages" / f"q{quarter:+d}"
        if not (folder / "facts.json").exists():
            definition = "90 or more days past due within 12 months"
            Workplace.build(folder, vintage.part("train"), label_definition=definition, is_public=False, run=STUDY)
        return Workplace(folder)

    def ledger(self, number: int) -> Path:
        """Where the n-th institution's ledger is, whatever the vintage."""
        return self.folder / "ledgers" / f"{number}.sqlite"

    def ledgers(self) -> list[Ledger]:
        """Those that there are."""
        return [Ledger(path) for path in sorted((self.folder / "ledgers").glob("*.sqlite"))]

    def retrain(
        self, vintage: Windows, quarter: int, *, epsilon: float | None, rounds: int, before: Arrays | None
    ) -> Conducted:
        """Train on a vintage, from the arrays before or from a fresh model.

        Raises:
            FederationError: no institution takes part; `error-budget` where their ledgers refuse.
        """
        torch.set_num_threads(1)
        place = self.place(vintage, quarter)
        task = self.task(vintage, place.institutions, run=f"q{quarter:+d}".replace("+", ""), epsilon=epsilon, rounds=rounds)
        eta = self.budget.eta if self.budget else 0.0
        noisy: Mapping[str, Any] = {"_target_": NOISY, "eta": eta, "eta_l": 1.0, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3}
        plan = RoundPlan(rounds=rounds, quorum=len(place.institutions) // 2 + 1)
        strategy = noisy if epsilon is not None else {"_target_": PLAIN}
        order = Order(task, plan, strategy, self.folder / "checkpoints" / task.run, place.roster, before)
        return conduct(InProcessGrid(client_app, self.nodes(place)), order)

    def task(self, vintage: Windows, names: list[str], *, run: str, epsilon: float | None, rounds: int) -> Task:
        """What a retrain asks of every institution."""
        terms, local, is_summed = None, self.recipe.plain, False
        if epsilon is not None and self.budget is not None:
            held = self.budget
            terms = PrivacyTerms(epsilon, self.delta, held.clip, held.sample_rate, 1, rounds, noise=held.noise)
            local, is_summed = LocalSettings("sgd", lr=1.0, steps=1), held.noise == "distributed"
        return Task(
            run=run,
            model=self.recipe.model.resolved(vintage.features),
            features=vintage.features,
            time=vintage.x.shape[1],
            seed=self.seed,
            local=local,
            privacy=terms,
            metrics="none",
            masking=Masking((tuple(names),), SUM_LIMIT if is_summed else LIMIT),
        )

    def nodes(self, place: Workplace) -> list[NodeConfig]:
        """What the operators set: under privacy a ceiling and a ledger that outlives every run, else open rows."""
        (self.folder / "ledgers").mkdir(parents=True, exist_ok=True)
        own: dict[str, str | bool] = {"open-rows": True, "exact-metrics": True}
        if self.budget is not None:
            ceilings = self.folder / "ceilings.yaml"
            ceilings.write_text(f"lifetime_epsilon: {self.budget.lifetime}\n")
            own = {"ceilings": str(ceilings), "one-machine": False}
        state = self.folder / "state"
        found = []
        for number, name in enumerate(place.institutions):
            facts = place.node_config(name, state=state) | own
            found.append(facts | {"ledger": str(self.ledger(number))})
        return found

    def score(self, arrays: Arrays, rows: Windows) -> NDArray[np.float64]:
        """Probabilities of default."""
        model = build(self.recipe.model, features=rows.features, time=rows.x.shape[1], seed=self.seed)
        personal.load_shared(model, arrays, share="all")
        return evaluate(model, torch.from_numpy(rows.x))
