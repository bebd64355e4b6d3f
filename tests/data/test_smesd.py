"""The SMEsD reader: which split a company belongs to, what is counted, and that no code or clock gets in."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fedcredit.data.datasets import dataset, locate, mirror_folder
from fedcredit.data.features import inputs_of, make_windows, transform
from fedcredit.data.public import smesd, smesd_graph
from fedcredit.errors import DatasetError, TableError, TrapRefused

NOTHING = dict.fromkeys(smesd_graph.CIRCLE_SUMS, 0.0) | {"registered_capital": 1.0}


class Attack:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("exit 7",)


def write(folder: Path, **parts: list[Any]) -> dict[str, Path]:
    """The four files; a part is (companies, [lawsuits, registry, graph, hyper graph, labels])."""
    index = [parts[split][0] for split in smesd.SPLIT_FILES]
    contents = {file: parts[split][1] for split, file in smesd.SPLIT_FILES.items()} | {smesd.INDEX_FILE: index}
    for file, content in contents.items():
        (folder / file).write_bytes(pickle.dumps(content))
    return {file: folder / file for file in contents}


def cells(frame: pd.DataFrame, row: object, *names: str) -> list[Any]:
    found: pd.DataFrame = frame.loc[[row], list(names)]
    return list(found.iloc[0])


def part(
    companies: list[int],
    *,
    capital: float = 100.0,
    label: int = 0,
    city: object = "温州市",
    lawsuits: dict[int, list[list[int]]] | None = None,
    graph: tuple[list[list[int]], list[int], list[int]] = ([], [], []),
) -> list[Any]:
    hyper = {"industry": {"批发业": companies}, "area": {city: companies}, "qualify": {}}
    return [companies, [lawsuits or {}, [[capital, 50.0, 77]] * len(companies), graph, hyper, [label] * len(companies)]]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    lawsuits = {1: [[0, 0, 3, 12, 0], [0, 1, 3, 40, 1], [7, 3, 0, 1, 0]]}
    return write(
        tmp_path,
        train=part([1, 2, 3], lawsuits=lawsuits, graph=([[1, 9], [2, 9], [9, 2]], [0, 4, 5], [1, 1, 1])),
        validation=part([2, 4], capital=400.0, label=1, city="杭州市"),
        test=part([5], city=float("nan")),
    )


def test_a_company_in_two_splits_keeps_the_later_one(files: dict[str, Path]) -> None:
    frame = smesd.read("smesd", files).frame.set_index("company")
    assert frame["split"].to_dict() == {
        "smesd-1": "train",
        "smesd-3": "train",
        "smesd-2": "validation",
        "smesd-4": "validation",
        "smesd-5": "test",
    }
    assert cells(frame, "smesd-2", "registered_capital", "bankrupt", "institution") == [400.0, 1, "杭州"]


def test_a_place_outside_the_eight_cities_or_unnamed_is_other(files: dict[str, Path]) -> None:
    frame = smesd.read("smesd", files).frame.set_index("company")
    assert frame["institution"].to_dict().items() >= {"smesd-1": "温州", "smesd-5": "other"}.items()


def test_lawsuits_are_counted_by_cause_court_and_result(files: dict[str, Path]) -> None:
    frame = smesd.read("smesd", files).frame.set_index("company")
    assert cells(frame, "smesd-1", "lawsuits", "lawsuits_loan", "lawsuits_labour", "lawsuit_causes") == [3, 2, 1, 2]
    courts = ("lawsuits_grassroots", "lawsuits_intermediate", "lawsuits_higher")
    assert cells(frame, "smesd-1", *courts) == [1, 1, 1]
    lost = ("lawsuits_loan_lost", "lawsuits_labour_lost", "lawsuits_plaintiff_won")
    assert cells(frame, "smesd-1", *lost) == [2, 0, 1]
    assert frame.at["smesd-1", "lawsuits_defendant_failed_share"] == pytest.approx(2 / 3)
    assert cells(frame, "smesd-3", "lawsuits", "sued", "lawsuits_loan_share") == [0, 0, 0]


def test_registry_facts_become_amounts_a_ratio_and_a_sector(files: dict[str, Path]) -> None:
    frame = smesd.read("smesd", files).frame
    money = ("registered_capital", "paid_in_capital", "unpaid_capital", "paid_in_ratio")
    assert cells(frame, 0, *money) == [100, 50, 50, 0.5]
    assert cells(frame, 0, "sector_wholesale", "sector_retail", "sector") == [1, 0, "wholesale"]


def test_persons_are_counted_by_role_and_the_companies_that_share_one_are_found() -> None:
    graph = ([[1, 90], [1, 90], [1, 91], [2, 90], [3, 91], [4, 92], [92, 4]], [0, 2, 4, 2, 9, 12, 13], [1] * 7)
    facts = {c: NOTHING | {"lawsuits": float(c)} for c in (1, 2, 3, 4)}
    rows = smesd_graph.describe(graph, facts=facts, industries={1: {"a"}, 2: {"a"}, 3: {"b"}})
    assert cells(rows, 1, "people", "people_in_two_roles", "people_with_several_roles") == [2, 1, 0.5]
    assert cells(rows, 1, "executives_widest", "executives_elsewhere", "stakeholders_elsewhere") == [2, 1, 0]
    assert cells(rows, 1, "shared_companies", "shared_lawsuits", "shared_lawsuits_mean", "shared_sued") == [
        2,
        5,
        2.5,
        1,
    ]
    parts = ("shared_with_executives", "shared_with_person_investors", "shared_same_industry")
    assert cells(rows, 1, *parts) == [0.5, 0.5, 0.5]
    assert rows.at[1, "shared_own_lawsuits"] == pytest.approx(1 / 6)


def test_edges_of_the_unused_types_tie_nobody() -> None:
    graph = ([[4, 92], [5, 92], [4, 5]], [12, 13, 19], [1, 1, 1])
    rows = smesd_graph.describe(graph, facts={4: NOTHING, 5: NOTHING}, industries={})
    assert cells(rows, 4, "people", "shared_companies", "tied_companies") == [0, 0, 0]


def test_invested_money_is_summed_and_related_to_capital() -> None:
    graph = ([[1, 90], [1, 91], [1, 2], [2, 1], [1, 8]], [9, 9, 7, 6, 10], [30.0, 10.0, 40.0, 40.0, 1.0])
    facts = {1: NOTHING | {"registered_capital": 160.0}, 2: NOTHING | {"registered_capital": 20.0}}
    rows = smesd_graph.describe(graph, facts=facts, industries={})
    assert cells(rows, 1, "invested_by_persons", "invested_by_companies", "funded", "largest_investor") == [
        40,
        40,
        0.5,
        0.5,
    ]
    assert cells(rows, 1, "tied_companies", "branches") == [2, 1]
    capital = ("tied_registered_capital", "tied_registered_capital_mean")
    assert cells(rows, 1, *capital) == [20, 10]  # company 8 lies outside the split
    assert cells(rows, 2, "invested_elsewhere", "placed_elsewhere") == [40, 2]


def test_labels_and_the_clock_do_not_move_a_single_feature(files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    late = {1: [[0, 0, 3, 99, 2], [0, 1, 3, 98, 2], [7, 3, 0, 97, 2]]}
    edges = ([[1, 9], [2, 9], [9, 2]], [0, 4, 5], [1, 1, 1])
    others = write(
        tmp_path / "other",
        train=part([1, 2, 3], label=1, lawsuits=late, graph=edges),
        validation=part([2, 4], capital=400.0, label=0, city="杭州市"),
        test=part([5], label=1, city=float("nan")),
    )
    features = [column.name for column in smesd.COLUMNS]
    pd.testing.assert_frame_equal(
        smesd.read("smesd", files).frame[features], smesd.read("smesd", others).frame[features]
    )


def test_a_pickle_that_names_code_is_refused_before_it_runs(files: dict[str, Path]) -> None:
    files["test_data.pkl"].write_bytes(pickle.dumps(Attack()))
    with pytest.raises(DatasetError, match=r"test_data\.pkl: found the global .*system"):
        smesd.read("smesd", files)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"\x80\x04Pname\n."], ids=["empty", "text", "reference"])
def test_a_file_that_is_no_plain_pickle_is_refused(files: dict[str, Path], content: bytes) -> None:
    files["train_data.pkl"].write_bytes(content)
    with pytest.raises(DatasetError, match=r"train_data\.pkl"):
        smesd.read("smesd", files)


@pytest.mark.parametrize("column", ["age_months", "months_before_observation", "time_label", "Age_Months"])
def test_a_column_on_the_outcome_clock_is_refused_before_a_file_is_opened(column: str) -> None:
    with pytest.raises(TrapRefused, match=column):
        smesd.read("smesd", {}, columns=["lawsuits", column])


def test_named_columns_come_in_their_order_and_an_unknown_one_is_refused(files: dict[str, Path]) -> None:
    assert smesd.read("smesd", files, columns=["people", "lawsuits"]).schema.features == ("people", "lawsuits")
    with pytest.raises(TableError, match="lawsuit_count"):
        smesd.read("smesd", files, columns=["lawsuit_count"])


@pytest.fixture(scope="module")
def published() -> dict[str, Path]:
    folder = mirror_folder()
    if folder is None or not (folder / "smesd").is_dir():
        if os.environ.get("FEDCREDIT_CI") == "1":
            pytest.fail("FEDCREDIT_CI=1 and no mirror of the public data: set FEDCREDIT_DATA_MIRROR")
        pytest.skip("no mirror of the public data: set FEDCREDIT_DATA_MIRROR")
    return {file: locate("smesd", file) for file in dataset("smesd").files}


def test_the_published_files_give_3976_companies_in_nine_institutions(published: dict[str, Path]) -> None:
    table = smesd.read("smesd", published)
    frame = table.frame
    assert frame["company"].nunique() == len(frame) == 3976
    assert frame["split"].value_counts().to_dict() == {"train": 2765, "validation": 720, "test": 491}
    assert set(frame["institution"]) == {*smesd.CITIES, "other"}
    assert frame["bankrupt"].sum() == 2262
    assert len(inputs_of(table.schema)) < 200
    x, _ = transform(frame, table.schema)
    assert -1 < x.min() <= x.max() < 6
    assert len(make_windows(table, length=1)) == 3976
