"""The rounds of a private run become the repeats after a crash that its noise covers beyond them."""

from __future__ import annotations


def reserved_rounds(rounds: int) -> int:
    """How many repeats after a crash the noise of a private run covers beyond its plan; a short run has none.

    >>> reserved_rounds(1), reserved_rounds(10), reserved_rounds(300)
    (0, 1, 6)
    """
    return max(1, rounds // 50) if rounds >= 10 else 0
