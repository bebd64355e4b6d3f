"""A file in another unit is refused with the factor, in every column that has a unit; single rows are set aside."""

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd
import pytest

from fedcredit.data.hub.check import check_folder
from fedcredit.data.sources import sources
from fedcredit.data.worlds.settings import WorldSettings
from fedcredit.data.worlds.write import write
from fedcredit.errors import TableError

NOW = datetime.datetime(2027, 6, 1)
WITH_UNIT = [
    (one.table, field.name)
    for one in sources()
    for field in one.columns
    if field.usual is not None and field.type == "number"
]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = WorldSettings(companies=200, months=15, regions=1, banks=2, seed=9)
    return write(settings, tmp_path_factory.mktemp("units") / "economy") / "raw"


def in_another_unit(folder: Path, rows: pd.DataFrame, table: str, *, said: str = "") -> str:
    """What a check of the rows says: the refusal's text, or how many rows are faulty."""
    rows.to_parquet(folder / f"{table}.parquet")
    if said:
        (folder / "sources.map.yaml").write_text(said)
    try:
        report = check_folder(folder, now=NOW)
    except TableError as fault:
        return f"{fault}"
    return f"{report.tables[0].bad} faulty"


@pytest.mark.parametrize("factor", [1 / 10_000, 1 / 100, 100, 10_000])
@pytest.mark.parametrize(("table", "column"), WITH_UNIT)
def test_a_column_in_another_unit_is_refused_with_the_factor(
    raw: Path, tmp_path: Path, table: str, column: str, factor: float
) -> None:
    rows = pd.read_parquet(raw / f"{table}.parquet")
    found = in_another_unit(tmp_path, rows.assign(**{column: rows[column] * factor}), table)
    times = f"{round(max(factor, 1 / factor)):,} times too {'large' if factor > 1 else 'small'}"
    assert times in found
    assert f"tables: {table}: units: {{{column}: {1 / factor:g}}}" in found


def test_yuan_and_fen_are_told_apart_and_who_names_the_unit_is_believed(raw: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(raw / "bank.parquet")
    fen = rows.assign(inflow_cny=rows["inflow_cny"] * 100)
    assert "looks like 分" in in_another_unit(tmp_path, fen, "bank")
    said = "tables: {bank: {units: {inflow_cny: %s}}}"
    assert in_another_unit(tmp_path, fen, "bank", said=said % 0.01) == "0 faulty"
    assert in_another_unit(tmp_path, fen, "bank", said=said % 1) == "0 faulty"
    assert "10,000 times" in in_another_unit(tmp_path, fen, "bank", said=said % 100)


def test_few_companies_may_be_large_ones(raw: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(raw / "power.parquet").astype({"company": str})
    few = rows[rows["company"].isin(rows["company"].unique()[:25])]
    assert in_another_unit(tmp_path, few.assign(kwh=few["kwh"] * 100), "power") == "0 faulty"
    assert "10,000 times" in in_another_unit(tmp_path, few.assign(kwh=few["kwh"] * 10_000), "power")


@pytest.mark.parametrize("factor", [1 / 100, 100])
@pytest.mark.parametrize(("table", "column"), [(o.table, f.name) for o in sources() for f in o.columns if f.steady])
def test_a_row_in_another_unit_is_set_aside_where_a_company_keeps_its_size(
    raw: Path, tmp_path: Path, table: str, column: str, factor: float
) -> None:
    rows = pd.read_parquet(raw / f"{table}.parquet").drop_duplicates(["company", "valid_at"], ignore_index=True)
    counts = rows["company"].map(rows["company"].value_counts()).astype(int)
    first = rows["company"].map(rows.groupby("company", observed=True)["valid_at"].min())
    last = rows["company"].map(rows.groupby("company", observed=True)["valid_at"].max())
    inner = rows[(counts >= 5) & (rows["valid_at"] > first) & (rows["valid_at"] < last) & (rows[column] > 0)]
    at = inner.index[len(inner) // 2]
    values = rows[column].astype(float)
    values[at] *= factor
    found = in_another_unit(tmp_path, rows.assign(**{column: values}), table)
    assert found == "1 faulty"
