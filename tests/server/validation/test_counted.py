"""Counts that institutions gave become figures of rows that never left them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fedcredit.errors import RunError
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.metrics import auc
from fedcredit.evaluation.noised import coarse
from fedcredit.federation.counting import Question
from fedcredit.federation.evaluate import Evaluated
from server.evaluated import as_facts
from server.validation.counted import counted_section, read_counted


def scored(rows: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    z = rng.normal(-2, 1, rows)
    p = 1 / (1 + np.exp(-z))
    return p, (rng.random(rows) < p).astype(int), rng.integers(2, size=rows)


def kept(path: Path, one: Evaluated) -> Path:
    path.write_text(json.dumps({"members": [], "evaluations": [as_facts(one)]}))
    return path


def test_counts_give_the_figures_of_all_rows_and_of_each_segment(tmp_path: Path) -> None:
    p, y, size = scored()
    counts = np.stack([GRID.count(p[size == k], y[size == k]) for k in (0, 1)])
    one = Evaluated(Question(column="size", segments=("small",)), counts, ("a", "b", "c"))
    section = counted_section("m", read_counted(kept(tmp_path / "result.json", one)))
    rows = {row[1]: row for row in section.grids[0].rows}
    assert rows["all"][2] == "3,000"
    assert float(rows["all"][3].split()[0]) == pytest.approx(auc(y, p), abs=0.001)
    assert float(rows["size: small"][3].split()[0]) == pytest.approx(auc(y[size == 0], p[size == 0]), abs=0.001)
    assert "3 institutions" in section.says[0]


def test_noised_counts_give_an_auc_with_the_noise_in_its_interval_and_their_epsilon(tmp_path: Path) -> None:
    p, y, _ = scored()
    noise = np.random.default_rng(1).normal(0, 3, (1, 2, 16)).round().astype(np.int64)
    one = Evaluated(
        Question(bins=16, is_coarse=True),
        coarse(GRID.count(p, y))[None] + noise,
        ("a",),
        epsilon_metrics=2.0,
        delta=1e-5,
        deviation=3.0,
    )
    section = counted_section("m", read_counted(kept(tmp_path / "result.json", one)))
    (row,) = section.grids[0].rows
    low, high = (float(end) for end in row[3].split("[")[1].rstrip("]").split(", "))
    assert low < auc(y, p) < high
    assert row[4:] == ("–", "–")
    assert "All evaluations of the study together spend at most epsilon 2.000" in section.says[0]


def test_small_segment_is_not_counted(tmp_path: Path) -> None:
    p, y, _ = scored()
    counts = np.stack([np.zeros_like(GRID.count(p, y)), GRID.count(p, y)])
    one = Evaluated(Question(column="size", segments=("tiny",)), counts, ("a",), small=("tiny",))
    section = counted_section("m", read_counted(kept(tmp_path / "result.json", one)))
    assert section.grids[0].rows[1] == ("validation", "size: tiny", "fewer than 10 of a class", "–", "–", "–")


@pytest.mark.parametrize(
    "text", ["{}", '{"evaluations": []}', '{"evaluations": [{}]}', '{"evaluations": [7]}', "[]", "x"]
)
def test_result_without_evaluations_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(RunError):
        read_counted(tmp_path / "result.json")
