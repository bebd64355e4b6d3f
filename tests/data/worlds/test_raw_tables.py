"""Raw tables keep the contracts of sources.yaml, and agree with each other and with the truth."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from fedcredit.data.identifiers import is_uscc
from fedcredit.data.sources import Source, sources
from tests.data.worlds.conftest import SMALL


def table(folder: Path, name: str) -> pd.DataFrame:
    frame = pq.read_table(folder / "raw" / f"{name}.parquet").to_pandas()
    words = [column for column in frame if isinstance(frame[column].dtype, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(words, "object")).assign(valid_at=pd.to_datetime(frame["valid_at"]))


def newest(frame: pd.DataFrame, kind: Source) -> pd.DataFrame:
    return frame.sort_values("known_at").drop_duplicates(list(kind.key), keep="last")


@pytest.mark.parametrize("kind", sources(), ids=lambda kind: kind.table)
def test_every_cell_is_as_its_source_says(small: Path, kind: Source) -> None:
    frame = table(small, kind.table)
    assert len(frame) > 0
    assert list(frame) == [field.name for field in kind.fields]
    for field in kind.fields:
        cells = frame[field.name].dropna()
        assert field.nullable or len(cells) == len(frame), field.name
        if field.type == "company":
            assert is_uscc(cells.unique().tolist()).all()
        if field.type == "category":
            assert set(cells.unique()) <= set(field.levels)
        if field.lo is not None and field.hi is not None:
            assert cells.between(field.lo, field.hi).all(), field.name
        if field.type == "share":
            assert cells.between(0, 1).all()
        if field.usual:
            assert field.usual[0] < cells.median() < field.usual[1], field.name
    for rule in kind.rules:
        broken = duckdb.execute(f"SELECT count(*) FROM frame WHERE NOT ({rule.sql})").fetchone()  # noqa: S608
        assert broken == (0,), rule.reason


@pytest.mark.parametrize("kind", sources(), ids=lambda kind: kind.table)
def test_a_key_repeats_only_for_what_came_twice_or_was_corrected(small: Path, kind: Source) -> None:
    frame = table(small, kind.table)
    assert (frame["known_at"] > frame["valid_at"]).all()
    once = frame.drop_duplicates()
    again = once[once.duplicated(list(kind.key), keep=False)]
    assert len(again) <= max(0.03 * len(frame), 6)
    assert again.groupby(list(kind.key))["known_at"].nunique().gt(1).all()


def test_some_rows_are_late_some_come_twice_some_are_corrected(small: Path) -> None:
    power, kind = table(small, "power"), next(s for s in sources() if s.table == "power")
    days = (power["known_at"] - power["valid_at"]).dt.total_seconds() / 86400
    assert 5 < days.median() < 8
    assert 0.005 < (days > 20).mean() < 0.06
    assert power.duplicated().any()
    corrected = power.drop_duplicates()
    corrected = corrected[corrected.duplicated(list(kind.key), keep=False)].sort_values("known_at")
    first, last = (corrected.groupby(list(kind.key))["kwh"].nth(k) for k in (0, -1))
    ratio = last.to_numpy().sum() / first.to_numpy().sum()
    assert len(first) > 10
    assert 0.8 < ratio < 1.2


def test_some_companies_and_months_are_missing(small: Path, hazards: pd.DataFrame) -> None:
    bank, power = (table(small, name) for name in ("bank", "power"))
    everyone = set(table(small, "registration")["company"])
    assert len(everyone) == SMALL.companies
    assert set(bank["company"]) == everyone
    assert 0.8 < len(set(power["company"])) / len(everyone) < 0.98
    lived = hazards.groupby("company").size()
    seen = power.drop_duplicates(["company", "valid_at"]).groupby("company").size()
    lost = 1 - seen.sum() / (lived[seen.index].sum())
    assert -0.04 < lost < 0.03  # a company is still seen for some months after its default


def test_the_default_is_the_first_month_of_ninety_days_past_due(small: Path, hazards: pd.DataFrame) -> None:
    bank = table(small, "bank")
    late = bank[bank["days_past_due"] >= 90].groupby("company")["valid_at"].min()
    fell = pd.to_datetime(hazards.drop_duplicates("company").set_index("company")["defaulted_at"]).dropna()
    assert set(late.index) == set(fell.index)
    assert (late == fell[late.index]).mean() > 0.95  # else that month of the main bank is missing
    assert (late >= fell[late.index]).all()
    before = bank.merge(fell.rename("fell"), left_on="company", right_index=True)
    month = (before["fell"].dt.year - before["valid_at"].dt.year) * 12
    month += before["fell"].dt.month - before["valid_at"].dt.month
    climbing = before.groupby(month)["days_past_due"].max()
    assert climbing[2] in range(30, 60)
    assert climbing[1] in range(60, 90)


def test_a_company_leaves_three_months_after_its_default(small: Path, hazards: pd.DataFrame) -> None:
    fell = pd.to_datetime(hazards.drop_duplicates("company").set_index("company")["defaulted_at"]).dropna()
    for name in ("bank", "power", "invoices", "social_security", "tax"):
        frame = table(small, name)
        gone = frame["company"].map(fell) + pd.DateOffset(months=3) + pd.offsets.MonthEnd(0)
        assert not (frame["valid_at"] > gone).any(), name


def test_statements_balance_and_follow_the_same_sales_as_invoices_and_accounts(small: Path) -> None:
    kinds = {kind.table: kind for kind in sources()}
    tax = newest(table(small, "tax"), kinds["tax"])
    assert np.allclose(
        tax["revenue_cny"] - tax["cost_cny"] - tax["operating_expenses_cny"], tax["ebit_cny"], atol=3, rtol=1e-3
    )
    parts = tax[["cash_cny", "receivables_cny", "inventory_cny"]].sum(axis=1)
    assert (parts <= tax["current_assets_cny"] + 5).all()
    assert (tax["rd_cny"].fillna(0) <= tax["operating_expenses_cny"] + 1).all()
    quarter = tax[tax["valid_at"] == "2025-06-30"].set_index("company")["revenue_cny"]
    for name, column in (("invoices", "amount_cny"), ("bank", "inflow_cny")):
        rows = newest(table(small, name), kinds[name])
        rows = rows[rows["valid_at"].between("2025-04-01", "2025-06-30")]
        sums = rows.groupby("company")[column].sum()
        both = quarter.index.intersection(sums.index)
        assert spearmanr(quarter[both], sums[both]).statistic > 0.9, name


def test_history_goes_back_three_years_before_the_first_month(small: Path) -> None:
    assert table(small, "tax")["valid_at"].min() == pd.Timestamp("2021-03-31")
    assert table(small, "bank")["valid_at"].min() == pd.Timestamp("2024-01-31")
    assert table(small, "power")["valid_at"].max() == pd.Timestamp("2025-12-31")
    assert set(table(small, "water")["valid_at"].dt.month) == {2, 4, 6, 8, 10, 12}


def test_some_companies_have_accounts_at_two_banks(small: Path) -> None:
    banks = table(small, "bank").groupby("company")["bank"].nunique()
    assert set(banks) == {1, 2}
    assert 0.2 < (banks == 2).mean() < 0.4


def test_invoices_come_from_the_graph(small: Path) -> None:
    invoices = table(small, "invoices")
    graph = pd.read_parquet(small / "truth" / "graph.parquet").astype({"seller": str, "buyer": str})
    pairs = set(zip(graph["seller"], graph["buyer"], strict=True))
    assert set(zip(invoices["company"], invoices["buyer"], strict=True)) <= pairs
    rows = invoices.drop_duplicates(["company", "valid_at", "buyer"]).groupby(["company", "valid_at"]).size()
    assert 2.5 < rows.mean() < 5.5


def test_power_falls_and_stocks_rise_before_a_shock_strikes(small: Path) -> None:
    power = newest(table(small, "power"), next(kind for kind in sources() if kind.table == "power"))
    kwh = np.log(power.pivot_table(index="company", columns="valid_at", values="kwh"))
    shocks = pd.read_parquet(small / "truth" / "shocks.parquet")
    exposures = pd.read_parquet(small / "truth" / "exposures.parquet").astype({"company": str})
    where = table(small, "registration").drop_duplicates("company").set_index("company")
    falls = []
    for shock in shocks.itertuples():
        hit = exposures.loc[exposures["shock"] == shock.shock, "company"]
        mates = where.index[(where["region"] == shock.target) | (where["industry"] == shock.target)]
        before = pd.Timestamp(shock.precursor_at) - pd.offsets.MonthEnd(1)
        if before not in kwh.columns:
            continue
        change = kwh[pd.Timestamp(shock.starts_at)] - kwh[before]
        spared = change.reindex(mates.difference(hit)).median()
        falls.append(change.reindex(hit).median() - spared)
    assert len(falls) >= 3
    assert np.mean(falls) < -0.15
