"""American bankruptcy: the official split, ratios worked out by hand, and the track without market value."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from fedcredit.data.datasets import load
from fedcredit.data.features import make_windows
from fedcredit.data.fetch import mirror_folder
from fedcredit.data.public import american
from fedcredit.errors import TableError

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "data"
needs_mirror = pytest.mark.skipif(
    mirror_folder() is None and os.environ.get("FEDCREDIT_CI") != "1",
    reason="no mirror of the public data: set FEDCREDIT_DATA_MIRROR",
)


@pytest.fixture
def small(tmp_path: Path) -> dict[str, Path]:
    """One company a split with four years each; every amount is 1 but those of the ratios under test."""
    files = {}
    for cik, split in enumerate(("train", "validation", "test"), start=7):
        amounts = dict.fromkeys(american.AMOUNTS, 1.0)
        amounts |= {"current_assets": 30.0, "total_current_liabilities": 10.0, "inventory": 5.0, "total_assets": 100.0}
        amounts |= {"net_income": -4.0, "depreciation_and_amortization": 2.0, "total_liabilities": 0.0}
        rows = pd.DataFrame([amounts | {"fyear": float(year)} for year in range(2010, 2014)])
        rows = rows.assign(cik=cik, company_name="ACME", tic="AC", status_label="failed", status=1)
        path = tmp_path / f"4_{split}_for_LSTM.csv"
        rows.to_csv(path, index=False)
        files[path.name] = path
    return files


def test_ratios_are_those_worked_out_by_hand(small: dict[str, Path]) -> None:
    row = american.read("american_w4", small).frame.iloc[0]

    assert row["working_capital_to_assets"] == 0.2
    assert row["current_ratio"] == 3.0
    assert row["quick_ratio"] == 2.5
    assert row["net_income_to_assets"] == -0.04
    assert row["cash_flow_to_liabilities"] == -3.0  # -2 / 0 is the lower bound
    assert row["market_value_to_liabilities"] == 5.0  # 1 / 0 is the upper bound


def test_there_are_eighteen_amounts_and_nineteen_ratios(small: dict[str, Path]) -> None:
    schema = american.read("american_w4", small).schema

    assert [column.kind for column in schema.columns] == ["amount"] * 18 + ["ratio"] * 19
    assert schema.stratum == schema.period == "fyear"
    assert "fyear" not in schema.features


def test_the_no_market_track_has_no_market_value(small: dict[str, Path]) -> None:
    table = american.read("american_w4", small, columns=american.NO_MARKET)

    assert len(table.schema.features) == 35
    assert not [name for name in table.frame.columns if "market" in name]


def test_the_study_without_market_value_names_the_columns_of_the_track() -> None:
    settings = yaml.safe_load((CONFIGS / "american_w4_no_market.yaml").read_text(encoding="utf-8"))

    assert tuple(settings["columns"]) == american.NO_MARKET


def test_an_unknown_column_is_answered_with_the_nearest(small: dict[str, Path]) -> None:
    with pytest.raises(TableError, match="did you mean 'current_ratio'"):
        american.read("american_w4", small, columns=["curent_ratio"])


@needs_mirror
@pytest.mark.parametrize(
    ("name", "length", "companies", "failed"),
    [("american_w4", 4, (2454, 545, 2920), (327, 72, 96)), ("american_w3", 3, (2913, 615, 3107), (354, 74, 101))],
)
def test_the_official_split_has_the_published_counts(
    name: str, length: int, companies: tuple[int, ...], failed: tuple[int, ...]
) -> None:
    windows = make_windows(load(name), length=length)
    parts = [windows.part(split) for split in ("train", "validation", "test")]

    assert tuple(len(part) for part in parts) == companies
    assert tuple(int(part.y.sum()) for part in parts) == failed
    assert len(set(windows.company.tolist())) == len(windows)
    assert windows.x.shape[1:] == (length, 38)
    assert np.abs(windows.x).max() <= 5.0


@needs_mirror
def test_splits_follow_the_calendar_of_the_last_statement() -> None:
    windows = make_windows(load("american_w4"), length=4)
    year = windows.about["stratum"].to_numpy()

    assert year[windows.split == "train"].max() == 2011
    assert (year[windows.split == "test"].min(), year.max()) == (2015, 2018)
