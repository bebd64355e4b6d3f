"""One small economy on disk for all tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.write import write

SMALL = WorldSettings(companies=600, months=24, regions=4, banks=3)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(SMALL, tmp_path_factory.mktemp("economy") / "small")


@pytest.fixture(scope="session")
def hazards(small: Path) -> pd.DataFrame:
    return pd.read_parquet(small / "truth" / "hazard.parquet").astype({"company": str})
