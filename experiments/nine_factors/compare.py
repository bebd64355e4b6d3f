"""A finished run of both models becomes their paired difference, how often each breaks a direction, who speaks loudest.

$ python -m experiments.nine_factors.compare runs/nine_factors/latest --json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import nn

from experiments.folder import read_settings
from experiments.rows import rows_of, table_of
from experiments.units import Unit
from fedcredit.data.windows import Windows
from fedcredit.errors import FedCreditError, RunError
from fedcredit.evaluation.intervals import percentile_interval
from fedcredit.evaluation.metrics import auc
from fedcredit.evaluation.panel import Panel, Variant, read_panel
from fedcredit.evaluation.resampled import resample
from fedcredit.models.build import build
from fedcredit.models.factors import Factor, factors_for
from fedcredit.models.monotone import STEP, monotone_violations
from fedcredit.models.nine_factor import NineFactor
from fedcredit.settings import StudySettings

OURS, PLAIN = "nine_factor", "lstm"


def compare(folder: Path) -> dict[str, Any]:
    """AUC of the factor model minus that of the plain LSTM on identical rows, without noise and at each epsilon.

    Intervals are 95 % over companies and seeds, paired in both. Violations are shares of (row, indicator) pairs of
    the scored split, the worst seed's; `speaks` is the standard deviation of each factor's contribution, seed mean.

    Raises:
        RunError: the folder is no run, or has no predictions of both models.
    """
    settings = read_settings(folder)
    if not (folder / "predictions.parquet").exists():
        raise RunError(str(folder), found="no predictions", expected="a finished run", hint="fedcredit study resume")
    panel = read_panel(pd.read_parquet(folder / "predictions.parquet"), settings.evaluation.headline)
    rows = rows_of(settings, table_of(settings.data))
    scored = rows.part(*settings.evaluation.headline.split("+"))
    factors = factors_for(rows.features, settings.model.factors)
    models = {
        (method, epsilon): [_model(folder, settings, rows, method, epsilon=epsilon, seed=s) for s in settings.seeds]
        for method in (OURS, PLAIN)
        for epsilon in settings.privacy.epsilons
    }
    violations = {key: _violations(made, scored, factors) for key, made in models.items()}
    return {
        "study": settings.study,
        "split": panel.split,
        "n": len(panel.y),
        "positives": int(panel.y.sum()),
        "seeds": list(settings.seeds),
        "step": STEP,
        "differences": [
            row | {"violations": {method: violations[method, row["epsilon"]] for method in (OURS, PLAIN)}}
            for row in _differences(panel, draws=settings.evaluation.draws)
        ],
        "speaks": _speaks(models[OURS, settings.privacy.epsilons[0]], scored),
        "parameters": {method: _size(models[method, settings.privacy.epsilons[0]][0]) for method in (OURS, PLAIN)},
    }


def _differences(panel: Panel, *, draws: int) -> list[dict[str, Any]]:
    drawn = resample(panel, rng=np.random.default_rng(0), draws=draws)
    found = []
    for ours in (variant for variant in panel.variants if variant.method == OURS):
        theirs = _peer(panel, ours)
        one, two = drawn.of_everybody(ours), drawn.of_everybody(theirs)
        if one is None or two is None:
            raise RunError(panel.split, found="rows of one class", expected="defaults and companies without one")
        difference = one.minus(two)
        point, low, high = percentile_interval(difference.point, difference.draws)
        levels = {OURS: one.point, PLAIN: two.point}
        by_seed = [_auc_by_seed(panel, variant) for variant in (ours, theirs)]
        found.append(
            {
                "epsilon": ours.epsilon,
                "auc": levels,
                "difference": point,
                "low": low,
                "high": high,
                "loss_upper": -low,
                "by_seed": [float(a - b) for a, b in zip(*by_seed, strict=True)],
            }
        )
    return found


def _peer(panel: Panel, ours: Variant) -> Variant:
    for variant in panel.variants:
        if variant.method == PLAIN and (variant.arm, variant.epsilon) == (ours.arm, ours.epsilon):
            return variant
    raise RunError(f"epsilon {ours.epsilon}", found="no plain LSTM", expected=f"methods {OURS} and {PLAIN}")


def _auc_by_seed(panel: Panel, variant: Variant) -> list[float]:
    return [auc(panel.y, p) for p in panel.of(variant)[0].p]


def _model(
    folder: Path, settings: StudySettings, rows: Windows, method: str, *, epsilon: float | None, seed: int
) -> nn.Module:
    recipe = settings.recipe_for("federated", is_private=epsilon is not None, method=method)
    weights = folder / "units" / f"{Unit('federated', method, '', '', epsilon, seed).name}.safetensors"
    if not weights.exists():
        raise RunError(weights.name, found="no such model", expected=f"methods {OURS} and {PLAIN} in the study")
    model = build(recipe.model or settings.model, features=rows.features, time=rows.x.shape[1], seed=seed)
    model.load_state_dict(load_file(weights))
    return model.eval()


def _violations(models: Sequence[nn.Module], rows: Windows, factors: Sequence[Factor]) -> dict[str, float]:
    x = torch.from_numpy(rows.x)
    found = [monotone_violations(model, x, features=rows.features, factors=factors) for model in models]
    return {"last": max(one.last for one in found), "window": max(one.window for one in found)}


def _speaks(models: Sequence[nn.Module], rows: Windows) -> dict[str, float]:
    ours = [model for model in models if isinstance(model, NineFactor)]
    with torch.no_grad():
        spread = torch.stack([model.contributions(torch.from_numpy(rows.x)).std(dim=0) for model in ours]).mean(dim=0)
    return dict(zip(ours[0].factors, spread.tolist(), strict=True))


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def text(found: dict[str, Any]) -> str:
    """The same for a person: a line an epsilon, then the factors by how loudly they speak."""
    lines = [f"{found['study']}: {found['n']} rows of {found['split']}, {found['positives']} defaults"]
    for row in found["differences"]:
        noise = "no noise" if row["epsilon"] is None else f"epsilon {row['epsilon']:g}"
        levels = ", ".join(f"{method} {value:.4f}" for method, value in row["auc"].items())
        lines.append(f"{noise}: {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}] ({levels})")
        for method, share in row["violations"].items():
            lines.append(f"  {method} breaks a direction: last {share['last']:.2%}, window {share['window']:.2%}")
    loud = sorted(found["speaks"].items(), key=lambda pair: -pair[1])
    return "\n".join([*lines, "contributions vary by: " + ", ".join(f"{name} {value:.2f}" for name, value in loud)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison of one run."""
    parser = argparse.ArgumentParser(prog="python -m experiments.nine_factors.compare", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("runs/nine_factors/latest"))
    parser.add_argument("--json", action="store_true", help="one object on one line")
    asked = parser.parse_args(arguments)
    try:
        found = compare(asked.folder)
    except FedCreditError as fault:
        sys.stderr.write(f"error: {fault}\n")
        sys.exit(fault.exit_code)
    sys.stdout.write((json.dumps(found) if asked.json else text(found)) + "\n")


if __name__ == "__main__":
    main()
