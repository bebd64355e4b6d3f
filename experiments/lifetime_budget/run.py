"""Prints what twelve quarterly retrains lose within one lifetime's epsilon, and what the thirteenth is told.

python -m experiments.lifetime_budget.run --json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.lifetime_budget.plan import Budget, epsilons
from experiments.lifetime_budget.study import ARMS, study
from experiments.lifetime_budget.vintages import Setting
from experiments.machine import commit, machine
from fedcredit.errors import FedCreditError

VINTAGE_SECONDS, ROUND_SECONDS = 4.0, 0.3  # of 12,000 companies; of five institutions, masked and charged


def text(found: dict[str, Any]) -> str:
    """The same for a person."""
    lines = [f"economy {found['setting']['seed']}, seeds {found['seeds']}, delta {found['delta']:g}"]
    for arm, auc in found["auc"].items():
        loss = found["loss"].get(arm)
        beside = f"   loses {_said(loss['mean'])}" if loss else ""
        lines.append(f"{arm:12} AUC {_said(auc['mean'])}{beside}")
        lines.append(" " * 13 + "by quarter " + " ".join(f"{one[0]:.3f}" for one in auc["quarters"]))
    lines.append(
        "the quarter after: " + ", ".join(f"{arm} {_said(one['mean'])}" for arm, one in found["after"]["auc"].items())
    )
    for arm, kept in found["ledgers"].items():
        low, high = kept["lifetime_epsilon"]
        lines.append(
            f"{arm}: {kept['verified']} ledgers verified, {kept['retrains']} retrains, {kept['charges']} charges, "
            f"epsilon {low:.3f} to {high:.3f}"
        )
        if kept["refused"]:
            lines += [f"  platform: {kept['refused']['platform']}", f"  institution: {kept['refused']['institution']}"]
    return "\n".join(lines)


def _said(interval: Sequence[float]) -> str:
    return "{:.4f} [{:.4f}, {:.4f}]".format(*interval)


def _tell(words: str) -> None:
    sys.stderr.write(f"{words}\n")


def forecast(setting: Setting, budget: Budget, *, arms: int, seeds: int) -> dict[str, Any]:
    """Minutes, roughly, and what each company would be charged; nothing is made or charged."""
    seconds = VINTAGE_SECONDS * (setting.quarters + 4) * setting.companies / 12_000
    seconds += ROUND_SECONDS * sum(budget.rounds) * arms * seeds
    each = epsilons(budget, delta=1e-5)
    return {
        "minutes": round(seconds / 60, 1),
        "epsilon_lifetime": budget.lifetime,
        "epsilons": [round(e, 3) for e in each],
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Live through the arms, judge, print one object; the story goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m experiments.lifetime_budget.run", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--dry-run", action="store_true", help="say how long it takes and what it charges")
    parser.add_argument("--economy", type=int, default=2026, help="seed of the economy")
    parser.add_argument("--companies", type=int, default=12_000)
    parser.add_argument("--seeds", type=int, default=3, help="how many trainings of each arm")
    parser.add_argument("--lifetime", type=float, default=8.0, help="epsilon of a company at its institution")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--folder", type=Path, help="kept between calls; else runs/lifetime_budget/<economy>")
    asked = parser.parse_args(arguments)
    setting, budget = Setting(asked.economy, companies=asked.companies), Budget(lifetime=asked.lifetime)
    folder = asked.folder or Path("runs/lifetime_budget") / f"{asked.economy}-{asked.companies}-{asked.lifetime:g}"
    arms = tuple(arm for arm in ARMS if arm in asked.arms or arm == "none")
    logging.getLogger("fedcredit.federation").setLevel(logging.ERROR)  # the refusal is told at the end
    try:
        if asked.dry_run:
            found = forecast(setting, budget, arms=len(arms), seeds=asked.seeds)
            sys.stdout.write(json.dumps(found) + "\n")
            return
        with contextlib.redirect_stdout(sys.stderr):
            found = study(
                setting, budget=budget, arms=arms, seeds=range(asked.seeds), folder=folder, draws=asked.draws, say=_tell
            )  # fmt: skip
    except FedCreditError as fault:
        sys.stderr.write(f"error: {fault}\n")
        sys.exit(fault.exit_code)
    found |= {"machine": machine(), "commit": commit()}
    sys.stdout.write((json.dumps(found) if asked.json else text(found)) + "\n")


if __name__ == "__main__":
    main()
