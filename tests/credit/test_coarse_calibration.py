"""What a calibration loses where counts came in wide bins, and under noise at epsilon 2."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from fedcredit.credit.calibration import METHODS, Method, fit
from fedcredit.evaluation.agreement import agreement
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.noised import coarse, tidied
from fedcredit.evaluation.wide_bins import wide_bins
from fedcredit.models.calibrated import Step, Temperature
from fedcredit.privacy.counted import solve_release

# Mean and spread of the log-odds of the scores; slope and shift of the truth on them.
CASES = {
    "timid scores": (-2.0, 1.5, 1.5, -0.5),
    "extreme scores": (-2.0, 1.5, 0.5, -1.5),
    "rare defaults": (-3.5, 1.0, 1.0, 0.0),
    "scores of balanced classes": (-0.5, 1.5, 1.0, -3.0),
    "narrow scores": (-3.0, 0.5, 2.0, 3.0),
}
COMPANIES, DRAWS, INSTITUTIONS = 5000, 25, 3
DEVIATION = solve_release(2.0, delta=1e-5, evaluations=1).deviation_of_sum(INSTITUTIONS)
Counts = NDArray[np.int64]


def companies(case: str, rng: np.random.Generator, *, n: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    mean, spread, slope, shift = CASES[case]
    z = rng.normal(mean, spread, n)
    y = rng.random(n) < 1 / (1 + np.exp(-(slope * z + shift)))
    return 1 / (1 + np.exp(-z)), y.astype(np.int64)


def on_wide(counts: Counts, method: Method) -> Step:
    return fit(coarse(counts), method=method, grid=wide_bins(coarse(counts)))


def under_noise(counts: Counts, method: Method, rng: np.random.Generator) -> Step:
    table = tidied(coarse(counts) + rng.normal(0, DEVIATION, (2, 16)).round())
    return fit(table, method=method, grid=wide_bins(table))


def slopes_and_levels(
    case: str, fitted: Callable[[Counts, np.random.Generator], Step]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Over draws of companies and noise: the fitted slope, and observed / expected of 100,000 others."""
    p, y = companies(case, np.random.default_rng(99), n=100_000)
    slopes, levels = [], []
    for draw in range(DRAWS):
        rng = np.random.default_rng(draw)
        step = fitted(GRID.count(*companies(case, rng, n=COMPANIES)), rng)
        found = agreement(GRID.count(step.apply(p), y))
        assert found is not None
        slopes.append(1 / step.temperature if isinstance(step, Temperature) else np.nan)
        levels.append(found.observed_expected.point)
    return np.array(slopes), np.array(levels)


@pytest.mark.parametrize("case", CASES)
def test_wide_bins_cost_2_percent_of_the_slope_and_of_the_level(case: str) -> None:
    exact, _ = slopes_and_levels(case, lambda counts, _: fit(counts, method="temperature"))
    wide, levels = slopes_and_levels(case, lambda counts, _: on_wide(counts, "temperature"))
    assert np.abs(wide / exact - 1).mean() < 0.03
    assert wide.mean() == pytest.approx(exact.mean(), rel=0.02)
    assert levels.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("case", CASES)
def test_noise_at_epsilon_2_keeps_the_level_and_costs_3_percent_of_the_slope(case: str) -> None:
    exact, before = slopes_and_levels(case, lambda counts, _: fit(counts, method="temperature"))
    noised, levels = slopes_and_levels(case, lambda counts, rng: under_noise(counts, "temperature", rng))
    is_narrow = case == "narrow scores"  # noise where nobody is has most leverage there
    assert noised.mean() == pytest.approx(exact.mean(), rel=0.08 if is_narrow else 0.03)
    assert np.abs(noised / exact - 1).max() < 0.2, "in the worst draw"
    assert levels.mean() == pytest.approx(before.mean(), abs=0.02)
    assert np.abs(levels / before - 1).max() < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_meets_the_level_under_noise(method: Method) -> None:
    _, levels = slopes_and_levels("extreme scores", lambda counts, rng: under_noise(counts, method, rng))
    assert levels.mean() == pytest.approx(1, abs=0.03)
