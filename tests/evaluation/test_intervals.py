"""The bootstrap over companies, seeds and institutions."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from fedcredit.evaluation import intervals
from fedcredit.evaluation.delong import delong
from fedcredit.evaluation.intervals import (
    auc_draws,
    company_weights,
    hierarchical_mean,
    institution_picks,
    over_seeds,
    percentile_interval,
    seed_weights,
)

RNG = np.random.default_rng(5)
Y = (RNG.random(300) < 0.2).astype(int)
SCORES = np.round(RNG.normal(size=(4, 300)) + Y, 1)
COMPANY = RNG.integers(200, size=300)  # some have several rows, of either class


def all_weights(y: np.ndarray, company: np.ndarray, *, draws: int, seed: int = 1) -> np.ndarray:
    return np.hstack(list(company_weights(y, company, rng=np.random.default_rng(seed), draws=draws)))


def test_rows_of_one_company_are_drawn_together() -> None:
    weights = all_weights(Y, COMPANY, draws=50)
    for name in np.unique(COMPANY):
        assert np.ptp(weights[name == COMPANY], axis=0).max() == 0


def test_each_draw_has_as_many_companies_of_each_class_as_the_table() -> None:
    companies = np.arange(300)
    weights = all_weights(Y, companies, draws=50)
    assert set(weights[Y == 1].sum(axis=0)) == {float(Y.sum())}
    assert set(weights[Y == 0].sum(axis=0)) == {float(300 - Y.sum())}


@pytest.mark.parametrize("y", [Y, 1 - Y], ids=["few defaults", "mostly defaults"])
def test_every_draw_is_the_weighted_auc(y: np.ndarray) -> None:
    drawn = auc_draws(y, SCORES, company=COMPANY, rng=np.random.default_rng(1), draws=20)
    weights = all_weights(y, COMPANY, draws=20)
    expected = [[roc_auc_score(y, score, sample_weight=w) for w in weights.T] for score in SCORES]
    assert drawn == pytest.approx(np.array(expected), abs=1e-9)


def test_weights_are_held_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "CHUNK_CELLS", 300 * 16)
    sizes = [part.shape for part in company_weights(Y, COMPANY, rng=RNG, draws=50)]
    assert sizes == [(300, 16), (300, 16), (300, 16), (300, 2)]
    assert auc_draws(Y, SCORES, company=COMPANY, rng=RNG, draws=50).shape == (4, 50)


def test_the_spread_of_draws_agrees_with_delong() -> None:
    drawn = auc_draws(Y, SCORES, company=np.arange(300), rng=RNG, draws=2000)
    assert np.cov(drawn) == pytest.approx(delong(Y, SCORES)[1], abs=0.1 * delong(Y, SCORES)[1].max())


def test_a_draw_without_pairs_is_left_out_of_the_interval() -> None:
    # The only negatives belong to a company that also defaulted, and a draw may miss it.
    y, company = np.array([1, 1, 0, 1]), np.array(["a", "b", "b", "c"])
    drawn = auc_draws(y, np.array([[0.4, 0.1, 0.2, 0.3]]), company=company, rng=np.random.default_rng(0), draws=200)
    assert 0 < np.isnan(drawn).sum() < 200
    assert np.isfinite(percentile_interval(0.5, drawn[0])).all()


def test_same_seed_gives_the_same_draws() -> None:
    first, second = (auc_draws(Y, SCORES, company=COMPANY, rng=np.random.default_rng(9), draws=30) for _ in range(2))
    assert np.array_equal(first, second)


def test_seeds_are_drawn_with_replacement() -> None:
    weights = seed_weights(3, rng=RNG, draws=2000)
    assert weights.sum(axis=1) == pytest.approx(np.ones(2000))
    assert set(np.round(weights.ravel() * 3)) == {0.0, 1.0, 2.0, 3.0}
    figures = np.array([[0.6], [0.7], [0.8]]) * np.ones((3, 2000))
    # Variance of the mean of 3 drawn from {.6, .7, .8}: (.01 * 2 / 3) / 3.
    assert over_seeds(figures, weights).var() == pytest.approx(0.02 / 9, rel=0.15)


def test_hierarchical_interval_holds_the_spread_between_institutions() -> None:
    levels = [0.60, 0.70, 0.80, 0.90]
    figures = [np.full((2, 2000), level) for level in levels]
    picks = institution_picks(4, rng=RNG, draws=2000)
    drawn = hierarchical_mean(figures, picks=picks, weights=seed_weights(2, rng=RNG, draws=2000))
    assert drawn.mean() == pytest.approx(0.75, abs=0.01)
    assert drawn.var() == pytest.approx(np.var(levels) / 4, rel=0.15)


def test_hierarchical_interval_holds_the_spread_of_companies_inside() -> None:
    figures = [0.7 + 0.1 * RNG.normal(size=(1, 2000)) for _ in range(4)]
    drawn = hierarchical_mean(figures, picks=institution_picks(4, rng=RNG, draws=2000), weights=np.ones((2000, 1)))
    assert drawn.std() == pytest.approx(0.1 / 2, rel=0.1)


def test_contrast_of_equal_arms_is_zero_in_every_draw() -> None:
    figures = [RNG.random((3, 200)) for _ in range(5)]
    picks, weights = institution_picks(5, rng=RNG, draws=200), seed_weights(3, rng=RNG, draws=200)
    first, second = (hierarchical_mean(figures, picks=picks, weights=weights) for _ in range(2))
    assert not (first - second).any()


def test_interval_is_the_middle_of_the_draws() -> None:
    assert percentile_interval(50.0, np.arange(101)) == pytest.approx((50.0, 2.5, 97.5))
