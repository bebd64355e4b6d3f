"""Prints how far the synthetic margins lie from public ones, and AUCs of models trained on one and tested on the other.

python -m experiments.realism.compare --json
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from numpy.typing import NDArray
from scipy.stats import ks_2samp, rankdata
from sklearn.linear_model import LogisticRegression

from experiments.machine import commit, machine
from experiments.realism.columns import RATIOS, american, small_companies, synthetic
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.write import write
from fedcredit.errors import FedCreditError
from fedcredit.evaluation.delong import auc_interval

AS_OF = "2024-12-31"  # a year before the economy ends: defaults of 12 months are known
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Floats = NDArray[np.float64]


def margin(public: pd.Series, made: pd.Series) -> dict[str, Any]:
    """Quantiles of both, their Kolmogorov-Smirnov distance, and the share of each that is missing.

    >>> margin(pd.Series([1.0, 2.0]), pd.Series([3.0, None]))["ks"]
    1.0
    """
    one, other = public.dropna().to_numpy(float), made.dropna().to_numpy(float)
    return {
        "public": [float(f"{q:.3g}") for q in np.quantile(one, QUANTILES)],
        "synthetic": [float(f"{q:.3g}") for q in np.quantile(other, QUANTILES)],
        "ks": round(float(ks_2samp(one, other).statistic), 3),
        "missing": [round(float(public.isna().mean()), 3), round(float(made.isna().mean()), 3)],
    }


def ranks(frame: pd.DataFrame) -> Floats:
    """Each column as its rank among the rows, -1..1; 0 where missing. It forgets the unit and keeps the order."""
    cells = frame[list(RATIOS)].to_numpy(float)
    out = np.zeros_like(cells)
    for k, column in enumerate(cells.T):
        here = ~np.isnan(column)
        out[here, k] = 2 * (rankdata(column[here]) - 0.5) / max(here.sum(), 1) - 1
    return out


def scores(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Floats]:
    """Scores of `test` by three models of `train`: trees on values, trees on ranks, logistic regression on ranks."""
    names = list(RATIOS)
    found = {}
    for name, x, rows in (
        ("trees on values", train[names].to_numpy(float), test[names].to_numpy(float)),
        ("trees on ranks", ranks(train), ranks(test)),
    ):
        trees = LGBMClassifier(
            n_estimators=150,
            learning_rate=0.04,
            num_leaves=7,
            n_jobs=1,
            random_state=0,
            verbose=-1,
            force_col_wise=True,
        )
        found[name] = trees.fit(x, train["y"]).predict_proba(rows)[:, 1]
    ranked = np.hstack([ranks(train), ranks(train) ** 2]), np.hstack([ranks(test), ranks(test) ** 2])
    logistic = LogisticRegression(C=1.0, max_iter=2000).fit(ranked[0], train["y"])
    return found | {"logistic on ranks": logistic.predict_proba(ranked[1])[:, 1]}


def transfer(made: pd.DataFrame, public: pd.DataFrame) -> list[dict[str, Any]]:
    """AUC of every direction: trained on the one, tested on the other, and each on itself."""
    half = np.random.default_rng(0).random(len(made)) < 0.5
    parts = {
        "synthetic": (made[half], made[~half]),
        "american_w4": (public[public["split"] == "train"], public[public["split"] == "test"]),
    }
    rows = []
    for source, (train, _) in parts.items():
        for target, (_, test) in parts.items():
            for model, score in scores(train, test).items():
                found = auc_interval(test["y"], score).rounded(3)
                rows.append(
                    {"train": source, "test": target, "model": model, "auc": [found.point, found.low, found.high]}
                    | {"n": len(test), "failed": int(test["y"].sum())}
                )
    return rows


def signs(made: pd.DataFrame, public: pd.DataFrame) -> dict[str, list[float]]:
    """AUC of each ratio alone, american_w4 (all splits) and synthetic; below .5 a low value is the risk."""
    found = {}
    for name in RATIOS:
        pair = [frame[[name, "y"]].dropna() for frame in (public, made)]
        found[name] = [round(float(auc_interval(rows["y"], rows[name]).point), 3) for rows in pair]
    return found


def compare(folder: Path, *, mirror: Path | None = None) -> dict[str, Any]:
    """All figures of an economy on disk."""
    made, public = synthetic(folder, AS_OF), american(mirror)
    few = small_companies(folder, AS_OF, mirror)
    return {
        "quantiles": list(QUANTILES),
        "margins": {f"{name}, american_w4": margin(public[name], made[name]) for name in RATIOS}
        | {name: margin(*pair) for name, pair in few.items()},
        "alone": signs(made, public),
        "transfer": transfer(made, public),
        "companies": {"synthetic": len(made), "american_w4": len(public)},
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Make an economy, compare, print one object; the story goes to stderr."""
    parser = argparse.ArgumentParser(prog="python -m experiments.realism.compare", description=__doc__)
    parser.add_argument("--json", action="store_true", help="one object on one line")
    parser.add_argument("--companies", type=int, default=20_000)
    parser.add_argument("--world", default="default")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    try:
        with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as name:
            settings = WorldSettings(seed=asked.seed, companies=asked.companies, world=asked.world)
            found = compare(write(settings, Path(name) / "economy"))
    except FedCreditError as fault:
        sys.stderr.write(f"error: {fault}\n")
        sys.exit(fault.exit_code)
    sys.stdout.write(
        json.dumps(found | {"machine": machine(), "commit": commit()}, indent=None if asked.json else 1) + "\n"
    )


if __name__ == "__main__":
    main()
