"""DeLong's interval beside the definition written out in loops, and its version for companies with several rows."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.evaluation.delong import auc_interval, delong, paired_difference

RNG = np.random.default_rng(3)
Y = np.array([1] * 12 + [0] * 30)
SCORES = np.round(RNG.normal(size=(3, 42)) + Y, 1)  # rounded, so that there are ties


def written_out(y: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    psi = np.array([[[(a > b) + 0.5 * (a == b) for b in s[y == 0]] for a in s[y == 1]] for s in scores])
    by_positive, by_negative = psi.mean(axis=2), psi.mean(axis=1)
    positives, negatives = psi.shape[1:]
    return psi.mean(axis=(1, 2)), np.cov(by_positive) / positives + np.cov(by_negative) / negatives


def test_midranks_give_delongs_estimate() -> None:
    auc, covariance = delong(Y, SCORES)
    expected_auc, expected_covariance = written_out(Y, SCORES)
    assert auc == pytest.approx(expected_auc)
    assert covariance == pytest.approx(expected_covariance)


def test_one_row_a_company_is_the_plain_estimate() -> None:
    plain, clustered = delong(Y, SCORES), delong(Y, SCORES, company=np.arange(42))
    assert clustered[1] == pytest.approx(plain[1])


def test_repeating_every_company_adds_no_certainty() -> None:
    twice = np.repeat(np.arange(42), 2)
    once, again = delong(Y, SCORES), delong(Y[twice], SCORES[:, twice], company=twice)
    assert again[0] == pytest.approx(once[0])
    assert again[1] == pytest.approx(once[1])
    assert delong(Y[twice], SCORES[:, twice])[1][0, 0] < 0.6 * once[1][0, 0]


def test_interval_of_the_seed_mean_uses_the_seeds_covariance() -> None:
    one, three = auc_interval(Y, SCORES[:1]), auc_interval(Y, SCORES)
    assert three.point == pytest.approx(delong(Y, SCORES)[0].mean())
    assert three.high - three.low < one.high - one.low
    assert auc_interval(Y, np.repeat(SCORES[:1], 3, axis=0)) == pytest.approx(one)


def test_a_perfect_ranking_is_not_certain() -> None:
    # Exact binomial bound for 12 of 12: .025 ** (1 / 12).
    assert auc_interval(Y, Y) == pytest.approx((1.0, 0.7353, 1.0), abs=1e-4)


def test_paired_difference_is_narrower_than_two_separate_intervals() -> None:
    first, second = SCORES[0], SCORES[0] + RNG.normal(size=42) * 0.1
    found = paired_difference(Y, first, second)
    _, covariance = delong(Y, np.vstack([first, second]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert found.high - found.point == pytest.approx(1.959964 * np.sqrt(variance))
    assert found.high - found.low < 0.5 * 2 * 1.96 * np.sqrt(covariance[0, 0])
