"""Discrete Laplace noise: its distribution, its shares, and what it spends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedcredit.errors import ConfigError
from fedcredit.privacy.discrete_laplace import _survival, discrete_laplace, discrete_laplace_deviation
from fedcredit.privacy.mechanism import Mechanism, joint_epsilon
from fedcredit.privacy.randomness import Stream


def chances(scale: float, shares: int, *, reach: int) -> np.ndarray:
    """Of -reach..reach for one share, from the table that is drawn from."""
    at_least = np.concatenate([[1.0], _survival(scale, shares), np.zeros(reach)])
    half = (at_least[:-1] - at_least[1:])[: reach + 1]
    return np.correlate(half, half, mode="full")


@pytest.mark.parametrize(("scale", "shares"), [(0.5, 1), (0.5, 5), (2.0, 3), (10.0, 2)])
def test_shares_add_up_to_the_exact_distribution(scale: float, shares: int) -> None:
    reach = math.ceil(40 * scale)
    one = chances(scale, shares, reach=reach)
    total = one
    for _ in range(shares - 1):
        total = np.convolve(total, one)
    k = np.arange(total.size) - total.size // 2
    near = np.abs(k) <= reach // 4
    q = math.exp(-1 / scale)
    assert total[near] == pytest.approx((1 - q) / (1 + q) * q ** np.abs(k[near]), rel=1e-9)


@pytest.mark.parametrize(("scale", "shares"), [(0.5, 1), (0.5, 5), (20.0, 1)])
def test_drawn_noise_is_centred_and_as_wide_as_it_says(scale: float, shares: int) -> None:
    noise = discrete_laplace(200_000, scale=scale, uniform=Stream().uniforms, shares=shares)
    deviation = discrete_laplace_deviation(scale, shares=shares)
    assert noise.dtype == np.int64
    assert abs(noise.mean()) < 6 * deviation / math.sqrt(noise.size)
    assert noise.std() == pytest.approx(deviation, rel=0.08)


def test_drawn_noise_has_the_frequencies_of_the_formula() -> None:
    noise = discrete_laplace(200_000, scale=1.0, uniform=np.random.default_rng(0).random)
    q = math.exp(-1)
    for k in range(-3, 4):
        assert np.mean(noise == k) == pytest.approx((1 - q) / (1 + q) * q ** abs(k), abs=0.005)


def test_one_release_spends_its_epsilon_and_many_no_less_than_the_worst_noise_does() -> None:
    once = Mechanism("metrics", noise_scale=0.5, noise="discrete_laplace")
    assert joint_epsilon([once], delta=1e-5) == pytest.approx(2.0, abs=1e-3)
    discrete = joint_epsilon([once.times(50)], delta=1e-5)
    continuous = joint_epsilon([Mechanism("metrics", noise_scale=0.5, noise="laplace", count=50)], delta=1e-5)
    assert continuous < discrete <= 100.0 + 1e-6  # whole numbers lose more than the continuous noise of their scale


@pytest.mark.parametrize(("scale", "shares"), [(0.001, 1), (1e9, 1), (math.nan, 1), (1.0, 0)])
def test_noise_that_cannot_be_is_refused(scale: float, shares: int) -> None:
    with pytest.raises(ConfigError):
        discrete_laplace(1, scale=scale, uniform=Stream().uniforms, shares=shares)
