"""Figures of separation and calibration, by hand and beside scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score, roc_curve

from fedcredit.evaluation import metrics

RNG = np.random.default_rng(0)
Y = (RNG.random(400) < 0.2).astype(int)
TIED = np.round(np.clip(0.2 + 0.15 * Y + 0.2 * RNG.normal(size=400), 0.01, 0.99), 1)


def test_auc_counts_a_tie_as_half_a_win() -> None:
    # Pairs (positive, negative): .4 beats .1, ties .4; .8 beats both: 3.5 of 4.
    assert metrics.auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8]) == 3.5 / 4


def test_separation_agrees_with_scikit_learn_on_tied_scores() -> None:
    false_rate, true_rate, _ = roc_curve(Y, TIED)
    assert metrics.auc(Y, TIED) == pytest.approx(roc_auc_score(Y, TIED), abs=1e-12)
    assert metrics.gini(Y, TIED) == pytest.approx(2 * roc_auc_score(Y, TIED) - 1, abs=1e-12)
    assert metrics.ks(Y, TIED) == pytest.approx(np.max(true_rate - false_rate), abs=1e-12)
    assert metrics.average_precision(Y, TIED) == pytest.approx(average_precision_score(Y, TIED), abs=1e-12)
    assert metrics.brier(Y, TIED) == pytest.approx(brier_score_loss(Y, TIED), abs=1e-12)


def test_figures_do_not_depend_on_the_order_of_rows() -> None:
    mixed = RNG.permutation(len(Y))
    for figure in (metrics.auc, metrics.ks, metrics.average_precision, metrics.lift_10, metrics.ece):
        assert figure(Y, TIED) == pytest.approx(figure(Y[mixed], TIED[mixed]), abs=1e-12)


def test_auc_of_one_class_is_not_a_number() -> None:
    assert np.isnan(metrics.auc([1, 1], [0.1, 0.2]))
    assert np.isnan(metrics.auc([0, 0], [0.1, 0.2]))


def test_a_slice_needs_ten_of_each_class() -> None:
    assert metrics.has_both_classes([1] * 10 + [0] * 10)
    assert not metrics.has_both_classes([1] * 10 + [0] * 9)


def test_lift_is_one_when_all_scores_are_equal() -> None:
    assert metrics.lift_10(Y, np.full(len(Y), 0.3)) == pytest.approx(1.0)


def test_lift_of_a_perfect_ranking_is_ten_when_defaults_fit_into_the_tenth() -> None:
    assert metrics.lift_10([1] * 5 + [0] * 95, np.linspace(1, 0, 100)) == pytest.approx(10.0)


def test_ece_of_a_constant_equal_to_the_rate_is_zero() -> None:
    assert metrics.ece([1, 0, 0, 0] * 10, [0.25] * 40) == 0.0


def test_reliability_bins_hold_equal_numbers() -> None:
    assert metrics.reliability(Y, np.linspace(0, 1, 400)).rows.tolist() == [40.0] * 10


def test_stratified_auc_is_the_pair_weighted_mean_over_strata() -> None:
    # Stratum a: 1 x 2 pairs, AUC 1. Stratum b: 1 x 1 pair, AUC 0. Stratum c: one class, no pair.
    y, p = [1, 0, 0, 1, 0, 1], [0.9, 0.1, 0.2, 0.3, 0.8, 0.5]
    assert metrics.stratified_auc(y, p, list("aaabbc")) == pytest.approx(2 / 3)


def test_a_score_that_only_knows_the_stratum_has_no_stratified_separation() -> None:
    year = np.repeat([0, 1], 200)
    y = np.concatenate([np.arange(200) < 20, np.arange(200) < 80]).astype(int)
    assert metrics.auc(y, year) > 0.6
    assert metrics.stratified_auc(y, year, year) == 0.5


def test_recalibration_agrees_with_an_unpenalised_logistic_regression() -> None:
    p = np.clip(TIED + RNG.normal(size=400) * 0.001, 0.005, 0.995)
    logit = np.log(p / (1 - p))[:, None]
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit, Y)
    found = metrics.recalibration(Y, p)
    assert found.slope == pytest.approx(peer.coef_[0, 0], abs=1e-4)
    assert found.intercept == pytest.approx(peer.intercept_[0], abs=1e-4)


def test_recalibration_finds_the_slope_of_predictions_that_are_twice_too_extreme() -> None:
    truth = RNG.normal(size=200_000) - 2
    y = RNG.random(200_000) < 1 / (1 + np.exp(-truth))
    found = metrics.recalibration(y, 1 / (1 + np.exp(-2 * truth)))
    assert found.slope == pytest.approx(0.5, abs=0.01)
    assert found.intercept == pytest.approx(0.0, abs=0.03)


def test_recalibration_survives_probabilities_of_exactly_zero_and_one() -> None:
    p = np.where(np.arange(400) % 50 == 0, np.where(TIED > 0.3, 1.0, 0.0), TIED)
    assert np.isfinite(metrics.recalibration(Y, p)).all()


@pytest.mark.parametrize(
    ("y", "p"),
    [([0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4]), ([0, 1], [0.5, 0.5]), ([1, 1], [0.2, 0.5])],
    ids=["separated", "one score", "one class"],
)
def test_recalibration_without_a_finite_answer_says_so(y: list[int], p: list[float]) -> None:
    assert np.isnan(metrics.recalibration(y, p)).all()
