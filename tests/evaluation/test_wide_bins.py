"""What stands for a wide bin is near the mean of the scores in it, at the open ends too."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.errors import TableError
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.noised import coarse
from fedcredit.evaluation.wide_bins import MIDDLES, WideBins, wide_bins


@pytest.mark.parametrize(("mean", "spread"), [(-2.0, 1.5), (-5.0, 1.5), (-0.5, 1.5), (-3.0, 0.5), (1.5, 2.0)])
def test_log_odds_of_a_bin_are_near_the_mean_of_its_scores(mean: float, spread: float) -> None:
    z = np.random.default_rng(0).normal(mean, spread, 200_000).clip(-7.9, 7.9)
    counts = GRID.count(1 / (1 + np.exp(-z)), np.zeros(len(z)))
    found = wide_bins(coarse(counts)).log_odds
    place = np.clip(((z + 6) / 0.5).astype(int), 0, 15)
    held = np.bincount(place, minlength=16)
    means = np.bincount(place, weights=z, minlength=16)[held > 500] / held[held > 500]
    assert np.abs(found[held > 500] - means).max() < 0.05
    middles = np.abs(MIDDLES[held > 500] - means)
    assert middles.max() > 0.06, "the middle is farther"


@pytest.mark.parametrize("at", range(16))
def test_all_companies_in_one_bin_still_give_log_odds_that_rise(at: int) -> None:
    counts = np.zeros((2, 16))
    counts[:, at] = 100
    assert (np.diff(wide_bins(counts).log_odds) > 0).all()


def test_no_companies_give_the_middles() -> None:
    np.testing.assert_allclose(wide_bins(np.zeros((2, 16))).log_odds, MIDDLES)


@pytest.mark.parametrize("counts", [np.zeros((2, 15)), np.full((2, 16), np.nan), np.full((2, 16), -1.0)])
def test_what_is_no_count_of_wide_bins_is_refused(counts: np.ndarray) -> None:
    with pytest.raises(TableError):
        wide_bins(counts)


@pytest.mark.parametrize("z", [(0.0,) * 16, (0.0, 1.0), (*range(15), float("nan"))])
def test_log_odds_that_do_not_rise_are_refused(z: tuple[float, ...]) -> None:
    with pytest.raises(TableError):
        WideBins(z)
