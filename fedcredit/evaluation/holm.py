"""P values of many tests become p values that hold for all of them together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's (1979) adjusted p values: the chance of one or more false alarms is at most the level, however related.

    The i-th smallest of m is multiplied by m - i + 1 and never falls below the one before it. None stays None and
    does not count among the tests. The example is Wikipedia's ("Holm-Bonferroni method"): at .05 the first and the
    fourth are rejected, the other two are not.

    >>> holm([0.01, 0.04, 0.03, 0.005])
    [0.03, 0.06, 0.06, 0.02]
    """
    known = [i for i, value in enumerate(p) if value is not None]
    value = np.array([p[i] for i in known], dtype=np.float64)
    order = np.argsort(value, kind="stable")
    adjusted = np.maximum.accumulate(value[order] * np.arange(len(value), 0, -1))
    result: list[float | None] = [None] * len(p)
    for i, found in zip(order, adjusted.clip(max=1.0), strict=True):
        result[known[i]] = float(found)
    return result
