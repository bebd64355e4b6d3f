"""Each indicator's distribution in training beside the judged rows, from the table of the study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fedcredit.data.schema import Column, Label, Schema, Table
from fedcredit.data.splits import split_by_company
from fedcredit.evaluation.stability import psi
from server.validation.indicators import Indicators, indicators
from server.validation.source import Scores

COLUMNS = (
    Column("debt", "raw", nullable=True),
    Column("flag", "flag"),
    Column("sector", "category", levels=("a", "b")),
)
SCHEMA = Schema(COLUMNS, Label("bad"), company="id", period="month")
NAMES = np.array([f"c{k:04}" for k in range(3000)])


def table(*, moved: float = 0.0, names: np.ndarray = NAMES, split: str | None = None) -> Table:
    """Debt of the companies of the test split is moved by so many standard deviations; the rest stays."""
    rng = np.random.default_rng(0)
    parts = split_by_company(names)
    debt = rng.normal(size=len(names)) + moved * (parts == "test")
    debt[:30] = np.nan
    frame = pd.DataFrame({"id": names, "month": "2024-01", "debt": debt, "flag": rng.integers(0, 2, len(names))})
    frame["sector"] = np.where(rng.random(len(names)) < 0.5, "a", "b")
    return Table(frame.assign(bad=0, **({split: parts} if split else {})), SCHEMA)


def judged(names: np.ndarray = NAMES) -> Scores:
    who = names[split_by_company(names) == "test"].astype(object)
    none = np.zeros(len(who))
    return Scores(
        "test", none.astype(np.int8), none, none, who, none.astype(object), pd.DataFrame(index=range(len(who)))
    )


def found(one: Table, schema: Schema = SCHEMA) -> Indicators:
    return indicators(one, schema, judged())


def test_indicator_that_moved_stands_first_and_the_others_are_steady() -> None:
    told = found(table(moved=1.0))
    assert next(iter(told.by_name)) == "debt"
    assert told.by_name["debt"].verdict == "moved"
    assert {one.verdict for name, one in told.by_name.items() if name != "debt"} == {"steady"}
    assert told.known == 1.0


def test_csi_is_the_psi_of_ten_bins_of_the_training_rows() -> None:
    one = table(moved=0.5)
    parts = split_by_company(NAMES)
    before, now = (one.frame["debt"][parts == name].to_numpy() for name in ("train", "test"))
    edges = np.quantile(before[~np.isnan(before)], np.arange(1, 10) / 10, method="higher")
    counts = []
    for side in (before, now):
        held = np.searchsorted(edges, side[~np.isnan(side)], side="right")
        counts.append([*np.bincount(held, minlength=10), int(np.isnan(side).sum())])
    assert found(one).by_name["debt"].psi == pytest.approx(psi(*counts))


def test_study_without_a_move_has_no_indicator_above_steady() -> None:
    assert {one.verdict for one in found(table()).by_name.values()} == {"steady"}


def test_split_column_of_the_table_says_what_rows_trained() -> None:
    schema = Schema(COLUMNS, SCHEMA.label, company="id", period="month", split="part")
    assert found(table(moved=1.0, split="part"), schema).by_name["debt"].verdict == "moved"
    lacking = found(table(moved=1.0), schema)
    assert lacking.by_name == {}
    assert "lacks the column part" in lacking.why


def test_last_row_of_a_company_is_the_one_that_counts() -> None:
    one = table()
    earlier = one.frame.assign(month="2023-12", debt=one.frame["debt"] + 50)
    twice = Table(pd.concat([earlier, one.frame]).sort_values(["id", "month"]).reset_index(drop=True), SCHEMA)
    assert found(twice).by_name["debt"].psi == pytest.approx(found(one).by_name["debt"].psi)
    assert found(twice).now == found(one).now


def test_row_that_stands_for_a_missing_period_does_not_count() -> None:
    one = table()
    empty = one.frame.assign(month="2024-02", debt=np.nan, bad=np.nan)
    assert found(Table(pd.concat([one.frame, empty], ignore_index=True), SCHEMA)).by_name == found(one).by_name


def test_table_of_other_companies_tells_nothing() -> None:
    others = found(table(names=np.array([f"d{k:04}" for k in range(3000)])))
    assert others.by_name == {}
    assert "0.0 % of the judged companies" in others.why


def test_table_without_training_rows_tells_nothing() -> None:
    one = table()
    only = Table(one.frame[split_by_company(NAMES) == "test"].reset_index(drop=True), SCHEMA)
    assert "fewer than 10 training companies" in found(only).why
