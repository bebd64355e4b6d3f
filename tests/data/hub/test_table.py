"""A hub's feature table loads as any other, has each month as it was known then, and says what it was made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fedcredit.data.features import make_windows
from fedcredit.data.hub.compute import compute
from fedcredit.data.hub.table import build_table
from fedcredit.data.identifiers import uscc
from fedcredit.data.indicators import dictionary_sha256, indicators
from fedcredit.data.schema import read_schema
from fedcredit.data.sources import sources, sources_sha256
from fedcredit.data.splits import split_by_company
from fedcredit.data.store.duck import DuckStore
from fedcredit.data.tables import read_table
from fedcredit.errors import TableError
from tests.data.hub.raw_rows import at_random, months, rows, store_of

AS_OF = datetime(2024, 12, 31, 23, 59, 59)
DEFAULTS, AT_TWO_BANKS, COMPANIES = 6, 4, 30
NAMES = uscc(990001, np.arange(COMPANIES))


def told() -> dict[str, pa.Table]:
    """Random rows of all sources; the bank's are in order: six defaults in 2025, four companies at two banks."""
    made = at_random(4, companies=COMPANIES, first=date(2023, 1, 1), count=36)
    facts = [
        {"company": company, "valid_at": day, "bank": bank, "loan_cny": 100, "inflow_cny": 10 + day.month}
        | {"days_past_due": 95 if number < DEFAULTS and day > date(2025, 5, 1) else 0}
        for number, company in enumerate(NAMES)
        for bank in (["bank-01", "bank-02"] if number >= COMPANIES - AT_TWO_BANKS else ["bank-01"])
        for day in months(date(2023, 1, 1), 36)
    ]
    return made | {"bank": rows("bank", *facts)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckStore]:
    with store_of(tmp_path_factory.mktemp("hub"), *told().items()) as opened:
        yield opened


@pytest.fixture(scope="module")
def built(store: DuckStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_table(store, tmp_path_factory.mktemp("table"), as_of=AS_OF, months=3)


def test_the_table_loads_and_makes_windows_for_a_model(built: Path) -> None:
    schema = read_schema(built.parent / "table.json")
    table = read_table(built, schema)
    assert len(table.frame) == 3 * COMPANIES
    assert table.frame["period"].unique().tolist() == ["2024-10", "2024-11", "2024-12"]
    windows = make_windows(table, length=3)
    assert windows.x.shape == (COMPANIES, 3, 2 * 28 + 1)  # each indicator with its missing flag, and `present`
    assert windows.y.sum() == DEFAULTS
    assert windows.split.tolist() == split_by_company(windows.company).tolist()


def test_each_month_has_what_was_known_at_its_end(store: DuckStore, built: Path) -> None:
    frame = pd.read_parquet(built).set_index(["period", "company"])
    for period, at in (("2024-11", datetime(2024, 11, 30, 23, 59, 59)), ("2024-12", AS_OF)):
        compute(store.connection, as_of=at)
        now = "SELECT * EXCLUDE (firm, code) FROM indicators_now JOIN companies ON code = firm"
        known = store.connection.execute(now).fetchdf().set_index("company").sort_index()
        month = frame.loc[period].sort_index()
        names = [one.id for one in indicators()]
        pd.testing.assert_frame_equal(month[names], known[names].astype("float32"), check_exact=True)


def test_a_company_has_one_label_in_all_its_rows_and_its_facts_beside(built: Path) -> None:
    frame = pd.read_parquet(built)
    by_company = frame.groupby("company")
    assert (by_company["default_12m"].nunique() == 1).all()
    assert set(frame.loc[frame["default_12m"] == 1, "company"]) == set(NAMES[:DEFAULTS])
    assert frame["institution"].str.fullmatch(r"region-\d\d").all()
    assert frame.loc[frame["company"] == NAMES[-1], "loan_amount_cny"].tolist() == [200.0] * 3
    assert set(frame["size_class"]) <= {"micro", "small", "medium"}


def test_a_company_at_two_banks_has_a_panel_at_each(store: DuckStore, tmp_path: Path) -> None:
    path = build_table(store, tmp_path, as_of=AS_OF, months=2, institution="bank")
    frame = pd.read_parquet(path)
    assert frame.groupby("institution")["company"].nunique().to_dict() == {
        "bank-01": COMPANIES,
        "bank-02": AT_TWO_BANKS,
    }
    assert (frame["loan_amount_cny"] == 100).all()
    registered = frame.groupby("company")["region"].unique()
    assert registered.map(len).eq(1).all()
    assert frame["region"].str.fullmatch(r"region-\d\d").all()
    assert read_schema(tmp_path / "table.json").region == "region"
    assert "this bank" in read_schema(tmp_path / "table.json").label.definition
    assert len(read_table(path, read_schema(tmp_path / "table.json")).frame) == 2 * (COMPANIES + AT_TWO_BANKS)


def test_the_lineage_says_what_the_table_was_made_of(store: DuckStore, built: Path) -> None:
    schema = read_schema(built.parent / "table.json")
    assert schema.dictionary_sha256 == dictionary_sha256()
    assert schema.lineage["sources_sha256"] == sources_sha256()
    assert all(len(schema.lineage[f"source:{one.table}"]) == 64 for one in sources())
    assert schema.lineage["as_of"] == "2024-12-31 23:59:59"
    told = {key: schema.lineage[f"outcomes:{key}"] for key in ("defaults", "performing", "in_default", "censored")}
    assert told == {"defaults": "6", "performing": "24", "in_default": "0", "censored": "0"}
    assert any(key.startswith("out_of_range:") for key in schema.lineage)
    assert all(column.nullable for column in schema.columns)  # any source may be missing at some institution


def test_equal_stores_give_equal_bytes(built: Path, tmp_path: Path) -> None:
    with store_of(tmp_path, *told().items()) as again:
        path = build_table(again, tmp_path, as_of=AS_OF, months=3)
    assert path.read_bytes() == built.read_bytes()
    assert (tmp_path / "table.json").read_bytes() == (built.parent / "table.json").read_bytes()


def test_a_table_to_score_has_no_label_and_other_names(store: DuckStore, tmp_path: Path) -> None:
    later = datetime(2025, 12, 15, 12)
    with pytest.raises(TableError, match="expected up to 2026-12-31"):
        build_table(store, tmp_path, as_of=later, months=1)
    assert not list(tmp_path.iterdir())
    path = build_table(store, tmp_path, as_of=later, months=2, has_outcome=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["features.json", "features.parquet"]
    names = pq.read_schema(path).names
    assert "default_12m" not in names
    assert (
        read_schema(tmp_path / "features.json").sha256
        == json.loads((tmp_path / "features.json").read_text())["schema_sha256"]
    )
    with pytest.raises(TableError, match="default_12m"):  # it cannot be trained on by mistake
        read_table(path, read_schema(tmp_path / "features.json"))


def test_a_bank_without_the_registry_is_an_institution_and_a_region_is_not(tmp_path: Path) -> None:
    own = {table: told()[table] for table in ("bank", "tax")}
    with store_of(tmp_path, *own.items()) as store:
        with pytest.raises(TableError, match="no company of 30 customers with a region"):
            build_table(store, tmp_path / "table", as_of=AS_OF, months=1)
        frame = pd.read_parquet(build_table(store, tmp_path / "table", as_of=AS_OF, months=1, institution="bank"))
    assert len(frame) == COMPANIES + AT_TWO_BANKS
    assert set(frame["industry"]) == set(frame["region"]) == {"unknown"}
    assert frame["power_yoy"].isna().all()
    assert frame["judicial_risk"].isna().all()  # no source: not even none


def test_a_store_without_customers_is_refused(tmp_path: Path) -> None:
    with DuckStore(tmp_path / "hub.duckdb") as store, pytest.raises(TableError, match="found no customer of a bank"):
        build_table(store, tmp_path, as_of=AS_OF, has_outcome=False)
