"""Score histograms by class released with noise: what the AUC loses at epsilon 2, and that its error is told."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.errors import ConfigError, TableError
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.metrics import auc
from fedcredit.evaluation.noised import NoisedAuc, coarse, noised_auc, tidied
from fedcredit.privacy.randomness import Stream
from fedcredit.privacy.released import Release

EPSILON = 2.0
SHARES = [0.4, 0.25, 0.2, 0.1, 0.05]  # of five institutions
OF_EACH, OF_SUM = Release(EPSILON), Release(EPSILON, shares=len(SHARES))


def companies(seed: int, *, n: int, level: float) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Scores that know something, outcomes, and the coarse counts of each institution."""
    rng = np.random.default_rng(seed)
    true = rng.normal(level, 1.3, n)
    y = rng.random(n) < 1 / (1 + np.exp(-true))
    p = 1 / (1 + np.exp(-(true + rng.normal(0, 0.8, n))))
    where = rng.choice(len(SHARES), n, p=SHARES)
    return p, y, [coarse(GRID.count(p[where == i], y[where == i])) for i in range(len(SHARES))]


def released(counts: list[np.ndarray], release: Release, *, seed: int) -> NoisedAuc:
    uniform = np.random.default_rng(seed).random
    total = np.sum([release.noised(own, uniform=uniform) for own in counts], axis=0)
    found = noised_auc(total, deviation=release.deviation_of_sum(len(counts)))
    assert found is not None
    return found


def errors(release: Release, *, n: int, level: float, draws: int = 60) -> np.ndarray:
    """Distance of the released AUC from that of the scores themselves."""
    found = []
    for seed in range(draws):
        p, y, counts = companies(seed, n=n, level=level)
        found.append(abs(released(counts, release, seed=seed).auc - auc(y, p)))
    return np.array(found)


@pytest.mark.parametrize("release", [OF_EACH, OF_SUM], ids=["each institution adds noise", "the sum is noised"])
def test_auc_of_six_thousand_companies_is_within_a_hundredth_at_epsilon_two(release: Release) -> None:
    found = errors(release, n=6_000, level=-2.4)  # 800 defaults
    assert np.quantile(found, 0.95) <= 0.01
    assert found.mean() <= 0.005


def test_with_rare_defaults_noise_of_the_sum_holds_where_noise_of_each_does_not() -> None:
    # 5,000 companies, 330 defaults.
    assert np.quantile(errors(OF_SUM, n=5_000, level=-3.2), 0.95) <= 0.01
    assert np.quantile(errors(OF_EACH, n=5_000, level=-3.2), 0.95) > 0.01


def test_the_error_of_the_noise_is_what_is_said() -> None:
    for release in (OF_EACH, OF_SUM):
        _, _, counts = companies(3, n=5_000, level=-3.0)
        found = [released(counts, release, seed=seed) for seed in range(300)]
        said = np.mean([each.noise_error for each in found])
        assert np.std([each.auc for each in found]) == pytest.approx(said, rel=0.2)


def test_the_interval_holds_the_auc_of_the_population() -> None:
    # The population's AUC from a very large sample; ties of the coarse bins pull the release down by .002.
    p, y, _ = companies(0, n=400_000, level=-2.4)
    truth = auc(y, p)
    found = []
    for seed in range(200):
        each = released(companies(seed, n=3_000, level=-2.4)[2], OF_EACH, seed=seed)
        found.append(each.low <= truth <= each.high)
    assert 0.91 <= np.mean(found) <= 0.99


def test_noise_comes_from_the_operating_system_in_a_release() -> None:
    counts = companies(1, n=500, level=-2.0)[2][0]
    one, other = (OF_EACH.noised(counts, uniform=Stream().uniforms) for _ in range(2))
    assert one.shape == counts.shape
    assert (one != other).any()


def test_tidied_counts_rise_in_both_distributions_and_keep_their_sum() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        noised = rng.poisson(2.0, (2, 16)) + rng.integers(-4, 5, (2, 16))
        found = tidied(noised)
        assert (np.diff(np.cumsum(found, axis=1), axis=1) >= -1e-9).all()
        assert found.sum(axis=1) == pytest.approx(noised.sum(axis=1).clip(min=0))


def test_counts_without_noise_are_tidy_already() -> None:
    counts = companies(1, n=500, level=-2.0)[2][0]
    assert (tidied(counts) == counts).all()


def test_coarse_bins_cost_little_auc_and_lose_nobody() -> None:
    p, y, counts = companies(2, n=20_000, level=-2.4)
    total = np.sum(counts, axis=0)
    assert total.sum() == 20_000
    found = noised_auc(total, deviation=0.0)
    assert found is not None
    assert found.noise_error == 0.0
    assert abs(found.auc - auc(y, p)) < 0.004
    assert abs(found.auc - auc(y, p)) <= found.bin_error


def test_too_few_defaults_have_no_auc() -> None:
    assert noised_auc([[100, 20], [3, 4]], deviation=0.6) is None
    assert noised_auc([[100, 20], [-3, -4]], deviation=0.6) is None


def test_a_company_with_more_rows_needs_more_noise() -> None:
    assert Release(2.0, rows=4).scale == 4 * Release(2.0).scale
    assert Release(2.0, rows=4).mechanism == Release(2.0).mechanism


@pytest.mark.parametrize(("epsilon", "rows", "shares"), [(0.0, 1, 1), (50.0, 1, 1), (2.0, 0, 1), (2.0, 1, 0)])
def test_a_release_that_cannot_be_is_refused(epsilon: float, rows: int, shares: int) -> None:
    with pytest.raises(ConfigError):
        Release(epsilon, rows=rows, shares=shares)


def test_what_is_no_count_is_refused() -> None:
    for counts in ([[0.5]], [[-1]]):
        with pytest.raises(ConfigError):
            OF_EACH.noised(counts, uniform=Stream().uniforms)
    with pytest.raises(TableError):
        tidied([np.nan])
