"""When companies were graded, watched and defaulted becomes the cumulative default rate of each vintage by age."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from fedcredit.errors import TableError
from fedcredit.evaluation.intervals import LEVEL


@dataclass(frozen=True)
class VintageCurve:
    """One entry for each age from 1: companies still watched, defaults in it, and the share that defaulted by its end.

    low and high: the ends of the share's interval.
    """

    name: str
    at_risk: tuple[int, ...]
    defaults: tuple[int, ...]
    cumulative: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def vintage_counts(age: ArrayLike, is_default: ArrayLike, *, ages: int) -> NDArray[np.int64]:
    """Counts (2, ages) of companies that left at each age: without a default (row 0), by one (row 1).

    age: the whole number of periods, from 1, after which a company defaulted or was last seen; what is watched beyond
    `ages` counts as last seen then.

    >>> vintage_counts([1, 3, 9], [1, 0, 1], ages=3).tolist()
    [[0, 0, 2], [1, 0, 0]]
    """
    left, bad = np.atleast_1d(np.asarray(age)), np.atleast_1d(np.asarray(is_default)).astype(bool)
    if left.shape != bad.shape or (left.size and (left.dtype.kind not in "iu" or left.min() < 1)):
        raise TableError("vintage", found="ages that do not fit", expected="a whole number from 1 for each company")
    bad = bad & (left <= ages)
    place = np.minimum(left, ages) - 1
    both = (np.bincount(place[rows].astype(np.int64), minlength=ages) for rows in (~bad, bad))
    return np.stack(list(both)).astype(np.int64)


def vintage_curve(name: str, counts: ArrayLike, *, level: float = LEVEL) -> VintageCurve:
    """Cumulative default rate by age, with companies that were watched for a shorter time counted while they were.

    Kaplan and Meier's (1958) product; the interval is Greenwood's variance on the log-log scale. The example are the
    21 children on 6-MP of Freireich et al. (1963), whose textbook survival after 6, 10 and 23 weeks is .857, .753 and
    .448; a week is an age here, a relapse a default.

    >>> weeks = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
    >>> relapse = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
    >>> curve = vintage_curve("6-MP", vintage_counts(weeks, relapse, ages=35))
    >>> [round(1 - curve.cumulative[week - 1], 3) for week in (6, 10, 23)]
    [0.857, 0.753, 0.448]
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or table.shape[0] != 2 or not bool((np.isfinite(table) & (table >= 0)).all()):
        raise TableError("vintage", found=f"shape {table.shape}", expected="counts (2, ages), 0 or more")
    left, defaults = table.sum(axis=0), table[1]
    at_risk = left[::-1].cumsum()[::-1]
    watched = np.maximum(at_risk, 1e-300)
    survival = np.cumprod(1 - defaults / watched)
    greenwood = np.cumsum(defaults / np.maximum(at_risk * (at_risk - defaults), 1e-300))
    z = float(norm.ppf((1 + level) / 2))
    ends = [_ends(float(s), float(g), z) for s, g in zip(survival, greenwood, strict=True)]
    return VintageCurve(
        name,
        tuple(int(n) for n in np.rint(at_risk)),
        tuple(int(d) for d in np.rint(defaults)),
        tuple(float(1 - s) for s in survival),
        tuple(low for low, _ in ends),
        tuple(high for _, high in ends),
    )


def vintage_curves(counts: Mapping[str, ArrayLike]) -> tuple[VintageCurve, ...]:
    """The curve of each vintage, in the order of their names."""
    return tuple(vintage_curve(name, counts[name]) for name in sorted(counts))


def _ends(survival: float, greenwood: float, z: float) -> tuple[float, float]:
    """Of the default rate; where nobody or everybody defaulted the log-log scale has no end, and the point stands."""
    if not 0 < survival < 1:
        return 1 - survival, 1 - survival
    half = z * math.sqrt(greenwood) / abs(math.log(survival))
    return 1 - survival ** math.exp(-half), 1 - survival ** math.exp(half)
