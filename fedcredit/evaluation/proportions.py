"""So many of so many become a rate with its interval, and two rates the interval of their difference."""

from __future__ import annotations

import math

from scipy.stats import beta, norm

from fedcredit.evaluation.intervals import LEVEL, Interval


def wilson(found: float, of: float, *, level: float = LEVEL) -> Interval:
    """A rate with Wilson's (1927) score interval, which holds its level for few companies and rare defaults.

    The examples are Newcombe's (Statistics in Medicine 17, 1998, pages 857-872), method 3.

    >>> wilson(81, 263).rounded(4), wilson(0, 20).rounded(4)
    (Interval(point=0.308, low=0.2553, high=0.3662), Interval(point=0.0, low=0.0, high=0.1611))
    """
    if not of:
        return Interval(math.nan, math.nan, math.nan)
    rate, z = found / of, float(norm.ppf((1 + level) / 2))
    middle = (found + z * z / 2) / (of + z * z)
    half = z / (of + z * z) * math.sqrt(max(found * (of - found) / of, 0.0) + z * z / 4)
    low, high = (0.0 if not found else middle - half), (1.0 if found == of else middle + half)
    return Interval(rate, max(low, 0.0), min(high, 1.0))


def jeffreys(found: float, of: float, *, level: float = LEVEL) -> Interval:
    """A rate with Jeffreys' interval: the middle of Beta(found + 1/2, of - found + 1/2).

    The ends are those of Brown, Cai and DasGupta (Statistical Science 16, 2001): 0 stays possible when nothing was
    found, 1 when all was. A rate inside is one that the two-sided Jeffreys test does not reject at 1 - level.

    >>> jeffreys(0, 20).rounded(4)
    Interval(point=0.0, low=0.0, high=0.1166)
    """
    if not of:
        return Interval(math.nan, math.nan, math.nan)
    spread = beta(found + 0.5, of - found + 0.5)
    low = 0.0 if not found else float(spread.ppf((1 - level) / 2))
    high = 1.0 if found == of else float(spread.ppf((1 + level) / 2))
    return Interval(found / of, low, high)


def difference(first: Interval, second: Interval) -> Interval:
    """`first` minus `second`, two independent figures, from the ends of their own intervals.

    Newcombe's square-and-add (Statistics in Medicine 17, 1998, pages 873-890, method 10), which Zou and Donner (2008)
    showed to hold for any two intervals. His first example, 56 of 70 against 48 of 80:

    >>> difference(wilson(56, 70), wilson(48, 80)).rounded(4)
    Interval(point=0.2, low=0.0524, high=0.3339)
    """
    point = first.point - second.point
    down = math.hypot(first.point - first.low, second.high - second.point)
    up = math.hypot(first.high - first.point, second.point - second.low)
    return Interval(point, point - down, point + up)
