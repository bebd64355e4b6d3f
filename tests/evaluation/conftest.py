"""A made-up study: five institutions, three seeds, all arms, with and without noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fedcredit.evaluation.report import Prevalence, Spent, Target, build

# Names are somebody else's input: Chinese, markup, mathtext, a table's bar, a leading underscore.
NAMES = ("杭州银行", "A<b>&co", "$x_1$|y", "_under", "Bank E")
# Noise added to the true log-odds: the less, the better the model.
ERROR = {"federated": 0.8, "pooled": 0.7, "local": 2.2, "best_alone": 1.5, "incumbent": 1.8}


def make_predictions(
    rows: int = 700,
    *,
    rate: float = 0.2,
    seeds: int = 3,
    epsilons: Sequence[float | None] = (None, 3.0),
    methods: Sequence[str] = ("fedavg",),
) -> pd.DataFrame:
    """Predictions of every arm on `rows` test companies and half as many validation companies."""
    rng = np.random.default_rng(7)
    parts = []
    for split, size in (("validation", rows // 2), ("test", rows)):
        truth = np.log(rate / (1 - rate)) + 1.6 * rng.normal(size=size)
        y = (rng.random(size) < 1 / (1 + np.exp(-truth))).astype(int)
        base = {
            "split": split,
            "company": np.array([f"{split}-{number}" for number in range(size)], dtype=object),
            "institution": np.array(NAMES, dtype=object)[rng.integers(len(NAMES), size=size)],
            "y": y,
            "stratum": 2015 + rng.integers(4, size=size),
            "amount": rng.lognormal(11, 1, size),
            "size": np.where(rng.random(size) < 0.5, "small", "micro"),
            "sector": np.where(rng.random(size) < 0.5, "retail", "wholesale"),
        }

        def add(
            arm: str,
            *,
            method: str,
            model: str,
            owner: str | None,
            seed: int,
            epsilon: float | None = None,
            base: dict[str, object] = base,
            truth: np.ndarray = truth,
        ) -> None:
            error = ERROR[arm] * (1.0 if epsilon is None else 1.5)
            p = 1 / (1 + np.exp(-truth - rng.normal(size=len(truth)) * error))
            key = {"arm": arm, "method": method, "model": model, "model_institution": owner, "left_out": None}
            noise = {"epsilon": np.nan if epsilon is None else epsilon, "noise": "none" if epsilon is None else "local"}
            parts.append(pd.DataFrame({**key, **noise, "seed": seed, **base, "p": p}))

        for seed in range(seeds):
            for epsilon in epsilons:
                for method in methods:
                    add("federated", method=method, model="lstm", owner=None, seed=seed, epsilon=epsilon)
                add("pooled", method="pooled", model="lstm", owner=None, seed=seed, epsilon=epsilon)
                for name in NAMES:
                    add("local", method="local", model="lstm", owner=name, seed=seed, epsilon=epsilon)
            for number, name in enumerate(NAMES):
                kind = ("logistic", "lightgbm")[(number + seed) % 2]
                add("best_alone", method="best_alone", model=kind, owner=name, seed=seed)
        for name in NAMES:
            add("incumbent", method="incumbent", model="incumbent", owner=name, seed=0)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="session")
def predictions() -> pd.DataFrame:
    return make_predictions()


@pytest.fixture(scope="session")
def make() -> Callable[..., pd.DataFrame]:
    return make_predictions


@pytest.fixture(scope="session")
def report(predictions: pd.DataFrame) -> dict[str, Any]:
    """A whole report of the study, with few draws."""
    rounds = [
        {
            "arm": "federated",
            "method": "fedavg",
            "epsilon": 3.0,
            "seed": seed,
            "round": number,
            "loss": 0.6 - number / 50,
        }
        | {"auc": 0.6 + number / 50 - seed / 100}
        for seed in range(3)
        for number in range(5)
    ]
    return build(
        predictions,
        study="quickstart",
        dataset="economy",
        config_sha256="c" * 64,
        git_sha="d" * 40,
        machine={"cores": 2},
        seeds=[0, 1, 2],
        timing={"start_seconds": 0.5, "round_seconds_median": 0.05, "rounds": 5, "clients": 5, "total_seconds": None},
        spent=[Spent("federated", 3.0, 2.97, 1e-5)],
        privacy=["The run spent epsilon 2.97; tuning on public data is not charged."],
        targets=[Target("gain over local", {"name": "federated - mean local", "epsilon": 3.0}, "low", above=0.0)],
        rounds=rounds,
        prevalence=Prevalence(train={"all": 0.25}),
        predictions_sha256="e" * 64,
        draws=200,
    )
