"""Each indicator, computed by the dictionary's formula from the raw tables, gets worse with the true hazard."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from fedcredit.data.hub.compute import compute
from fedcredit.data.indicators import indicators
from fedcredit.data.sources import sources
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.write import write

pytestmark = pytest.mark.slow
LAST = pd.Timestamp("2025-12-31")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(WorldSettings(companies=6000), tmp_path_factory.mktemp("directions") / "economy")


@pytest.fixture(scope="module")
def truth(folder: Path) -> pd.DataFrame:
    frame = pd.read_parquet(folder / "truth" / "hazard.parquet").astype({"company": str})
    return frame.assign(month=pd.to_datetime(frame["month"]))


@pytest.fixture(scope="module")
def table(folder: Path, truth: pd.DataFrame) -> pd.DataFrame:
    """The indicators as of a month after the last one, with the hazards of November as last month's scores."""
    before = truth[truth["month"] == LAST - pd.offsets.MonthEnd(1)]
    scores = before[["company", "hazard"]].assign(period=LAST.date())  # noqa: F841 (DuckDB reads it by its name)
    with DuckStore(folder.parent / "economy.duckdb") as store:
        for source in sources():
            store.append(source.table, pq.read_table(folder / "raw" / f"{source.table}.parquet"))
        store.connection.execute("CREATE SCHEMA IF NOT EXISTS derived")
        store.connection.execute(
            "CREATE OR REPLACE TABLE derived.scores AS"
            " SELECT code AS firm, period, 1 - pow(1 - hazard, 12) AS pd FROM scores JOIN companies USING (company)"
        )
        compute(store.connection, as_of=datetime(2026, 1, 31))
        found = store.connection.execute(
            "SELECT company, indicators_now.* FROM indicators_now JOIN companies ON code = firm"
        ).df()
    now = truth[truth["month"] == LAST].set_index("company")["hazard"]
    return found.set_index("company").join(now, how="inner")


@pytest.mark.parametrize("indicator", indicators(), ids=lambda indicator: indicator.id)
def test_the_indicator_follows_the_hazard_as_the_dictionary_says(table: pd.DataFrame, indicator: object) -> None:
    rows = table[[indicator.id, "hazard"]].astype(float).dropna()
    known = len(rows) / len(table)
    assert known > (0.15 if indicator.id == "rd_intensity" else 0.6)  # few companies file research
    if indicator.direction != "inner":
        sign = -1 if indicator.direction == "up" else 1
        assert sign * spearmanr(rows[indicator.id], rows["hazard"]).statistic > 0.02
    assert np.ptp(rows[indicator.id]) > 0
