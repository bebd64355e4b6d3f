"""Cells hold ten companies or are not shown, also not by subtraction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.validation.cells import TOGETHER, cells, runs_of
from server.validation.groups import kinds_of
from server.validation.source import Scores


@given(st.lists(st.integers(0, 6), min_size=1, max_size=120))
def test_every_cell_is_large_and_cells_cover_all_rows_or_none(groups: list[int]) -> None:
    found = cells(groups, np.arange(len(groups)))
    covered = np.sum(list(found.values()), axis=0) if found else np.zeros(len(groups))
    assert all(inside.sum() >= 10 for inside in found.values())
    assert set(covered.tolist()) in ({0}, {1})
    assert bool(found) == (len(groups) >= 10)


def test_small_group_takes_the_smallest_large_one_with_it() -> None:
    found = cells(["a"] * 12 + ["b"] * 20 + ["c"] * 3, np.arange(35))
    assert {name: int(inside.sum()) for name, inside in found.items()} == {"b": 20, TOGETHER: 15}


def test_many_rows_of_few_companies_are_a_small_group() -> None:
    found = cells(["a"] * 30 + ["b"] * 30, [0] * 30 + list(range(1, 31)))
    assert list(found) == [TOGETHER]


@given(st.lists(st.integers(0, 30), max_size=19))
def test_grades_put_together_are_neighbours_and_hold_enough(sizes: list[int]) -> None:
    found = runs_of(sizes)
    assert all(sum(sizes[a : b + 1]) >= 10 for a, b in found)
    if found:
        assert [a for a, _ in found] == [0, *(b + 1 for _, b in found[:-1])]
        assert found[-1][1] == len(sizes) - 1
    else:
        assert sum(sizes) < 10


def kinds(about: dict[str, Any], institution: str, *, shown: bool) -> dict[str, Any]:
    """The kinds of groups of as many rows as `institution` has letters, one bank a letter."""
    rows = len(institution)
    p = np.full(rows, 0.1)
    who, banks = np.arange(rows).astype(object), np.array(list(institution), dtype=object)
    scores = Scores("test", np.zeros(rows, dtype=np.int8), p, p, who, banks, pd.DataFrame(about))
    return kinds_of(scores, by_institution=shown, institutions_are="institution")


def test_a_region_is_a_kind_and_its_codes_are_names() -> None:
    codes = [*range(110_000, 110_030)] * 2
    found = kinds({"region": codes}, "a" * 30 + "b" * 30, shown=False)
    assert found["region"].tolist() == [str(code) for code in codes]


@pytest.mark.parametrize(
    ("regions", "banks", "is_hidden"),
    [
        ("nnss", "aabb", True),
        ("nwss", "aabb", True),  # a bank of two regions: each of them is its figures, in part
        ("nnss", "abab", False),
        ("nnss", "aaab", False),
        ("nnss", "aaaa", False),  # there is nobody to tell apart
        ("nnnn", "aabb", False),
    ],
)
def test_regions_that_are_each_of_one_hidden_institution_are_hidden_too(
    regions: str, banks: str, is_hidden: bool
) -> None:
    about = {"region": list(regions), "size": ["small"] * 4}
    assert ("region" not in kinds(about, banks, shown=False)) == is_hidden
    assert "size" in kinds(about, banks, shown=False)
    assert {"region", "institution"} < set(kinds(about, banks, shown=True))


def test_many_different_sizes_become_quarters_and_a_missing_one_no_group() -> None:
    about = pd.DataFrame({"size": [*np.arange(99.0), np.nan], "stratum": [2019, 2020] * 50})
    some = np.full(100, "a", dtype=object)
    p = np.full(100, 0.1)
    scores = Scores("test", np.zeros(100, dtype=np.int8), p, p, np.arange(100).astype(object), some, about)
    kinds = kinds_of(scores, by_institution=False, institutions_are="bank")
    assert sorted(set(kinds["size"][:99])) == [
        "quarter 1, smallest",
        "quarter 2",
        "quarter 3",
        "quarter 4, largest",
    ]
    assert kinds["size"][99] is None
    assert set(kinds["period"]) == {"2019", "2020"}
