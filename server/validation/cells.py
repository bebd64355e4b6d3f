"""Groups of companies become cells that nobody can be picked out of."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

SMALLEST = 10  # a cell of fewer companies is put together with others (design: smallest cell)
TOGETHER = "others, together"


def companies(company: ArrayLike) -> int:
    """How many different companies there are."""
    return len(set(np.asarray(company, dtype=object).tolist()))


def cells(group: ArrayLike, company: ArrayLike, *, smallest: int = SMALLEST) -> dict[str, NDArray[np.bool_]]:
    """Rows of each group, by name; groups of too few companies become one cell.

    If that cell is too small itself, the smallest of the other groups joins it: what is left out can then not be
    found by subtracting the cells from the total. Nothing is given where even all rows are too few.

    >>> rows = cells(list("AAABBC"), range(6), smallest=2)
    >>> {name: int(inside.sum()) for name, inside in rows.items()}
    {'A': 3, 'others, together': 3}
    """
    name, who = np.asarray(group, dtype=object).astype(str), np.asarray(company, dtype=object)
    sizes = {one: companies(who[name == one]) for one in sorted(set(name.tolist()))}
    return {label: np.isin(name, members) for label, members in _joined(sizes, smallest=smallest).items()}


def _joined(sizes: Mapping[str, int], *, smallest: int) -> dict[str, list[str]]:
    small = [one for one, size in sizes.items() if size < smallest]
    large = sorted((one for one in sizes if one not in small), key=lambda one: sizes[one])
    while small and sum(sizes[one] for one in small) < smallest:
        if not large:
            return {}
        small.append(large.pop(0))
    kept = {one: [one] for one in sizes if one in large}
    return kept | ({TOGETHER: small} if small else {})


def runs_of(sizes: Sequence[int], *, smallest: int = SMALLEST) -> list[tuple[int, int]]:
    """Neighbouring classes, such as grades, put together from the best on until each holds enough: (first, last).

    >>> runs_of([3, 0, 9, 20, 4])
    [(0, 2), (3, 4)]
    """
    found: list[tuple[int, int]] = []
    start, held = 0, 0
    for place, size in enumerate(sizes):
        held += size
        if held >= smallest:
            found.append((start, place))
            start, held = place + 1, 0
    if start < len(sizes) and found:  # what is left at the end is too little to stand alone
        found[-1] = (found[-1][0], len(sizes) - 1)
    return found


def is_key(value: Hashable) -> bool:
    """Whether a group has a name at all; a row without one is not grouped."""
    return value == value and value is not None
