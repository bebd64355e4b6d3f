"""Rows of one fact are told apart: the same row again, two rows that contradict each other, a later correction."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fedcredit.data.hub.typed import Mask
from fedcredit.data.sources import KNOWN_AT, Source

CONFLICT = "another row says otherwise of the same key at the same known_at"


@dataclass(frozen=True)
class Repeats:
    """Of typed rows: `repeated` ones say nothing new, `conflicting` ones contradict another of the same moment."""

    repeated: Mask
    conflicting: Mask


def find_repeats(frame: pd.DataFrame, source: Source) -> Repeats:
    """The second of two equal rows is repeated; rows of one key and moment that differ all conflict: none is better.

    >>> from fedcredit.data.sources import source
    >>> day = pd.Timestamp("2025-01-31")
    >>> rows = pd.DataFrame({"company": ["a"] * 4, "valid_at": day, "known_at": day, "cubic_metres": [1.0, 1, 2, 3]})
    >>> rows.loc[3, "known_at"] += pd.Timedelta(days=9)
    >>> found = find_repeats(rows.assign(days_late=0), source("gas"))
    >>> found.repeated.tolist(), found.conflicting.tolist()
    ([False, True, False, False], [True, False, True, False])
    """
    repeated, conflicting = np.zeros((2, len(frame)), dtype=bool)
    moment = [*source.key, KNOWN_AT]
    near = np.flatnonzero(pd.Series(hash_rows(frame, moment)).duplicated(keep=False))
    if len(near):
        some = frame.iloc[near]
        again = some.duplicated().to_numpy()
        repeated[near] = again
        conflicting[near[~again]] = some[~again].duplicated(moment, keep=False).to_numpy()
    return Repeats(repeated, conflicting)


def hash_rows(frame: pd.DataFrame, columns: list[str]) -> NDArray[np.uint64]:
    """One number a row, the same in every chunk of a file; equal numbers are looked at again, cell by cell."""
    return np.asarray(pd.util.hash_pandas_object(frame[columns], index=False), dtype=np.uint64)


def of_several(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The numbers that occur more than once, sorted.

    >>> of_several(np.array([5, 1, 5, 2, 1, 5], dtype=np.uint64)).tolist()
    [1, 5]
    """
    hashes = np.sort(hashes)
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])
