"""Weights: nobody above a third, whatever the true sizes within the declared classes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.privacy.weights import WEIGHT_ONE, DominanceRefused, cap_for, size_class, weight_units


def largest_share(counts: list[int], cap: int) -> float:
    """The largest share of the weight."""
    weights = [weight_units(count, cap=cap) for count in counts]
    return max(weights) / sum(weights)


def test_dominance_by_one_weight_is_capped_to_a_third() -> None:
    """A bank of a million companies beside three of some hundreds: 99.9 % of the rows, a third of the weight."""
    counts = {"ada": 245, "bob": 300, "cyd": 130, "dan": 1_000_000}
    cap = cap_for({name: size_class(count) for name, count in counts.items()})
    assert largest_share(list(counts.values()), cap) <= 1 / 3 + 1e-6
    assert cap == (128 + 256 + 128) // 2


def test_like_sizes_are_not_capped() -> None:
    assert cap_for(dict.fromkeys("abcdef", 256)) == 511


def test_three_institutions_weigh_a_third_each_at_best() -> None:
    assert cap_for({"a": 64, "b": 64, "c": 1024}) == 64
    with pytest.raises(DominanceRefused):
        cap_for({"a": 64, "b": 64})


@settings(max_examples=150)
@given(data=st.data(), n=st.integers(4, 8), dropouts=st.integers(0, 1))
def test_no_share_exceeds_a_third_for_any_true_sizes_and_any_survivors(
    data: st.DataObject, n: int, dropouts: int
) -> None:
    classes = data.draw(st.lists(st.sampled_from([2**k for k in range(12)]), min_size=n, max_size=n))
    cap = cap_for({str(i): size for i, size in enumerate(classes)}, dropouts=dropouts)
    counts = [data.draw(st.integers(size, 2 * size - 1)) for size in classes]
    for gone in range(n) if dropouts else [n]:
        left = [count for i, count in enumerate(counts) if i != gone]
        # exactly: 3 w <= sum of w, with min(count, cap) for w; the rounding to 2^-20 comes on top
        weights = [min(count, cap) for count in left]
        assert 3 * max(weights) <= sum(weights)


@settings(max_examples=60)
@given(classes=st.lists(st.sampled_from([2**k for k in range(7)]), min_size=3, max_size=6))
def test_cap_is_the_largest_that_keeps_the_bound(classes: list[int]) -> None:
    def holds(cap: int) -> bool:
        tops = [min(2 * size - 1, cap) for size in classes]
        bottoms = [min(size, cap) for size in classes]
        return all(2 * tops[i] <= sum(bottoms) - bottoms[i] for i in range(len(classes)))

    sizes = {str(i): size for i, size in enumerate(classes)}
    assert cap_for(sizes) == max(cap for cap in range(1, 2 * max(classes)) if holds(cap))


@pytest.mark.parametrize("sizes", [{"a": 3, "b": 4, "c": 4}, {"a": 0, "b": 4, "c": 4}])
def test_size_that_is_no_class_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(DominanceRefused):
        cap_for(sizes)


def test_weight_is_between_one_step_and_one() -> None:
    assert weight_units(1, cap=2**30) == 1
    assert weight_units(10**9, cap=3) == WEIGHT_ONE
