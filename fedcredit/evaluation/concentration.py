"""Companies of each grade become how much they crowd into few grades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from fedcredit.errors import ConfigError


@dataclass(frozen=True)
class Concentration:
    """herfindahl: the sum of squared shares, from 1 / grades (even) to 1 (one grade for all).

    normalised: the same from 0 to 1. coefficient_of_variation: of the shares. ecb: the index on the ECB's log scale.
    p: of no more concentration than before, where an earlier distribution is given; small when it has risen.
    """

    herfindahl: float
    normalised: float
    coefficient_of_variation: float
    ecb: float
    largest_share: float
    p: float | None = None


def concentration(companies: Sequence[int], *, before: Sequence[int] | None = None) -> Concentration:
    """Concentration of companies in grades; empty grades of the scale count as grades.

    The coefficient of variation is sqrt(K * sum((share - 1/K)^2)), the index 1 + log((CV^2 + 1) / K) / log(K), and the
    test against `before` its normal approximation (ECB, "Instructions for reporting the validation results of internal
    models", 2019, section 2.5.5.3). By hand: shares .5, .5, 0, 0 have Herfindahl .5, CV 1, index 1/2.

    >>> found = concentration([50, 50, 0, 0])
    >>> found.herfindahl, round(found.normalised, 4), found.coefficient_of_variation, found.ecb
    (0.5, 0.3333, 1.0, 0.5)
    """
    shares, grades = _shares(companies), len(companies)
    herfindahl = float(np.sum(shares**2))
    cv = _variation(shares)
    p = None
    if before is not None:
        if len(before) != grades:
            raise ConfigError("concentration", found=f"{len(before)} grades before", expected=f"{grades}, as now")
        spread = math.sqrt(cv**2 * (0.5 + cv**2))
        rise = math.sqrt(grades - 1) * (cv - _variation(_shares(before)))
        p = float(norm.sf(rise / spread)) if spread else 1.0
    ecb = 1 + math.log((cv**2 + 1) / grades) / math.log(grades)
    return Concentration(herfindahl, (herfindahl - 1 / grades) / (1 - 1 / grades), cv, ecb, float(shares.max()), p)


def _shares(companies: Sequence[int]) -> np.ndarray:
    count = np.asarray(companies, dtype=np.float64)
    if count.ndim != 1 or len(count) < 2 or not bool((count >= 0).all()) or not count.sum():
        found = f"{len(companies)} grades" if len(companies) < 2 else "no companies, or less than none"
        raise ConfigError("concentration", found=found, expected="companies in two grades or more")
    return count / count.sum()


def _variation(shares: np.ndarray) -> float:
    return float(np.sqrt(len(shares) * np.sum((shares - 1 / len(shares)) ** 2)))
