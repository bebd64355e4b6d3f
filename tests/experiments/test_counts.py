"""A study whose settings ask for an evaluation has the counts of each federated model beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.counts import EVALUATIONS
from experiments.study import load, run
from server.evaluated import from_facts

SMALL = [
    "arms=[federated]",
    "seeds=[0]",
    "privacy.epsilons=[null]",
    "data.economy.companies=1500",
    "data.economy.months=6",
    "model=logistic",
    "recipe.rounds=1",
    "tracking.mlflow=false",
    "evaluation.draws=50",
]


@pytest.mark.slow
@pytest.mark.parametrize("epsilon", ["null", "2.0"])
def test_study_keeps_the_counts_that_its_institutions_gave(epsilon: str, tmp_path: Path) -> None:
    asked = "{evaluations: 1, epsilon: %s, bins: 16, is_coarse: true}" % epsilon  # noqa: UP031 - braces of YAML
    settings = load("quickstart", [*SMALL, f"runs={tmp_path / 'runs'}", f"+evaluation.counts={asked}"])
    run(settings)
    kept = list(tmp_path.rglob(EVALUATIONS))
    assert kept
    (one,) = [from_facts(facts) for facts in json.loads(kept[0].read_text())]
    assert one.counts.shape == (1, 2, 16)
    assert one.counts.sum() > 100
    assert (one.epsilon_metrics is None) == (epsilon == "null")
