"""Sums over the same model become a yes or no: could one institution's update be solved for from them?

The plainest case is a cohort of n and then of n - 1: the difference is one update. In general, a set of sums gives away
institution i exactly if its unit vector is a combination of the sets' 0/1 rows, which is what is tested here. (Updates
of two attempts differ by fresh noise and batches; the rule does not count on it.)
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fedcredit.privacy.secagg.refusals import DifferencingRefused

TOLERANCE = 1e-9


def isolated(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    """The institutions whose own value follows from the sums over these sets.

    >>> sorted(isolated([frozenset("abcde"), frozenset("abcd")]))
    ['e']
    >>> isolated([frozenset("abcde"), frozenset("abcfg")])
    frozenset()
    """
    rows = sorted({tuple(sorted(chosen)) for chosen in sets})
    names = sorted({name for row in rows for name in row})
    if not rows:
        return frozenset()
    matrix = np.array([[float(name in row) for name in names] for row in rows])
    # The projection onto the rows' span leaves a unit vector as it is exactly if the vector lies in the span.
    kept = np.diag(np.linalg.pinv(matrix, rcond=TOLERANCE) @ matrix)
    return frozenset(name for name, share in zip(names, kept, strict=True) if share > 1 - TOLERANCE)


def require_apart(chosen: frozenset[str], earlier: Iterable[frozenset[str]]) -> None:
    """Return if a sum over `chosen` beside the `earlier` ones isolates nobody. Raises DifferencingRefused otherwise."""
    if isolated([chosen, *earlier]):
        raise DifferencingRefused(
            "secagg cohort",
            found="a set that with sums already signed over this model isolates one institution",
            expected="the same set again, or one that differs by two or more",
            hint="repeat the round with the set of the earlier attempt, or with a new global model",
        )
