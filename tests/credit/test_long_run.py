"""The rate that PDs are calibrated to, with and without outcomes."""

import numpy as np
import pytest

from fedcredit.credit.calibration import fit, to_long_run
from fedcredit.credit.long_run import Period, anchor, estimate_rate, long_run_rate, point_in_time, through_the_cycle
from fedcredit.errors import ModelError
from fedcredit.evaluation.grid import GRID
from fedcredit.models.calibrated import calibrate


def scored(n: int, *, rate: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores and outcomes: the bad score two units of log-odds worse than the good, whatever their share."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < rate).astype(int)
    z = rng.normal(-2 + 2 * y, 1.0)
    return 1 / (1 + np.exp(-z)), y


def test_every_period_counts_once() -> None:
    periods = [Period("good years", 10_000, 100), Period("bad year", 100, 5)]
    assert long_run_rate(periods) == pytest.approx(0.03)


@pytest.mark.parametrize("periods", [[], [Period("a", 0, 0)], [Period("a", 5, 6)]])
def test_rates_that_are_none_are_refused(periods: list[Period]) -> None:
    with pytest.raises(ModelError):
        long_run_rate(periods)


def test_rate_is_found_without_outcomes_where_only_the_shares_moved() -> None:
    p, y = scored(100_000, rate=0.13)
    counts = GRID.count(p, y)
    step = fit(counts, method="temperature")
    for rate in (0.03, 0.13, 0.3):
        unknown, truth = scored(100_000, rate=rate, seed=7)
        scores = GRID.count(unknown, np.zeros(len(unknown))).sum(axis=0)
        found = estimate_rate(scores, steps=[step], from_rate=to_long_run(counts, long_run_rate=0.5).from_rate)
        assert found.rate == pytest.approx(rate, rel=0.1)
        assert found.low < truth.mean() < found.high


def test_rate_without_outcomes_is_wrong_where_the_good_have_moved() -> None:
    """The assumption that is stated is one that matters."""
    p, y = scored(20_000, rate=0.13)
    step = fit(GRID.count(p, y), method="beta")
    z = np.log(p / (1 - p)) + 0.5  # everybody scores worse, nobody defaults more
    scores = GRID.count(1 / (1 + np.exp(-z)), np.zeros(len(z))).sum(axis=0)
    found = estimate_rate(scores, steps=[step], from_rate=float(y.mean()))
    assert found.low > y.mean() + 0.03


@pytest.mark.parametrize("scores", [np.zeros(512), np.full(3, 1.0), np.full(512, np.nan), np.full(512, -1.0)])
def test_scores_that_are_no_counts_are_refused(scores: np.ndarray) -> None:
    with pytest.raises(ModelError):
        estimate_rate(scores, steps=[], from_rate=0.1)


@pytest.mark.parametrize("rate", [0.001, 0.03, 0.6])
def test_anchored_companies_have_the_rate_as_their_mean_and_keep_their_order(rate: float) -> None:
    p, y = scored(5_000, rate=0.13)
    counts = GRID.count(p, y)
    steps = [fit(counts, method="beta")]
    shift = anchor(counts.sum(axis=0), steps=steps, rate=rate)
    pd = calibrate(GRID.pd, [*steps, shift])
    assert float(pd @ counts.sum(axis=0) / counts.sum()) == pytest.approx(rate, rel=1e-9)
    assert (np.diff(pd) > 0).all()


def test_anchor_of_the_fitted_companies_at_their_own_rate_changes_nothing() -> None:
    p, y = scored(5_000, rate=0.13)
    counts = GRID.count(p, y)
    shift = anchor(counts.sum(axis=0), steps=[fit(counts, method="temperature")], rate=float(y.mean()))
    assert shift.from_rate == pytest.approx(shift.to_rate, rel=1e-6)


@pytest.mark.parametrize("rate", [0.0, 1.0, float("nan")])
def test_rate_that_nobody_can_be_anchored_to_is_refused(rate: float) -> None:
    with pytest.raises(ModelError):
        anchor(np.ones(512), steps=[], rate=rate)


def test_point_in_time_and_through_the_cycle_are_each_others_inverse_and_keep_ranks() -> None:
    pit = np.array([0.001, 0.02, 0.3])
    ttc = through_the_cycle(pit, period_rate=0.05, long_run=0.03)
    assert (ttc < pit).all()
    assert (np.diff(ttc) > 0).all()
    assert point_in_time(ttc, long_run=0.03, period_rate=0.05) == pytest.approx(pit)
