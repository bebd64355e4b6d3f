"""A setting becomes the study's object: each arm lived through, judged, and its ledgers read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from experiments.lifetime_budget.judge import judge
from experiments.lifetime_budget.lives import Arm, Life, budget_of, live
from experiments.lifetime_budget.plan import Budget, epsilons
from experiments.lifetime_budget.retrain import score
from experiments.lifetime_budget.vintages import Setting, vintages
from fedcredit.data.windows import Windows
from fedcredit.evaluation.metrics import Floats
from fedcredit.privacy.accounting import delta_for
from fedcredit.privacy.history import charged
from fedcredit.privacy.ledger import Ledger
from fedcredit.privacy.mechanism import joint_epsilon

ARMS: tuple[Arm, ...] = ("none", "distributed", "local", "once")
STALE = "none, once"  # the first model without noise, kept
GOAL = 0.03


def study(
    setting: Setting,
    *,
    budget: Budget,
    arms: Sequence[Arm],
    seeds: Sequence[int],
    folder: Path,
    draws: int,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """All figures; what an earlier call finished in the folder is not done again.

    Raises:
        FederationError, RunError: see `live`.
        LedgerEdited: a ledger does not verify.
    """
    held = vintages(setting)
    delta = delta_of(held)
    lives: dict[str, list[Life]] = {
        arm: [
            live(arm, held, budget=budget, delta=delta, seed=seed, folder=folder / arm / str(seed), on_retrain=say)
            for seed in seeds
        ]
        for arm in arms
    }

    def scores(arm: str, quarter: int, rows: Windows) -> Floats:
        kept = 0 if arm == STALE else quarter
        return np.stack([score(life.in_service(kept), rows) for life in lives["none" if arm == STALE else arm]])

    judged = judge(held, scores, arms=[*arms, STALE], against="none", quarters=budget.retrains, draws=draws)
    after = judge(
        {0: held[budget.retrains]},
        lambda arm, _, rows: scores(arm, budget.retrains, rows),
        arms=arms,
        against="none",
        quarters=1,
        draws=draws,
    )
    return {
        "setting": asdict(setting),
        "budget": asdict(budget),
        "delta": delta,
        "seeds": list(seeds),
        "epsilons": {arm: list(epsilons(budget_of(arm, budget), delta=delta)) for arm in arms if arm != "none"},
        "goal": {arm: judged["loss"][arm]["mean"][2] <= GOAL for arm in arms if arm not in ("none", "once")},
        **judged,
        "after": {name: after[name] for name in ("auc", "loss", "rows")},
        "ledgers": {arm: _ledgers(folder / arm, lives[arm]) for arm in arms if arm != "none"},
    }


def delta_of(held: Mapping[int, Windows]) -> float:
    """The largest that the rules allow for the largest institution in any quarter."""
    trained = [rows.part("train") for rows in held.values()]
    return delta_for(max(int((rows.institution == name).sum()) for rows in trained for name in rows.institutions))


def _ledgers(folder: Path, lives: Sequence[Life]) -> dict[str, Any]:
    """What was charged, over all institutions and seeds; a chain that is broken raises."""
    ledgers = {path: Ledger(path).entries() for path in sorted(folder.glob("*/ledgers/*.sqlite"))}
    spent = [joint_epsilon(charged(own), delta=min(one.delta for one in own)) for own in ledgers.values()]
    return {
        "verified": len(ledgers),
        "retrains": sorted({len({one.run for one in own if one.event == "charge"}) for own in ledgers.values()}),
        "charges": sorted({sum(one.event == "charge" for one in own) for own in ledgers.values()}),
        "lifetime_epsilon": [min(spent), max(spent)],
        "refused": asdict(refused) if (refused := lives[0].refused) else None,
    }
