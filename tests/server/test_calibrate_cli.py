"""`fedcredit model calibrate`: the same weights with PDs, from rows or from counts, or a refusal that helps."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import Result
from typer.testing import CliRunner

from fedcredit.data.schema import Column, Label, Schema
from fedcredit.errors import FedCreditError
from fedcredit.evaluation.grid import GRID
from fedcredit.models import bundle as bundles
from fedcredit.models.build import ModelSettings
from fedcredit.models.bundle import Bundle, PriorShift
from fedcredit.models.calibrated import Temperature, calibrate
from server.cli import model

SCHEMA = Schema((Column("debt", "raw"),), Label("bad", definition="90 dpd"), company="id", period="month")


def rows(n: int = 4000, *, seed: int = 0) -> pd.DataFrame:
    """Scores half as extreme as the truth."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1.5, 0.7, n)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * z))
    return pd.DataFrame({"p": 1 / (1 + np.exp(-z)), "y": y.astype(int)})


def made_bundle(folder: Path) -> Path:
    """A logistic model with a shift that was never fitted."""
    made = Bundle(
        study="quick",
        settings=ModelSettings("logistic"),
        time=1,
        inputs=("debt",),
        schema=SCHEMA,
        weights={"head.weight": torch.ones(1, 1), "head.bias": torch.zeros(1)},
        config_sha256="c" * 64,
        git_sha="abc",
        roster=("east",),
        calibration=(PriorShift(0.5, 0.2),),
    )
    bundles.write(folder, made)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made_bundle(tmp_path / "model")


@pytest.fixture
def held(tmp_path: Path) -> Path:
    rows().to_csv(tmp_path / "held.csv", index=False)
    return tmp_path / "held.csv"


def call(*words: object) -> Result:
    return CliRunner().invoke(model, [str(word) for word in words])


def refused(*words: object) -> str:
    fault = call(*words).exception
    assert isinstance(fault, FedCreditError)
    return str(fault)


def test_new_bundle_has_the_same_weights_and_scores_with_grades(folder: Path, held: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    done = call("calibrate", folder, "--predictions", held, "--out", new, "--no-register", "--json")
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    made = bundles.read(new)
    assert (said["model_version"], said["scale"], said["registered"]) == (made.version, "master19", None)
    assert (said["companies"], said["defaults"]) == (4000, int(rows()["y"].sum()))
    assert torch.equal(made.weights["head.weight"], bundles.read(folder).weights["head.weight"])
    (step,) = made.calibration
    assert isinstance(step, Temperature)
    assert step.temperature == pytest.approx(0.5, rel=0.1)
    (tmp_path / "t.csv").write_text("id,month,debt\na,2024-01,-2\n")
    header, line = call("score", new, tmp_path / "t.csv").stdout.splitlines()
    assert header == "company,period,pd,grade,model_version,coverage"
    p = calibrate([1 / (1 + np.exp(2))], [step])[0]
    assert line.split(",")[2:4] == [f"{p:.6g}", "BBB-"]


def test_scores_of_the_bundle_as_it_is_are_calibrated_after_its_steps(folder: Path, tmp_path: Path) -> None:
    frame = rows()
    frame["pd"] = PriorShift(0.5, 0.2).apply(frame.pop("p"))
    frame.to_parquet(tmp_path / "held.parquet")
    call("calibrate", folder, "--predictions", tmp_path / "held.parquet", "--out", tmp_path / "new", "--no-register")
    first, second = bundles.read(tmp_path / "new").calibration
    assert first == PriorShift(0.5, 0.2)
    assert isinstance(second, Temperature)


def test_counts_give_the_bundle_that_the_rows_give(folder: Path, held: Path, tmp_path: Path) -> None:
    good, bad = GRID.count(rows()["p"], rows()["y"])
    (tmp_path / "counts.json").write_text(json.dumps({"good": good.tolist(), "bad": bad.tolist(), "of": "p"}))
    for name, words in (("a", ("--counts", tmp_path / "counts.json")), ("b", ("--predictions", held))):
        call("calibrate", folder, *words, "--method", "beta", "--out", tmp_path / name, "--no-register")
    assert bundles.read(tmp_path / "a").sha256 == bundles.read(tmp_path / "b").sha256


def test_long_run_rate_shifts_and_a_portfolio_is_anchored(folder: Path, held: Path, tmp_path: Path) -> None:
    other = rows(1000, seed=5)[["p"]]
    other.to_csv(tmp_path / "portfolio.csv", index=False)
    more = ("--long-run-rate", "0.02", "--no-register")
    call("calibrate", folder, "--predictions", held, "--out", tmp_path / "shifted", *more)
    assert bundles.read(tmp_path / "shifted").calibration[1] == PriorShift(float(rows()["y"].mean()), 0.02)
    more = (*more, "--portfolio", tmp_path / "portfolio.csv")
    call("calibrate", folder, "--predictions", held, "--out", tmp_path / "anchored", *more)
    pds = calibrate(other["p"], bundles.read(tmp_path / "anchored").calibration)
    assert pds.mean() == pytest.approx(0.02, rel=0.01)


def test_portfolio_without_a_rate_gives_a_label_free_estimate(folder: Path, held: Path, tmp_path: Path) -> None:
    rows(8000, seed=5)[["p"]].to_csv(tmp_path / "portfolio.csv", index=False)
    more = ("--portfolio", tmp_path / "portfolio.csv", "--no-register")
    done = call("calibrate", folder, "--predictions", held, "--out", tmp_path / "new", *more)
    assert "label-free rate" in done.stderr
    shift = bundles.read(tmp_path / "new").calibration[1]
    assert isinstance(shift, PriorShift)
    assert shift.to_rate == pytest.approx(float(rows()["y"].mean()), rel=0.3)


@pytest.mark.slow
def test_new_version_is_registered_after_the_one_it_is_made_of(
    folder: Path, held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs = tmp_path / "runs"
    done = call("calibrate", folder, "--predictions", held, "--out", tmp_path / "one", "--runs", runs)
    assert done.stdout.splitlines()[-1] == "models:/fedcredit-quick/1"
    words = ("--predictions", held, "--method", "isotonic", "--out", tmp_path / "two", "--runs", runs)
    done = call("calibrate", "models:/fedcredit-quick/1", *words)
    assert done.stdout.splitlines()[-1] == "models:/fedcredit-quick/2"


def test_validation_rows_of_one_model_are_taken_from_a_run_s_predictions(folder: Path, tmp_path: Path) -> None:
    frame = rows().assign(arm="federated", split="validation")
    noise = rows(500, seed=1).assign(arm="federated", split="test")
    pd.concat([frame, noise]).to_parquet(tmp_path / "p.parquet")
    words = ("--out", tmp_path / "new", "--no-register", "--json")
    done = call("calibrate", folder, "--predictions", tmp_path / "p.parquet", *words)
    assert json.loads(done.stdout)["companies"] == 4000
    pd.concat([frame, frame.assign(arm="local")]).to_parquet(tmp_path / "two.parquet")
    two = ("calibrate", folder, "--predictions", tmp_path / "two.parquet")
    assert "--where arm=federated or --where arm=local" in refused(*two, *words)
    assert "no row with 'pooled'" in refused(*two, "--where", "arm=pooled", *words)
    assert "COLUMN=VALUE" in refused(*two, "--where", "arm", *words)
    again = call(*two, "--where", "arm=local", "--out", tmp_path / "again", "--no-register", "--json")
    assert json.loads(again.stdout)["companies"] == 4000
    noise.to_parquet(tmp_path / "test.parquet")
    assert "no validation rows" in refused("calibrate", folder, "--predictions", tmp_path / "test.parquet", *words)


def test_what_cannot_be_fitted_to_is_refused_and_leaves_nothing(folder: Path, held: Path, tmp_path: Path) -> None:
    words = ("--out", tmp_path / "new", "--no-register")
    assert "neither" in refused("calibrate", folder, *words)
    assert "2 % is 0.02" in refused("calibrate", folder, "--predictions", held, "--long-run-rate", "2", *words)
    rows(30).to_csv(tmp_path / "few.csv", index=False)
    assert "10 or more" in refused("calibrate", folder, "--predictions", tmp_path / "few.csv", *words)
    rows().assign(y=2).to_csv(tmp_path / "y.csv", index=False)
    assert "0 for good" in refused("calibrate", folder, "--predictions", tmp_path / "y.csv", *words)
    rows().assign(p=-1.0).to_csv(tmp_path / "p.csv", index=False)
    assert "no probability" in refused("calibrate", folder, "--predictions", tmp_path / "p.csv", *words)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"good": [1], "bad": [1]}',
        '{"good": [1, -1], "bad": [1, 1], "bins": 2}',
        '{"good": [1, 1.5], "bad": [1, 1], "bins": 2}',
        '{"good": [1, true], "bad": [1, 1], "bins": 2}',
        '{"good": [1, 1], "bad": [1, 1], "bins": 2, "of": "x"}',
        '{"good": [1, 1], "bad": [1, 1], "bins": 2, "limit": "x"}',
        "[" * 100_000,
    ],
)
def test_counts_of_another_form_are_refused(folder: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "c.json").write_text(content)
    words = ("--counts", tmp_path / "c.json", "--out", tmp_path / "new", "--no-register")
    assert "c.json" in refused("calibrate", folder, *words)
