"""Fitted calibration: right where the answer is known, equal pooled and federated, refused where there is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from fedcredit.credit.calibration import METHODS, Method, choose, fit, log_loss, to_long_run
from fedcredit.errors import ModelError
from fedcredit.evaluation.grid import GRID
from fedcredit.models.calibrated import Beta, Isotonic, Temperature, calibrate

Counts = NDArray[np.int64]


def companies(n: int, *, seed: int = 0, slope: float = 0.5, shift: float = -1.0) -> Counts:
    """Counts of n companies whose true log-odds are slope x score + shift."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-2, 1.5, n)
    y = rng.random(n) < 1 / (1 + np.exp(-(slope * z + shift)))
    return GRID.count(1 / (1 + np.exp(-z)), y.astype(int))


def exact(slope: float, shift: float) -> NDArray[np.float64]:
    """Counts in the very proportions that the curve says, as float."""
    share = 1 / (1 + np.exp(-(slope * GRID.log_odds + shift)))
    return np.stack([1e6 * (1 - share), 1e6 * share])


def test_temperature_finds_the_curve_that_made_the_counts() -> None:
    found = fit(exact(0.5, -1.0), method="temperature")
    assert isinstance(found, Temperature)
    assert (found.temperature, found.shift) == pytest.approx((2.0, -1.0), abs=1e-6)


def test_beta_finds_the_curve_that_made_the_counts() -> None:
    made = Beta(0.7, 1.3, -0.4)
    share = made.apply(GRID.pd)
    found = fit(np.stack([1e6 * (1 - share), 1e6 * share]), method="beta")
    assert isinstance(found, Beta)
    assert (found.a, found.b, found.c) == pytest.approx((0.7, 1.3, -0.4), abs=1e-6)


def test_temperature_agrees_with_an_unpenalised_logistic_regression() -> None:
    counts = companies(5000)
    z = np.repeat(GRID.log_odds, counts.sum(axis=0))
    y = np.concatenate([np.repeat([0, 1], column) for column in counts.T])
    plain = LogisticRegression(C=np.inf, tol=1e-10).fit(z[:, None], y)
    found = fit(counts, method="temperature")
    assert isinstance(found, Temperature)
    assert 1 / found.temperature == pytest.approx(float(plain.coef_[0, 0]), rel=1e-4)
    assert found.shift == pytest.approx(float(plain.intercept_[0]), rel=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_fitted_steps_meet_the_default_rate_and_improve_the_likelihood(method: Method) -> None:
    counts = companies(20_000)
    step = fit(counts, method=method)
    rate = counts[1].sum() / counts.sum()
    assert float((step.apply(GRID.pd) * counts.sum(axis=0)).sum() / counts.sum()) == pytest.approx(rate, rel=0.02)
    assert log_loss(counts, [step]) < log_loss(counts, [])
    assert (np.diff(step.apply(GRID.pd)) > 0).all()


@settings(max_examples=20)
@given(seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=5), method=st.sampled_from(METHODS))
def test_federated_is_pooled_to_the_bit(seeds: list[int], method: Method) -> None:
    parts = [companies(400 + seed % 300, seed=seed) for seed in seeds]
    summed = np.sum(parts, axis=0)
    shuffled = np.sum(parts[::-1], axis=0)
    assert fit(summed, method=method) == fit(shuffled, method=method)
    assert calibrate([0.1], [fit(summed, method=method)]) == calibrate([0.1], [fit(shuffled, method=method)])


def test_beta_with_a_slope_below_zero_keeps_the_order_of_the_scores() -> None:
    odds = -0.3 * np.log(GRID.pd) - 1.5 * np.log1p(-GRID.pd) - 3  # turns at the low end
    share = 1 / (1 + np.exp(-odds))
    step = fit(np.stack([1e4 * (1 - share), 1e4 * share]), method="beta")
    assert isinstance(step, Beta)
    assert (step.a, step.b > 0) == (0.0, True)
    assert (np.diff(step.apply(GRID.pd)) >= 0).all()


def test_a_full_newton_step_that_would_cycle_is_shortened() -> None:
    """Most scores low and few high: ln(p) and -ln(1 - p) are nearly alike, where plain Newton goes back and forth."""
    rng = np.random.default_rng(3)
    z = rng.normal(-3.5, 1.0, 4000)
    y = rng.random(4000) < 1 / (1 + np.exp(-z)) * np.where(z > 0, 0.3, 1.0)
    counts = GRID.count(1 / (1 + np.exp(-z)), y.astype(int))
    step = fit(counts, method="beta")
    p, n = step.apply(GRID.pd), counts.sum(axis=0)
    assert float((p * n).sum()) == pytest.approx(counts[1].sum(), rel=1e-6)  # the intercept's equation holds


def test_isotonic_of_few_companies_rises_strictly_and_is_never_certain() -> None:
    step = fit(companies(200), method="isotonic")
    assert isinstance(step, Isotonic)
    p = step.apply(GRID.pd)
    assert (np.diff(p) > 0).all()
    assert 0 < p.min() < p.max() < 1


def test_isotonic_rises_strictly_where_two_rates_differ_in_the_last_bit_only() -> None:
    """Of 10,000 such samples one has two blocks whose rates differ and whose log-odds do not."""
    step = fit(companies(441, seed=4241), method="isotonic")
    assert (np.diff(step.apply(GRID.pd)) > 0).all()


def test_long_run_shift_starts_from_the_rate_of_the_counts() -> None:
    counts = companies(5000)
    shift = to_long_run(counts, long_run_rate=0.02)
    p = calibrate(GRID.pd, [fit(counts, method="beta"), shift])
    # Not exactly 2 %: odds move, and the companies of these counts still default as they did.
    assert float((p * counts.sum(axis=0)).sum() / counts.sum()) < 0.05
    assert shift.from_rate == pytest.approx(counts[1].sum() / counts.sum())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("counts", "found"),
    [
        (np.stack([np.full(512, 10), np.zeros(512)]), "0 bad companies"),
        (np.stack([np.full(512, 10), np.eye(1, 512, 500)[0]]), "1 bad"),
        (np.stack([np.eye(1, 512, 5)[0] * 100, np.eye(1, 512, 5)[0] * 100]), "no better than chance"),
    ],
)
def test_too_few_outcomes_are_refused(method: Method, counts: NDArray[np.float64], found: str) -> None:
    with pytest.raises(ModelError, match=found):
        fit(counts, method=method)


@pytest.mark.parametrize("method", ["temperature", "beta"])
def test_scores_that_separate_the_classes_have_no_finite_answer(method: Method) -> None:
    counts = np.zeros((2, 512))
    counts[0, 100:150], counts[1, 300:350] = 5, 5
    with pytest.raises(ModelError, match="no finite answer"):
        fit(counts, method=method)


@pytest.mark.parametrize("method", METHODS)
def test_scores_that_rank_backwards_are_refused(method: Method) -> None:
    with pytest.raises(ModelError, match="no better than chance"):
        fit(companies(5000)[:, ::-1], method=method)


def test_choice_takes_the_simplest_method_that_is_as_good() -> None:
    straight = choose([companies(3000, seed=seed) for seed in range(5)])
    assert straight.method == "temperature"
    rng = np.random.default_rng(0)
    folds = []
    for _ in range(5):
        p = rng.beta(1, 3, 20_000)
        y = rng.random(20_000) < np.where(p < 0.3, 0.02, 0.6)  # a step that no line can follow
        folds.append(GRID.count(p, y.astype(int)))
    assert choose(folds).method == "isotonic"
    with pytest.raises(ModelError, match="two or more"):
        choose([companies(3000)])
