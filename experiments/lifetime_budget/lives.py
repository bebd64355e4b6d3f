"""An arm of the study becomes its models, quarter by quarter, up to the retrain that no ledger lets pass."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from safetensors.numpy import load_file, save_file

from experiments.lifetime_budget.plan import Budget, epsilons
from experiments.lifetime_budget.retrain import Consortium
from fedcredit.data.windows import Windows
from fedcredit.errors import FederationError, RunError
from fedcredit.federation.checkpoint import Arrays

Arm = Literal["none", "distributed", "local", "once"]
LAG = 4  # quarters until the outcomes of a vintage are known


@dataclass(frozen=True)
class Refused:
    """What the platform was told of a retrain that the ledgers refused, and what an institution's own log says."""

    platform: str
    institution: str


@dataclass(frozen=True)
class Life:
    """The models of one arm and seed in the order of the quarters; `refused` is the retrain after the last of them."""

    arm: Arm
    seed: int
    models: tuple[Arrays, ...]
    refused: Refused | None

    def in_service(self, quarter: int) -> Arrays:
        """The newest model that there is in a quarter: after a refusal the last one stays."""
        return self.models[min(quarter, len(self.models) - 1)]


def budget_of(arm: Arm, budget: Budget) -> Budget:
    """What an arm may spend: `once` is all of it on the first training, with the noise in the sum."""
    if arm == "once":
        return replace(budget, retrains=1)
    return replace(budget, noise="local" if arm == "local" else "distributed")


def live(
    arm: Arm,
    vintages: Mapping[int, Windows],
    *,
    budget: Budget,
    delta: float,
    seed: int,
    folder: Path,
    on_retrain: Callable[[str], None] = lambda words: None,
) -> Life:
    """Every retrain of the arm, then one more; what an earlier call finished is read from the folder.

    A retrain of quarter q learns from the vintage of q - 4, whose outcomes are known by then, and starts from the model
    of q - 1. Without privacy there is one in every quarter.

    Raises:
        FederationError: a retrain that the budget covers failed.
        RunError: one that it does not cover was not refused.
    """
    own, is_private = budget_of(arm, budget), arm != "none"
    if not is_private:
        own = replace(own, retrains=max(vintages) + 1)
    folder.mkdir(parents=True, exist_ok=True)
    here = Consortium(folder, own, delta, seed, is_private)
    spends = epsilons(own, delta=delta)
    models: list[Arrays] = []
    for quarter, (epsilon, rounds) in enumerate(zip(spends, own.rounds, strict=True)):
        file = folder / f"model-{quarter + 1:02d}.safetensors"
        if not file.exists():
            before = models[-1] if models else None
            done = here.retrain(vintages[quarter - LAG], quarter, epsilon=epsilon, rounds=rounds, before=before)
            draft = file.with_suffix(".draft")
            save_file(dict(done.state.arrays), draft)
            draft.replace(file)
            on_retrain(f"{arm}, seed {seed}: retrain {quarter + 1} of {own.retrains}")
        models.append(load_file(file))
    refused = _one_more(here, vintages, models, epsilon=spends[-1]) if is_private else None
    return Life(arm, seed, tuple(models), refused)


def _one_more(here: Consortium, vintages: Mapping[int, Windows], models: list[Arrays], *, epsilon: float) -> Refused:
    """The next retrain as the last one, which no ledger may let pass."""
    file, quarter = here.folder / "refused.json", len(models)
    if file.exists():
        return Refused(**json.loads(file.read_text(encoding="utf-8")))
    with _institutions_log() as said:
        try:
            vintage, rounds = vintages[quarter - LAG], here.budget.rounds[-1]
            here.retrain(vintage, quarter, epsilon=epsilon, rounds=rounds, before=models[-1])
        except FederationError as fault:
            refused = Refused(str(fault), said[0] if said else "")
        else:
            raise RunError(f"retrain {quarter + 1}", found="a model", expected="ledgers that refuse it")
    file.write_text(json.dumps(asdict(refused), ensure_ascii=False), encoding="utf-8")
    return refused


@contextlib.contextmanager
def _institutions_log() -> Iterator[list[str]]:
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
