"""Sums over the same model become a yes or no: beside those signed before, would this one say more than they did?

The plainest case is a cohort of n and then of n - 1: the difference is one update. It is the same with n - 2 where one
of the two left out tells the server its own, and with the same cohort under other weights: from two caps follows the
sum of the larger institutions alone. So over one model, and in one round of a run, there is one set with one weighing.
(Under DP, updates of two attempts differ by fresh noise; the rule does not count on it.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from fedcredit.privacy.secagg.refusals import DifferencingRefused


@dataclass(frozen=True)
class Summed:
    """Who is in a sum, and a digest of what their weights follow from: b"" where nothing is weighed."""

    names: frozenset[str]
    weighing: bytes = b""


def require_same(chosen: Summed, earlier: Iterable[Summed]) -> None:
    """Return if the sum is the same as each of the earlier ones. Raises DifferencingRefused otherwise.

    >>> require_same(Summed(frozenset("abcd"), b"96"), [Summed(frozenset("abcd"), b"96"), Summed(frozenset("abcd"))])
    """
    for one in earlier:
        is_weighed_otherwise = bool(one.weighing and chosen.weighing) and one.weighing != chosen.weighing
        if one.names != chosen.names or is_weighed_otherwise:
            raise DifferencingRefused(
                "secagg cohort",
                found="another set, or other weights, than was already signed over this model or in this round",
                expected="the same again, since the difference of two sums may isolate one institution",
                hint="repeat the round with the set of the earlier attempt, or begin a new run with another model",
            )
