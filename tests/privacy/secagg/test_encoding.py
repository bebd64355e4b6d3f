"""Fixed point: what fits sums exactly, what does not is refused, nothing wraps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedcredit.privacy.secagg import Counts, Encoding
from fedcredit.privacy.secagg.refusals import EncodingRefused


def test_scale_is_the_largest_power_of_two_that_leaves_room_for_all() -> None:
    """4 members of up to 1: 2^31 / 4 = 2^29 steps would be one too many, so 2^28."""
    assert Encoding(1, 1.0, 4).scale == 2.0**28
    assert Encoding(1, 0.25, 4).scale == 2.0**30
    assert Encoding(1, 1.0, 42).scale == 2.0**25


@pytest.mark.parametrize("members", [3, 4, 7, 42, 100])
@pytest.mark.parametrize("real_range", [1.0, 0.37, 123.4, 1e-6])
@pytest.mark.parametrize("bits", [32, 64])
def test_overflow_at_the_boundary_all_largest_sum_without_wrapping(members: int, real_range: float, bits: int) -> None:
    encoding = Encoding(2, real_range, members, bits=bits)
    words = encoding.encode(np.array([real_range, -real_range]))
    total = np.sum([words] * members, axis=0, dtype=encoding.dtype)
    np.testing.assert_allclose(encoding.decode(total).reals, [members * real_range, -members * real_range], rtol=1e-6)


@pytest.mark.parametrize("bits", [32, 64])
def test_a_hair_over_the_boundary_is_refused(bits: int) -> None:
    encoding = Encoding(1, 1.0, 4, bits=bits)
    for value in (np.nextafter(1.0, 2.0), -np.nextafter(1.0, 2.0), 1e38, 1e300):
        with pytest.raises(EncodingRefused, match="clip the update"):
            encoding.encode(np.array([value]))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinite_updates_are_refused(value: float) -> None:
    with pytest.raises(EncodingRefused, match="not a number"):
        Encoding(3, 1.0, 4).encode(np.array([0.0, value, 0.0]))


def test_refusal_holds_no_value_of_the_update() -> None:
    with pytest.raises(EncodingRefused) as refused:
        Encoding(1, 1.0, 4).encode(np.array([77.125]))
    assert "77" not in str(refused.value)


def test_negative_zero_and_denormals_are_zero() -> None:
    encoding = Encoding(3, 1.0, 4)
    assert encoding.encode(np.array([-0.0, 5e-324, -5e-324])).tolist() == [0, 0, 0]


@pytest.mark.parametrize("update", [np.zeros(2), np.zeros(4), np.zeros((3, 1))])
def test_update_of_another_shape_is_refused(update: np.ndarray) -> None:
    with pytest.raises(EncodingRefused, match="shape"):
        Encoding(3, 1.0, 4).encode(update)


def test_counts_and_histograms_stand_beside_the_reals_and_sum_exactly() -> None:
    encoding = Encoding(1, 1.0, 4, (Counts("weight", 1, 2**20), Counts("bins", 3, 500)))
    one = encoding.encode(np.array([0.5]), {"weight": 2**20, "bins": np.array([500, 0, 7])})
    two = encoding.encode(np.array([-0.25]), {"weight": 1, "bins": np.array([0, 1, 2])})
    found = encoding.decode(one + two)
    assert found.reals.tolist() == [0.25]
    assert found.counts["weight"].tolist() == [2**20 + 1]
    assert found.counts["bins"].tolist() == [500, 1, 9]


@pytest.mark.parametrize("counts", [{}, {"n": 11}, {"n": -1}, {"n": 1.5}, {"n": np.array([1, 2])}, {"n": 1, "m": 1}])
def test_counts_that_are_missing_unknown_or_out_of_range_are_refused(counts: dict[str, object]) -> None:
    with pytest.raises(EncodingRefused):
        Encoding(1, 1.0, 4, (Counts("n", 1, 10),)).encode(np.zeros(1), counts)  # type: ignore[arg-type]


def test_counts_that_32_bits_do_not_hold_are_refused_with_the_way_out() -> None:
    with pytest.raises(EncodingRefused, match="bits=64"):
        Encoding(1, 1.0, 4, (Counts("n", 1, 2**30),))
    Encoding(1, 1.0, 4, (Counts("n", 1, 2**30 - 1),))
    Encoding(1, 1.0, 4, (Counts("n", 1, 2**30),), bits=64)


def test_range_that_leaves_no_step_is_refused() -> None:
    with pytest.raises(EncodingRefused):
        Encoding(1, 0.0, 4)
    with pytest.raises(EncodingRefused):
        Encoding(1, float("nan"), 4)
    with pytest.raises(EncodingRefused):
        Encoding(1, 1.0, 4, bits=16)


def test_sum_that_no_updates_have_is_refused() -> None:
    """So look masks that did not cancel: of uniform words one in the reals' unused half is soon found."""
    encoding = Encoding(64, 1.0, 4, (Counts("n", 1, 10),))
    noise = np.random.default_rng(1).integers(0, 2**32, encoding.length, dtype=np.uint32)
    with pytest.raises(EncodingRefused, match="do not cancel"):
        encoding.decode(noise)
    with pytest.raises(EncodingRefused):
        encoding.decode(noise[:-1])


@settings(max_examples=60)
@given(
    members=st.integers(3, 12),
    real_range=st.floats(1e-3, 1e3),
    bits=st.sampled_from([32, 64]),
    seed=st.integers(0, 2**32 - 1),
)
def test_sum_of_encodings_is_the_float_sum_within_half_a_step_each(
    members: int, real_range: float, bits: int, seed: int
) -> None:
    encoding = Encoding(16, real_range, members, bits=bits)
    updates = np.random.default_rng(seed).uniform(-real_range, real_range, (members, 16))
    total = np.sum([encoding.encode(update) for update in updates], axis=0, dtype=encoding.dtype)
    bound = members * (0.5 / encoding.scale) + 1e-12 * real_range * members
    assert np.abs(encoding.decode(total).reals - updates.sum(axis=0)).max() <= bound


def test_forty_two_members_are_within_2e_4_of_the_clip() -> None:
    """The issue's bound, by arithmetic: 42 half steps at scale 2^25."""
    assert 42 * 0.5 / Encoding(1, 1.0, 42).scale < 1e-6
