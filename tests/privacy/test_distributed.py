"""Shares of noise make up what the sum needs, whoever colludes or drops out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from fedcredit.errors import ConfigError
from fedcredit.privacy.accounting import Step, epsilon_spent
from fedcredit.privacy.distributed import ROUNDED_ERROR, Crowd, Sought, noise_share, solve_shared_noise


def test_what_the_colluders_do_not_know_is_the_whole_noise() -> None:
    crowd = Crowd(7, colluders=2, dropouts=1)
    rng = np.random.default_rng(3)
    shares = [
        noise_share(100_000, noise_multiplier=2.0, clip=1.0, scale=10_000, crowd=crowd, uniform=rng.random)
        for _ in range(4)  # of seven, two collude and one has dropped out
    ]
    whole = 2.0 * (10_000 + np.sqrt(100_000))
    assert np.sum(shares, axis=0).std() == pytest.approx(whole, rel=0.01)


def test_more_survivors_than_planned_are_more_noise_and_fewer_are_refused() -> None:
    crowd = Crowd(10, colluders=3, dropouts=2)
    assert crowd.noise_of(8, noise_multiplier=2.0) == 2.0
    assert crowd.noise_of(10, noise_multiplier=2.0) == pytest.approx(2.0 * np.sqrt(7 / 5))
    with pytest.raises(ConfigError, match="8 or more"):
        crowd.noise_of(7, noise_multiplier=2.0)


@pytest.mark.parametrize(("institutions", "colluders", "dropouts"), [(4, 1, 2), (3, 2, 0), (4, -1, 0)])
def test_a_crowd_in_which_nobody_honest_is_left_is_refused(institutions: int, colluders: int, dropouts: int) -> None:
    with pytest.raises(ConfigError, match="at least 2 others"):
        Crowd(institutions, colluders, dropouts)


@pytest.mark.parametrize("sigma", [10.0, 100.0])
def test_a_discrete_gaussian_is_a_rounded_one_but_for_the_stated_error(sigma: float) -> None:
    k = np.arange(-int(12 * sigma), int(12 * sigma) + 1)
    discrete = np.exp(-(k.astype(float) ** 2) / (2 * sigma**2))
    rounded = np.diff(norm.cdf(np.append(k - 0.5, k[-1] + 0.5) / sigma))
    apart = np.abs(discrete / discrete.sum() - rounded).sum() / 2
    assert 0.2 * ROUNDED_ERROR < apart * sigma**2 < ROUNDED_ERROR


def test_what_whole_numbers_cost_is_kept_back_and_a_grid_too_coarse_or_fine_is_refused() -> None:
    sought = Sought(epsilon=3.0, delta=1e-5, sample_rate=0.5, steps=40)
    noise = solve_shared_noise(sought, dimension=2000, clip=1.0, scale=2.0**40, crowd=Crowd.of(5))
    assert 2.99 < epsilon_spent([Step(noise, 0.5, 40)], delta=1e-5) < 3.0
    with pytest.raises(ConfigError, match="a grid too coarse"):
        solve_shared_noise(sought, dimension=2000, clip=1.0, scale=2.0**10, crowd=Crowd.of(5))
    with pytest.raises(ConfigError, match="a grid too fine"):  # before a round is charged that could not be noised
        solve_shared_noise(sought, dimension=2000, clip=1.0, scale=2.0**50, crowd=Crowd.of(5))
