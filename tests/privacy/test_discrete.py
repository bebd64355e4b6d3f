"""Noise of whole numbers has the distribution that it should, alone and added up."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from fedcredit.errors import ConfigError
from fedcredit.privacy.discrete import discrete_gaussian


def expected(edges: np.ndarray, *, sigma: float) -> np.ndarray:
    """Probability of the whole numbers in [edges[i], edges[i + 1]), by summing them one by one."""
    support = np.arange(-int(40 * sigma), int(40 * sigma) + 1)
    mass = np.exp(-(support.astype(float) ** 2) / (2 * sigma**2))
    return np.histogram(support, edges, weights=mass / mass.sum())[0]


def bins_of(sigma: float) -> np.ndarray:
    inner = np.unique(np.round(np.linspace(-3 * sigma, 3 * sigma, 41)))
    return np.concatenate([[-41 * sigma], inner - 0.5, [41 * sigma]])


@pytest.mark.parametrize("sigma", [8.0, 33.3, 1000.7])
def test_noise_is_a_discrete_gaussian(sigma: float) -> None:
    noise = discrete_gaussian(200_000, sigma=sigma, uniform=np.random.default_rng(1).random)
    counts, edges = np.histogram(noise, bins_of(sigma))
    assert chisquare(counts, expected(edges, sigma=sigma) * len(noise), sum_check=False).pvalue > 1e-4


def test_shares_of_four_institutions_add_up_to_one_discrete_gaussian() -> None:
    rng = np.random.default_rng(2)
    total = np.sum([discrete_gaussian(200_000, sigma=50.0, uniform=rng.random) for _ in range(4)], axis=0)
    counts, edges = np.histogram(total, bins_of(100.0))
    assert chisquare(counts, expected(edges, sigma=100.0) * len(total), sum_check=False).pvalue > 1e-4


def test_a_noise_too_small_to_add_up_is_refused() -> None:
    with pytest.raises(ConfigError, match="8 to 2"):
        discrete_gaussian(1, sigma=7.9, uniform=np.random.default_rng(0).random)
