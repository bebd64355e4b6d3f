"""The companies of a table become institutions.

Where a file names no bank, a partition is artificial and a study's page says so. All rows of a company stay together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.cells import numbers
from fedcredit.data.splits import hash_of
from fedcredit.data.windows import SPLITS, Windows
from fedcredit.errors import TableError

Names = NDArray[np.str_]
SALT = "fedcredit/v1/institution"


def assign(windows: Windows, names: Names) -> Windows:
    """The windows with their institutions named anew."""
    return replace(windows, institution=names)


def by_column(windows: Windows, column: str) -> Names:
    """The institution column of the table, or one of `windows.about` (sector, region, size, stratum).

    For another column of a table (bank, city, state), name it as the table's institution column.
    """
    if column == "institution":
        return windows.institution
    if column not in windows.about:
        raise TableError(
            f"partition, column {column!r}",
            found="no such column",
            expected=f"one of {', '.join(['institution', *windows.about])}",
            hint="to split by bank, city or state, name that column as the table's institution column",
        )
    cells = windows.about[column]
    if (wrong := cells.isna() | (cells.astype("str").str.strip() == "")).any():
        found = f"{wrong.sum()} examples without one"
        raise TableError(f"partition, column {column!r}", found=found, expected="an institution's name in every row")
    return cells.astype("str").to_numpy().astype(np.str_)


def by_hash(windows: Windows, n: int) -> Names:
    """`n` institutions of about the same size, by the hash of the company."""
    at = (hash_of(windows.company, salt=SALT) * n).astype(np.intp)
    return _named(at, windows.split, n=n)


def by_size_quantile(windows: Windows, n: int, *, noise: float = 0.0, seed: int = 0) -> Names:
    """`n` institutions by the size of their companies (`about["size"]`), bank-1 with the smallest.

    The cut points are quantiles of the training companies and hold for all splits. `noise` is the standard deviation of
    a normal draw added to log1p(size), so that neighbouring institutions overlap.
    """
    if "size" not in windows.about:
        raise TableError("partition by size", found="a table without a size column", expected="schema.size to name one")
    one = _companies(windows)
    largest = np.full(len(one.split), -np.inf)
    np.maximum.at(largest, one.code, numbers(windows.about["size"], where="partition by size").fillna(0.0))
    size = np.sign(largest) * np.log1p(np.abs(largest))
    size += noise * np.random.default_rng(seed).standard_normal(len(size))
    in_train = np.unique(one.code[windows.split == "train"])
    if len(in_train) == 0:
        raise TableError("partition by size", found="no train rows", expected="training rows to cut into quantiles")
    cuts = np.quantile(size[in_train], np.arange(1, n) / n)
    return _named(np.searchsorted(cuts, size, side="right")[one.code], windows.split, n=n)


def dirichlet(windows: Windows, n: int, *, alpha: float, seed: int = 0) -> Names:
    """`n` institutions with label skew: each class is dealt out by shares drawn from Dirichlet(alpha, ..., alpha).

    The smaller alpha, the stronger the skew (Hsu, Qi, Brown 2019). The shares hold for all splits; a company counts to
    the positive class if any of its examples does.
    """
    if not alpha > 0:
        raise TableError("partition by Dirichlet", found=f"alpha={alpha}", expected="alpha > 0")
    generator = np.random.default_rng(seed)
    one = _companies(windows)
    is_bad = np.zeros(len(one.split), dtype=bool)
    np.logical_or.at(is_bad, one.code, windows.y > 0)
    at = np.empty(len(one.split), dtype=np.intp)
    for outcome in (False, True):
        share = np.cumsum(generator.dirichlet(np.full(n, alpha)))
        for name in SPLITS:
            members = generator.permutation(np.flatnonzero((one.split == name) & (is_bad == outcome)))
            middle = (np.arange(len(members)) + 0.5) / max(len(members), 1)
            at[members] = np.minimum(np.searchsorted(share, middle), n - 1)
    return _named(at[one.code], windows.split, n=n)


def contiguous(windows: Windows, n: int) -> Names:
    """`n` blocks of companies in the order of the rows, equal to within one company, inside each split."""
    one = _companies(windows)
    at = np.empty(len(one.split), dtype=np.intp)
    for name in SPLITS:
        members = np.flatnonzero(one.split == name)
        at[members] = np.arange(len(members)) * n // max(len(members), 1)
    return _named(at[one.code], windows.split, n=n)


@dataclass(frozen=True)
class _Companies:
    """code: (rows,) the company of each row, in order of appearance; split: (companies,) that of its first row."""

    code: NDArray[np.intp]
    split: Names


def _companies(windows: Windows) -> _Companies:
    code, seen = pd.factorize(windows.company)
    first = np.full(len(seen), len(code))
    np.minimum.at(first, code, np.arange(len(code)))
    return _Companies(code, windows.split[first])


def _named(at: NDArray[np.intp], split: Names, *, n: int) -> Names:
    """Names bank-1, bank-2, ... in an order that sorting keeps; an institution without training rows is refused."""
    if n < 1:
        raise TableError("partition", found=f"{n} institutions", expected="at least 1")
    names = np.asarray([f"bank-{one + 1:0{len(str(n))}d}" for one in range(n)])
    trained = np.bincount(at[split == "train"], minlength=n)
    if not trained.all():
        raise TableError(
            f"partition, institution {names[int(np.argmin(trained))]}",
            found="no training rows",
            expected=f"some at each of {n} institutions",
            hint="ask for fewer institutions, or less skew",
        )
    return names[at]
