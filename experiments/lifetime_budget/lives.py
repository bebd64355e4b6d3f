"""An arm of the study becomes its models, quarter by quarter, up to the retrain that nobody has budget for."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from experiments.lifetime_budget.plan import Budget, epsilons
from experiments.lifetime_budget.retrain import Consortium, Recipe
from fedcredit.data.windows import Windows
from fedcredit.errors import FederationError, RunError
from fedcredit.federation.checkpoint import Arrays

Arm = Literal["none", "distributed", "local", "once"]
LAG = 4  # quarters until the outcomes of a vintage are known
REFUSED = "refused.json"


@dataclass(frozen=True)
class Refused:
    """What the platform was told of a retrain that the ledgers refused, and what an institution's own log says."""

    platform: str
    institution: str


@dataclass(frozen=True)
class Life:
    """Models in the order of the quarters; after a refusal the last one stays in service."""

    arm: Arm
    seed: int
    models: tuple[Arrays, ...]
    refused: Refused | None

    def in_service(self, quarter: int) -> Arrays:
        """The newest model that there is in a quarter."""
        return self.models[min(quarter, len(self.models) - 1)]


def budget_of(arm: Arm, budget: Budget) -> Budget | None:
    """What an arm may spend: `once` is all of it on the first training, with noise in the sum."""
    if arm == "none":
        return None
    if arm == "once":
        return replace(budget, retrains=1)
    return replace(budget, noise=arm)


def live(
    arm: Arm,
    vintages: Mapping[int, Windows],
    *,
    recipe: Recipe,
    budget: Budget,
    delta: float,
    seed: int,
    folder: Path,
    on_retrain: Callable[[str], None] = lambda words: None,
) -> Life:
    """Every retrain of the arm, then one more; what an earlier call finished is read from the folder.

    A retrain of quarter q learns from the vintage of q - 4, whose outcomes are known by then, and starts from the model
    of q - 1.

    Raises:
        FederationError: a retrain that the budget covers failed.
        RunError: one that it does not cover was not refused.
    """
    own = budget_of(arm, budget)
    here = Consortium(folder, recipe, own, delta, seed)
    quarters = max(vintages) + 1
    plain = [recipe.first_rounds, *[recipe.later_rounds] * (quarters - 1)]
    spends = epsilons(own, delta=delta) if own else ()
    rounds = own.rounds if own else tuple(plain)
    models: list[Arrays] = []
    for quarter in range(len(rounds)):
        file = folder / f"model-{quarter:02d}.npz"
        if not file.exists():
            epsilon = spends[quarter] if own else None
            before = models[-1] if models else None
            done = here.retrain(vintages[quarter - LAG], quarter, epsilon=epsilon, rounds=rounds[quarter], before=before)
            draft = file.with_suffix(".draft.npz")
            np.savez(draft, **dict(done.state.arrays))
            draft.replace(file)
            on_retrain(f"{arm}, seed {seed}: retrain {quarter + 1} of {len(rounds)}")
        with np.load(file, allow_pickle=False) as held:
            models.append({name: held[name] for name in held.files})
    refused = _one_more(here, vintages, models, spends) if own else None
    return Life(arm, seed, tuple(models), refused)


def _one_more(
    here: Consortium, vintages: Mapping[int, Windows], models: list[Arrays], spends: tuple[float, ...]
) -> Refused:
    """The next retrain as the ones before it, which no ledger may let pass."""
    file, quarter = here.folder / REFUSED, len(models)
    if file.exists():
        return Refused(**json.loads(file.read_text()))
    rounds = here.budget.rounds[-1] if here.budget else 1
    with _log_of_institutions() as said:
        try:
            here.retrain(vintages[quarter - LAG], quarter, epsilon=spends[-1], rounds=rounds, before=models[-1])
        except FederationError as fault:
            refused = Refused(str(fault), said[0] if said else "")
        else:
            raise RunError(f"retrain {quarter + 1}", found="a model", expected="ledgers that refuse it")
    file.write_text(json.dumps(asdict(refused), ensure_ascii=False))
    return refused


@contextlib.contextmanager
def _log_of_institutions() -> Iterator[list[str]]:
    """What our ClientApp writes into the institutions' own logs."""
    said: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log, listener = logging.getLogger("clients.app"), Listener()
    log.addHandler(listener)
    try:
        yield said
    finally:
        log.removeHandler(listener)
