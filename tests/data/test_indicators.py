"""The dictionary of 28 indicators is whole, and a broken one is refused with the row named."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from fedcredit.data.indicators import DICTIONARY, FACTOR_SIZES, columns, dictionary_sha256, indicators, read
from fedcredit.data.sources import sources
from fedcredit.errors import TableError


def broken(folder: Path, change: dict[str, Any], *, row: int = 1) -> Path:
    """A copy of the dictionary in which one row is changed (rows count from 1)."""
    content = yaml.safe_load(DICTIONARY.read_text(encoding="utf-8"))
    content["indicators"][row - 1] |= change
    path = folder / "indicators.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


def test_there_are_28_indicators_in_three_dimensions_and_nine_factors() -> None:
    assert len(indicators()) == 28
    assert Counter(i.dimension for i in indicators()) == {"F": 12, "O": 9, "G": 7}
    assert Counter(i.factor for i in indicators()) == FACTOR_SIZES
    assert list(FACTOR_SIZES.values()) == [4, 4, 4, 3, 3, 3, 3, 2, 2]


def test_names_of_factors_and_dimensions_are_given_in_both_languages() -> None:
    content = yaml.safe_load(DICTIONARY.read_text(encoding="utf-8"))
    assert set(content["factors"]) == set(FACTOR_SIZES)
    assert set(content["dimensions"]) == {"F", "O", "G"}
    for named in (*content["factors"].values(), *content["dimensions"].values(), *content["indicators"]):
        assert named["zh"]
        assert named["en"]


def test_ids_are_unique_and_ranges_rise() -> None:
    assert len({i.id for i in indicators()}) == 28
    assert all(i.lo < i.hi for i in indicators())


def test_only_the_two_indicators_with_an_inner_optimum_state_it() -> None:
    inner = {i.id: i.optimum for i in indicators() if i.direction == "inner"}
    assert inner == {"current_ratio": (1.2, 3.0), "tax_burden_dev": (0.0, 0.0)}


def test_columns_carry_range_level_and_indicator() -> None:
    by_name = {column.name: column for column in columns()}
    assert list(by_name) == [i.id for i in indicators()]
    assert (by_name["roa"].lo, by_name["roa"].hi, by_name["roa"].kind) == (-2.0, 2.0, "ratio")
    assert by_name["ar_turn_days"].kind == "amount"
    assert by_name["interest_cover"].nullable
    assert all(column.indicator == column.name for column in columns())


def test_nothing_that_only_public_sources_feed_is_above_level_2() -> None:
    public = {"S01", "S04", "S11", "S13", "S14", "S17", "S18"}
    assert all(i.level <= 2 for i in indicators() if public.issuperset(i.sources))
    assert all(i.level == 4 for i in indicators() if "S12" in i.sources)


def test_an_indicator_is_no_less_harmful_than_what_it_is_made_of() -> None:
    levels = {one.id: one.level for one in sources()} | {"S03": 3}  # a ratio of invoices shows no counterparty
    for one in indicators():
        assert one.level == max(levels[source] for source in one.sources), one.id


def test_digest_is_that_of_the_file() -> None:
    assert len(dictionary_sha256()) == 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lo": 3, "hi": 0}, "indicator 'debt_ratio': found lo=3.0, hi=0.0, expected lo < hi"),
        ({"lo": "low"}, "indicators.yaml, row 1: found could not convert string to float"),
        ({"direction": "sideways"}, "expected up, down or inner"),
        ({"direction": "inner"}, "given for direction inner only"),
        ({"factor": "F-Z"}, "found factor='F-Z'"),
        ({"dimension": "O"}, "the first letter of the factor"),
        ({"sources": ["S19"]}, "at least one of S01..S18"),
        ({"freq": "H"}, "expected D, W, M, Q or Y"),
        ({"level": 6}, "expected 1..5"),
        ({"scale": 0}, "expected above 0"),
        ({"sql": " "}, "expected a formula over measures"),
        ({"max_age_days": 0}, "found max_age_days=0, expected above 0"),
        ({"missing": "guess"}, "expected flag or zero"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
        ({"id": "roa"}, "found 'roa' more than once"),
        ({"factor": "F-B"}, "factor F-A: found 3 indicators, expected 4"),
    ],
)
def test_a_broken_dictionary_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(TableError) as caught:
        read(broken(tmp_path, change))
    assert message in str(caught.value)


def test_a_row_without_sources_is_refused_by_number(tmp_path: Path) -> None:
    content = yaml.safe_load(DICTIONARY.read_text(encoding="utf-8"))
    del content["indicators"][4]["sources"]
    path = tmp_path / "indicators.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(TableError, match="row 5"):
        read(path)
