"""`fedcredit model calibrate --counts`: evaluations of institutions give PDs, noised ones nearly the same."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.errors import ModelError, TableError
from fedcredit.evaluation.grid import GRID, ScoreGrid
from fedcredit.evaluation.noised import coarse
from fedcredit.evaluation.wide_bins import MIDDLES, WideBins
from fedcredit.federation.counting import Question
from fedcredit.federation.evaluate import Evaluated
from fedcredit.models import bundle as bundles
from fedcredit.models.calibrated import Temperature
from fedcredit.privacy.counted import solve_release
from server.evaluated import as_facts
from server.outcomes import Outcomes, read_counts
from tests.server.test_calibrate_cli import call, made_bundle, refused, rows

COARSE = Question(bins=16, is_coarse=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made_bundle(tmp_path / "model")


@pytest.fixture
def held(tmp_path: Path) -> Path:
    rows().to_csv(tmp_path / "held.csv", index=False)
    return tmp_path / "held.csv"


def counts(n: int = 4000, *, seed: int = 0) -> NDArray[np.int64]:
    frame = rows(n, seed=seed)
    return GRID.count(frame["p"], frame["y"])


def noised(table: NDArray[np.int64], *, seed: int = 0) -> Evaluated:
    """As three institutions release it at epsilon 2, each with its own noise."""
    scale = solve_release(2.0, delta=1e-5, evaluations=1).deviation_of_sum(3)
    noise = np.random.default_rng(seed).normal(0, scale, (1, 2, 16)).round().astype(np.int64)
    return Evaluated(COARSE, coarse(table)[None] + noise, ("a", "b", "c"), (), {}, (), 2.0, 1e-5, scale)


def kept(path: Path, *found: Evaluated, is_result: bool = False) -> Path:
    facts: Any = [as_facts(one) for one in found]
    path.write_text(json.dumps({"members": [], "evaluations": facts} if is_result else facts))
    return path


def fitted(bundle: Path) -> Temperature:
    (step,) = bundles.read(bundle).calibration
    assert isinstance(step, Temperature)
    return step


@pytest.mark.parametrize("is_result", [False, True])
def test_exact_evaluation_gives_the_bundle_that_the_rows_give(
    is_result: bool,
    folder: Path,
    held: Path,
    tmp_path: Path,
) -> None:
    parts = np.stack([counts(2500, seed=1), counts() - counts(), counts(1500, seed=2)])
    by_size = Evaluated(Question(column="size", segments=("small", "tiny")), parts, ("a",), small=("tiny",))
    every = Evaluated(Question(), counts()[None], ("a",))
    path = kept(tmp_path / "e.json", by_size, every, is_result=is_result)
    call("calibrate", folder, "--counts", path, "--out", tmp_path / "a", "--no-register")
    call("calibrate", folder, "--predictions", held, "--out", tmp_path / "b", "--no-register")
    assert bundles.read(tmp_path / "a").sha256 == bundles.read(tmp_path / "b").sha256, "the last, of the model's output"
    words = ("--out", tmp_path / "c", "--no-register", "--json")
    first = call("calibrate", folder, "--counts", path, "--evaluation", "1", *words)
    assert json.loads(first.stdout)["companies"] == 4000, "all segments together"
    assert "too few rows of a class: tiny" in first.stderr
    assert fitted(tmp_path / "c") != fitted(tmp_path / "a")


def test_noised_evaluation_is_fitted_and_its_epsilon_is_told(folder: Path, tmp_path: Path) -> None:
    path = kept(tmp_path / "e.json", noised(counts()))
    done = call("calibrate", folder, "--counts", path, "--out", tmp_path / "new", "--no-register", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["epsilon_metrics"] == 2.0
    assert "epsilon 2 of each company" in done.stderr
    assert "about " in done.stderr
    assert fitted(tmp_path / "new").temperature == pytest.approx(0.5, rel=0.15)


def test_narrow_bins_that_are_noised_are_added_up_before_they_are_tidied(tmp_path: Path) -> None:
    one = replace(noised(counts()), question=Question(), counts=counts()[None] + np.tile([-3, 3], 256))
    found = read_counts(kept(tmp_path / "e.json", one))
    assert isinstance(found.grid, WideBins)
    np.testing.assert_array_equal(found.counts[:, 1:-1], coarse(counts())[:, 1:-1])


def test_noised_counts_on_few_equal_bins_stay_there(tmp_path: Path) -> None:
    table = ScoreGrid(bins=8).count(rows()["p"], rows()["y"])[None] - 1
    one = replace(noised(counts()), question=Question(bins=8), counts=table)
    found = read_counts(kept(tmp_path / "e.json", one))
    assert found.grid == ScoreGrid(bins=8)
    assert found.counts.min() == 0
    assert found.counts.sum() == pytest.approx(table.sum())


def broken(**changes: Any) -> str:
    return json.dumps([{**as_facts(Evaluated(COARSE, coarse(counts())[None], ("a",))), **changes}])


TABLE = coarse(counts())[None].tolist()
HOSTILE = {
    "[]": "no evaluations",
    '{"evaluations": []}': "no evaluations",
    '{"evaluations": {}}': "no evaluations",
    '{"evaluations": "x"}': "no evaluations",
    "[[]]": "another form",
    "[7]": "another form",
    "[null]": "another form",
    "[" * 100_000: "another form",
    json.dumps([{}] * 101): "no evaluations",
    broken(counts=[TABLE[0], TABLE[0]]): "another form",
    broken(counts=TABLE[0]): "another form",
    broken(counts=[[TABLE[0][0], TABLE[0][1][:-1]]]): "another form",
    broken(counts=[[[float("nan")] * 16] * 2]): "another form",
    broken(counts=[[[0.5] * 16] * 2]): "another form",
    broken(counts=[[["1"] * 16] * 2]): "another form",
    broken(counts=[[[2**63] * 16] * 2]): "another form",
    broken(counts=[[[2**50] * 16] * 2]): "no federation has",
    broken(counts=[[[-1] + [50] * 15] * 2]): "exact counts below 0",
    broken(epsilon_metrics=float("nan")): "no number",
    broken(epsilon_metrics=2.0, deviation=float("inf")): "no number",
    broken(deviation=-1.0): "no number",
    broken(deviation="x"): "another form",
    broken(question={"schema": 9}): "another form",
    broken(question={**as_facts(noised(counts()))["question"], "bins": 1 << 30}): "another form",
    broken(quarantined=[]): "another form",
    broken(of="pd"): "calibrate on counts of the model's own output",
    broken(of=["x" * 10_000]): "counts of",
}


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_evaluation_of_another_form_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(content)
    with pytest.raises(TableError, match=HOSTILE[content]) as fault:
        read_counts(tmp_path / "e.json")
    assert "e.json" in str(fault.value)
    assert len(str(fault.value)) < 400


def test_evaluation_that_is_not_there_is_refused(folder: Path, held: Path, tmp_path: Path) -> None:
    path = kept(tmp_path / "e.json", noised(counts()))
    for number in (0, 2):
        with pytest.raises(TableError, match="expected 1 to 1"):
            read_counts(path, evaluation=number)
    words = ("--out", tmp_path / "new", "--no-register", "--evaluation", "1")
    assert "no --counts" in refused("calibrate", folder, "--predictions", held, *words)
    (tmp_path / "c.json").write_text(json.dumps(dict(zip(("good", "bad"), counts().tolist(), strict=True))))
    assert "counts of no evaluation" in refused("calibrate", folder, "--counts", tmp_path / "c.json", *words)


def test_noise_alone_is_refused_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    path = kept(tmp_path / "e.json", noised(counts(2)))
    fault = call("calibrate", folder, "--counts", path, "--out", tmp_path / "new", "--no-register").exception
    assert isinstance(fault, ModelError)
    assert not (tmp_path / "new").exists()


def test_portfolio_is_counted_on_its_own_grid(folder: Path, tmp_path: Path) -> None:
    rows(1000, seed=5)[["p"]].to_csv(tmp_path / "portfolio.csv", index=False)
    path = kept(tmp_path / "e.json", noised(counts()))
    more = ("--portfolio", tmp_path / "portfolio.csv", "--long-run-rate", "0.02", "--no-register", "--json")
    done = call("calibrate", folder, "--counts", path, "--out", tmp_path / "new", *more)
    low, chosen, high = json.loads(done.stdout)["rates"]
    assert [one["rate"] for one in (low, chosen, high)] == pytest.approx([0.01, 0.02, 0.03])
    assert [one["mean_pd"] for one in (low, chosen, high)] == pytest.approx([0.01, 0.02, 0.03], rel=1e-6)
    assert (chosen["moved"], low["moved"] > high["moved"] > 0) == (0.0, True)


def test_rates_beside_the_chosen_one_are_printed(folder: Path, held: Path, tmp_path: Path) -> None:
    words = ("--predictions", held, "--no-register")
    plain = call("calibrate", folder, *words, "--out", tmp_path / "a").stdout.splitlines()
    assert len(plain) == 2, "no rate was chosen"
    lines = call("calibrate", folder, *words, "--long-run-rate", "0.02", "--out", tmp_path / "b").stdout.splitlines()
    assert lines[1].startswith("rate      mean PD")
    assert [line.split()[0] for line in lines[2:5]] == ["0.0100", "0.0200", "0.0300"]
    assert lines[3].split()[2] == "0.0%"
    high = call("calibrate", folder, *words, "--long-run-rate", "0.9", "--out", tmp_path / "c").stdout.splitlines()
    assert [line.split()[0] for line in high[2:-1]] == ["0.4500", "0.9000"]


def test_exact_wide_bins_have_their_own_log_odds(tmp_path: Path) -> None:
    found: Outcomes = read_counts(kept(tmp_path / "e.json", Evaluated(COARSE, coarse(counts())[None], ("a",))))
    assert isinstance(found.grid, WideBins)
    assert found.epsilon is None
    assert np.abs(found.grid.log_odds - MIDDLES)[1:-1].max() <= 0.125
