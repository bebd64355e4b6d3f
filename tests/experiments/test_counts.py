"""A study whose settings ask for an evaluation has the counts of each federated model beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.counts import EVALUATIONS
from experiments.study import load, run
from fedcredit.models import bundle as bundles
from fedcredit.models.calibrated import Temperature, calibrate
from server.cli import model
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


@pytest.mark.slow
def test_a_study_counts_by_the_regions_of_the_economy(tmp_path: Path) -> None:
    asked = "{evaluations: 1, column: region, segments: [region-01], bins: 16}"
    more = [
        f"runs={tmp_path / 'runs'}",
        "data.economy.companies=12000",
        "data.economy.regions=2",
        "evaluation.splits=[validation,test]",
    ]
    run(load("quickstart", [*SMALL, *more, f"+evaluation.counts={asked}"]))
    (kept,) = tmp_path.rglob(EVALUATIONS)
    (one,) = [from_facts(facts) for facts in json.loads(kept.read_text())]
    rows = pd.read_parquet(kept.parents[2] / "predictions.parquet").query("split == 'validation'")
    for name, counts in zip(("region-01", "region-02"), one.counts, strict=True):
        part = rows[rows["region"] == name]
        assert counts.sum(axis=1).tolist() == [(part["y"] == 0).sum(), (part["y"] == 1).sum()]


def calibrated(run_folder: Path, *words: str, out: Path) -> bundles.Bundle:
    said = ["calibrate", str(run_folder / "model"), *words, "--out", str(out), "--no-register"]
    done = CliRunner().invoke(model, said)
    assert done.exception is None, done.exception
    return bundles.read(out)


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["{evaluations: 1}", "{evaluations: 1, epsilon: 8, bins: 16, is_coarse: true}"])
def test_counts_of_a_study_calibrate_its_model_as_its_validation_rows_do(asked: str, tmp_path: Path) -> None:
    more = ["evaluation.splits=[validation,test]", f"runs={tmp_path / 'runs'}", "data.economy.companies=12000"]
    run(load("quickstart", [*SMALL, *more, f"+evaluation.counts={asked}"]))
    (kept,) = tmp_path.rglob(EVALUATIONS)
    folder = kept.parents[2]
    rows = pd.read_parquet(folder / "predictions.parquet").query("split == 'validation'")
    from_rows = calibrated(folder, "--predictions", str(folder / "predictions.parquet"), out=tmp_path / "rows")
    from_counts = calibrated(folder, "--counts", str(kept), out=tmp_path / "counts")
    if "epsilon" not in asked:
        assert from_counts.sha256 == from_rows.sha256
    (one,), (other,) = from_counts.calibration, from_rows.calibration
    assert isinstance(one, Temperature)
    assert isinstance(other, Temperature)
    assert one.temperature == pytest.approx(other.temperature, rel=0.15)
    expected = calibrate(rows["p"], from_counts.calibration).sum()
    assert rows["y"].sum() / expected == pytest.approx(1, abs=0.1)
