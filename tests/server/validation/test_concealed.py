"""No cell of a few companies can be read from a table, nor computed from its totals."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linprog

from server.validation.concealed import concealed


def bounds(counts: NDArray[np.int64], hidden: NDArray[np.bool_], cell: tuple[int, int]) -> tuple[float, float]:
    """What somebody who sees the shown cells and all totals can say of a hidden one: the least and the most."""
    places = np.argwhere(hidden)
    lines = [(axis, k) for axis in (0, 1) for k in range(counts.shape[axis])]
    totals = np.array([[float(place[axis] == k) for place in places] for axis, k in lines])
    left = [float(np.where(hidden, counts, 0).sum(axis=1 - axis)[k]) for axis, k in lines]
    sought = np.array([float(tuple(place) == cell) for place in places])
    ends = [linprog(sign * sought, A_eq=totals, b_eq=left, bounds=(0, None)) for sign in (1, -1)]
    return float(ends[0].fun), float(-ends[1].fun)


def made(seed: int) -> NDArray[np.int64]:
    """A migration matrix of seven grades: most stay, few go far."""
    rng = np.random.default_rng(seed)
    distance = np.abs(np.subtract.outer(np.arange(7), np.arange(7)))
    counts: NDArray[np.int64] = rng.poisson(60 * np.exp(-0.9 * distance)).astype(np.int64)
    return counts


@pytest.mark.parametrize("seed", range(12))
def test_small_cell_cannot_be_computed_from_the_totals(seed: int) -> None:
    counts = made(seed)
    hidden = concealed(counts)
    assert not hidden.all()
    for i, j in np.argwhere((counts > 0) & (counts < 10)):
        assert hidden[i, j]
        low, high = bounds(counts, hidden, (int(i), int(j)))
        assert high - low >= 1


@pytest.mark.parametrize("seed", range(12))
def test_what_is_hidden_of_a_line_is_nothing_or_at_least_ten(seed: int) -> None:
    counts = made(seed)
    hidden = concealed(counts)
    for line, inside in [*zip(counts, hidden, strict=True), *zip(counts.T, hidden.T, strict=True)]:
        assert line[inside].sum() == 0 or line[inside].sum() >= 10


def test_cell_that_totals_would_give_away_takes_the_cheapest_rectangle_with_it() -> None:
    hidden = concealed([[40, 30, 3], [20, 50, 60], [25, 0, 70]])
    assert hidden.tolist() == [[True, False, True], [True, False, True], [False, False, False]]


def test_two_cycles_that_one_small_cell_joins_do_not_protect_it() -> None:
    counts = np.full((4, 4), 50)
    counts[:2, :2], counts[2:, 2:], counts[1, 2] = 5, 5, 7  # each block is a cycle; row 1 and column 2 are the bridge
    assert bounds(counts, (counts < 10), (1, 2)) == (7.0, 7.0)
    low, high = bounds(counts, concealed(counts), (1, 2))
    assert high - low >= 1


def test_table_that_cannot_be_protected_is_hidden_whole() -> None:
    assert concealed([[50, 0], [3, 40]]).all()


def test_table_of_large_cells_is_shown_whole() -> None:
    assert not concealed([[10, 20], [0, 30]]).any()
