"""The realism page's figures come from the same formulas on both sides."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.realism.columns import AMERICAN_ITEMS, RATIOS, ratios, synthetic
from experiments.realism.compare import compare, margin, ranks
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.write import write

needs_mirror = pytest.mark.skipif("FEDCREDIT_DATA_MIRROR" not in os.environ, reason="no mirror of the public sets")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(WorldSettings(companies=1500, months=24, regions=3), tmp_path_factory.mktemp("realism") / "economy")


def test_a_ratio_over_nothing_is_missing() -> None:
    items = pd.DataFrame({name: [1.0, 2.0] for name in AMERICAN_ITEMS}).assign(revenue=[0.0, 4.0])
    assert ratios(items)["net_margin"].isna().tolist() == [True, False]
    assert ratios(items)["ar_turn_days"].tolist()[1] == 365 / 2


def test_equal_columns_are_no_distance_apart() -> None:
    values = pd.Series(np.arange(100.0))
    assert margin(values, values)["ks"] == 0
    assert margin(values, values + 50)["ks"] == 0.5


def test_ranks_keep_the_order_and_forget_the_unit() -> None:
    frame = pd.DataFrame({name: [3.0, np.nan, 1.0] for name in RATIOS})
    assert np.array_equal(ranks(frame), ranks(frame * 1000))
    assert ranks(frame)[0, 0] > 0 == ranks(frame)[1, 0] > ranks(frame)[2, 0]


def test_the_synthetic_year_counts_each_company_that_lives_once(folder: Path) -> None:
    frame = synthetic(folder, "2024-12-31")
    truth = pd.read_parquet(folder / "truth" / "hazard.parquet")
    alive = (pd.to_datetime(truth["month"]) == "2024-12-31").sum()
    assert 0.75 * alive < len(frame) <= alive
    assert 0.02 < frame["y"].mean() < 0.12
    assert frame["debt_ratio"].between(0, 3).all()
    assert frame["inv_turn_days"].isna().mean() == pytest.approx(0.23, abs=0.06)


@needs_mirror
@pytest.mark.slow
def test_all_figures_are_there(folder: Path) -> None:
    found = compare(folder)
    assert len(found["margins"]) == len(RATIOS) + 3
    assert all(0 <= row["ks"] <= 1 for row in found["margins"].values())
    assert {(row["train"], row["test"]) for row in found["transfer"]} == {
        (one, other) for one in ("synthetic", "american_w4") for other in ("synthetic", "american_w4")
    }
