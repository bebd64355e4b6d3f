"""A table of counts becomes the same table with holes, so that no cell of a few companies can be read or computed."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from server.validation.cells import SMALLEST


def concealed(counts: ArrayLike, *, smallest: int = SMALLEST) -> NDArray[np.bool_]:
    """Which cells are not shown: those of 1 to 9 companies, and others where a total would give one of them away.

    What is hidden of each row and each column is nothing, or together at least `smallest`: the smallest other cells
    are hidden too until that holds. An empty cell is shown; nobody is in it.

    >>> concealed([[50, 3], [20, 40]], smallest=10).tolist()
    [[True, True], [True, True]]
    >>> concealed([[50, 0], [20, 40]], smallest=10).any()
    np.False_
    """
    table = np.asarray(counts)
    hidden = (table > 0) & (table < smallest)
    lines = [np.s_[k, :] for k in range(table.shape[0])] + [np.s_[:, k] for k in range(table.shape[1])]
    is_changed = True
    while is_changed:
        is_changed = False
        for line in lines:
            cells, inside = table[line], hidden[line]  # `inside` is a view: what is set in it is set in `hidden`
            shown = np.flatnonzero((cells > 0) & ~inside)
            if 0 < cells[inside].sum() < smallest and shown.size:
                inside[shown[np.argmin(cells[shown])]] = True
                is_changed = True
    return hidden
