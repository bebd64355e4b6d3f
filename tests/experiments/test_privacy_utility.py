"""The tables of the privacy_utility page."""

from __future__ import annotations

from typing import Any

from experiments.privacy_utility.table import tables
from experiments.units import units_of
from fedcredit.config import load


def row(arm: str, epsilon: float | None, noise: str, auc: float) -> dict[str, Any]:
    figures = {"auc": auc, "auc_low": auc - 0.1, "auc_high": auc + 0.1, "slope": 1.5, "ece": 0.02}
    place = {"scored_on": "all", "split": "test", "model": "lstm"}
    return {"arm": arm, "epsilon": epsilon, "noise": noise, **place, **figures}


def test_the_plain_model_stands_in_the_rows_of_both_noises() -> None:
    rows = [
        row("federated", None, "none", 0.8),
        row("federated", 1.0, "local", 0.6),
        row("federated", 1.0, "distributed", 0.7),
        row("pooled", 1.0, "central", 0.75),
        row("local", 1.0, "local", 0.5),
    ]
    auc, calibration = tables({"splits": ["test"], "rows": rows}).split("\n\n")
    assert auc.splitlines() == [
        "| model | noise | no privacy | eps 1 |",
        "|---|---|---|---|",
        "| lstm | local | .800 [.700, .900] | .600 [.500, .700] |",
        "| lstm | distributed | .800 [.700, .900] | .700 [.600, .800] |",
        "| lstm | central |  | .750 [.650, .850] |",
    ]
    assert "| lstm | central |  | 1.50 / 0.020 |" in calibration


def test_without_privacy_a_kind_of_model_is_federated_once_and_under_it_once_a_noise() -> None:
    settings = load("privacy_utility_smesd", ["seeds=[0]", "privacy.epsilons=[null,2]"])
    methods = {
        epsilon: [
            unit.method for unit in units_of(settings, ["a", "b"], has_incumbent=False) if unit.epsilon == epsilon
        ]
        for epsilon in (None, 2.0)
    }
    pooled = ["pooled_lstm", "pooled_mlp", "pooled_logistic"]
    assert methods[None] == ["lstm_local", "mlp_local", "logistic_local", *pooled]
    assert methods[2.0] == [*settings.methods, *pooled]
    for method in settings.methods:  # what is compared differs in its noise and in nothing else
        recipe = settings.recipe_for("federated", is_private=True, method=method)
        assert recipe.noise == method.partition("_")[2]
        assert (recipe.model or settings.model).kind == method.partition("_")[0]
