"""Cells hold ten companies or are not shown, also not by subtraction."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from server.validation.cells import TOGETHER, cells, runs_of


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
