"""A table of counts becomes the same table with holes, so that no cell of a few companies can be read or computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from server.validation.cells import SMALLEST

Holes = NDArray[np.bool_]


def concealed(counts: ArrayLike, *, smallest: int = SMALLEST) -> Holes:
    """Which cells are not shown: those of 1 to 9 companies, and others from which totals would give one of them away.

    Who knows all totals of rows and columns can compute a hidden cell exactly if it lies on no cycle of hidden cells,
    a step along a row and then one along a column (Gusfield, "A graph theoretic approach to statistical data security",
    1988). So each small cell gets a cycle: the rectangle that hides the fewest companies and has nobody's cell in it.
    And what is hidden of a row or column is together at least `smallest`. Where neither can be had, all is hidden.

    >>> concealed([[50, 3], [20, 40]]).tolist()
    [[True, True], [True, True]]
    >>> bool(concealed([[50, 0], [20, 40]]).any())
    False
    """
    table = np.asarray(counts, dtype=np.int64)
    small = (table > 0) & (table < smallest)
    hidden = small.copy()
    for i, j in np.argwhere(small):
        if not _is_on_a_cycle(hidden, int(i), int(j)):
            corners = _rectangle(table, hidden, int(i), int(j))
            if corners is None:
                return np.ones_like(hidden)
            hidden[corners] = True
    for cells, holes in [*zip(table, hidden, strict=True), *zip(table.T, hidden.T, strict=True)]:
        while 0 < cells[holes].sum() < smallest:
            shown = np.flatnonzero((cells > 0) & ~holes)
            if not shown.size:
                return np.ones_like(hidden)
            holes[shown[np.argmin(cells[shown])]] = True  # a view: it is set in `hidden`
    return hidden


def _is_on_a_cycle(hidden: Holes, i: int, j: int) -> bool:
    """Whether row i and column j are still linked by hidden cells without the one where they meet."""
    links = hidden.copy()
    links[i, j] = False
    rows, columns = np.zeros(len(hidden), dtype=bool), np.zeros(hidden.shape[1], dtype=bool)
    rows[i] = True
    while True:
        more = links[rows].any(axis=0) | columns
        reached = links[:, more].any(axis=1) | rows
        if (more == columns).all() and (reached == rows).all():
            return bool(columns[j])
        rows, columns = reached, more


def _rectangle(table: NDArray[np.int64], hidden: Holes, i: int, j: int) -> tuple[list[int], list[int]] | None:
    """The three other corners of the cheapest rectangle at i, j without an empty cell; None where there is none."""
    cost = np.where(table > 0, np.where(hidden, 0, table), np.inf)
    through = cost[i, None, :] + cost[:, j, None] + cost
    through[i, :], through[:, j] = np.inf, np.inf
    k, m = np.unravel_index(int(np.argmin(through)), through.shape)
    return ([i, int(k), int(k)], [int(m), j, int(m)]) if np.isfinite(through[k, m]) else None
