"""Institutions' sizes become weights none of which is above a third, and which travel inside the mask.

A client's weight is min(own count, cap) / cap, in steps of 2^-20. The cap is found from sizes that are declared
coarsely (the power of two below the count), so nobody's exact count is needed in the open; it holds for any counts
within the declared classes.
"""

from __future__ import annotations

from collections.abc import Mapping

from fedcredit.errors import PolicyRefused

LARGEST_SHARE = 3  # one part in three: no institution is more than half of the others together
WEIGHT_ONE = 2**20  # weight 1 in the integer that stands in the mask; 4095 of them fit in 32 bits


class DominanceRefused(PolicyRefused):
    """Institutions are so few or so unlike in size that one would have more than a third of the weight."""

    code = "dominance"


def size_class(count: int) -> int:
    """The largest power of two that is not above the count: what an institution declares of its size.

    >>> size_class(245), size_class(256)
    (128, 256)
    """
    if count < 1:
        raise DominanceRefused("size", found=f"{count}", expected="at least one company")
    return int(2 ** (count.bit_length() - 1))


def cap_for(sizes: Mapping[str, int], *, dropouts: int = 0) -> int:
    """The largest count that still weighs in full, such that no institution's share exceeds a third.

    `sizes` are declared classes (powers of two). An institution is taken at the top of its class where it is judged
    (2s - 1) and at the bottom where it is one of the others, of whom the `dropouts` largest are left out; the sum of
    whoever survives then still keeps the bound. Raises DominanceRefused if no cap does.

    >>> cap_for({"a": 128, "b": 128, "c": 128, "d": 65536})
    192
    """
    for name, size in sizes.items():
        if size != size_class(size):
            raise DominanceRefused(f"size of {name!r}", found=f"{size}", expected="a power of two")
    if len(sizes) - dropouts < LARGEST_SHARE:
        raise DominanceRefused("weights", found=f"{len(sizes) - dropouts} institutions", expected="at least three")
    whole = 2 * max(sizes.values()) - 1
    if _is_balanced(sizes, whole, dropouts):
        return whole
    # At a cap of the least size everybody weighs the same; from there the excess of one over the others only grows.
    low, high = min(sizes.values()), whole
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _is_balanced(sizes, middle, dropouts) else (low, middle)
    return low


def _is_balanced(sizes: Mapping[str, int], cap: int, dropouts: int) -> bool:
    for name, size in sizes.items():
        others = sorted(min(other, cap) for who, other in sizes.items() if who != name)
        kept = others[: len(others) - dropouts]
        if (LARGEST_SHARE - 1) * min(2 * size - 1, cap) > sum(kept):
            return False
    return True


def weight_units(count: int, *, cap: int) -> int:
    """The weight min(count, cap) / cap as a whole number of 2^-20: at least 1, at most WEIGHT_ONE.

    >>> weight_units(96, cap=192) / WEIGHT_ONE, weight_units(10**6, cap=192) / WEIGHT_ONE
    (0.5, 1.0)
    """
    return max(1, min(count, cap) * WEIGHT_ONE // cap)
