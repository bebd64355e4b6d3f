"""The grades of the same companies at two dates become a migration matrix and how far companies move in it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fedcredit.errors import TableError


@dataclass(frozen=True)
class Migration:
    """counts[i][j]: companies that went from grade i to grade j, the safest grade first.

    upper: the matrix weighted bandwidth of moves above the diagonal, to riskier grades; lower: below it, to safer
    ones; both from 0 (nobody moved) to 1 (whoever moved went as far as the scale goes).
    """

    counts: tuple[tuple[int, ...], ...]
    companies: int
    stayed: float
    within_one: float
    upper: float
    lower: float

    @property
    def shares(self) -> tuple[tuple[float, ...], ...]:
        """Each row over its sum: the chance to go from grade i to grade j; zeros for a grade that nobody had."""
        table = np.asarray(self.counts, dtype=np.float64)
        rows = table / np.maximum(table.sum(axis=1, keepdims=True), 1.0)
        return tuple(tuple(float(share) for share in row) for row in rows)


def migration_counts(before: ArrayLike, after: ArrayLike, *, grades: int) -> NDArray[np.int64]:
    """Companies by grade before (rows) and after (columns); grades are numbers from 0, the safest.

    >>> migration_counts([0, 0, 1], [0, 1, 1], grades=2).tolist()
    [[1, 1], [0, 1]]
    """
    i, j = np.atleast_1d(np.asarray(before)), np.atleast_1d(np.asarray(after))
    if i.shape != j.shape or i.ndim != 1 or (i.size and (i.dtype.kind not in "iu" or j.dtype.kind not in "iu")):
        raise TableError("migration", found="lists that do not fit", expected="two whole grade numbers a company")
    if i.size and not (min(i.min(), j.min()) >= 0 and max(i.max(), j.max()) < grades):
        raise TableError("migration", found="a grade off the scale", expected=f"numbers from 0 to {grades - 1}")
    cells = i.astype(np.int64) * grades + j.astype(np.int64)
    return np.bincount(cells, minlength=grades * grades).reshape(grades, grades).astype(np.int64)


def migration(counts: ArrayLike) -> Migration | None:
    """Shares that stay and move, and the matrix weighted bandwidth; None without companies.

    Upper bandwidth (ECB, "Instructions for reporting the validation results of internal models", 2019, section
    2.5.5.1): the sum of |i - j| n_ij over j > i, over the sum of max(|i - K|, |i - 1|) n_ij; lower with j < i.
    By hand: of those who got worse 10 moved one grade of two, 5 moved two of two: (10 + 10) / (20 + 10).

    >>> found = migration([[80, 10, 5], [0, 50, 0], [0, 4, 16]])
    >>> round(found.upper, 4), round(found.lower, 4), round(found.stayed, 4), round(found.within_one, 4)
    (0.6667, 0.5, 0.8848, 0.9697)
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != table.shape[1] or not bool((np.isfinite(table) & (table >= 0)).all()):
        raise TableError("migration", found=f"shape {table.shape}", expected="a square table of counts")
    total, grades = table.sum(), len(table)
    if not total:
        return None
    i, j = np.indices(table.shape)
    distance = np.abs(i - j)
    farthest = np.maximum(i, grades - 1 - i)
    upper, lower = (
        float((distance * table)[side].sum() / max(float((farthest * table)[side].sum()), 1e-300))
        for side in (j > i, j < i)
    )
    return Migration(
        tuple(tuple(int(value) for value in row) for row in np.rint(table)),
        round(total),
        float(np.trace(table) / total),
        float(table[distance <= 1].sum() / total),
        upper,
        lower,
    )
