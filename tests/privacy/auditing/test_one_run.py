"""The auditor's bounds are tight on mechanisms of known epsilon, and do not exceed it beyond their confidence."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from fedcredit.errors import ConfigError
from fedcredit.privacy.accounting import Step, epsilon_spent
from fedcredit.privacy.auditing.gaussian import gaussian_epsilon, gaussian_mu
from fedcredit.privacy.auditing.one_run import Bound, bound_epsilon, chance, steinke_bound

DELTA = 1e-5


def audit_gaussian(epsilon: float, *, canaries: int, seed: int, institutions: int = 1) -> Bound:
    """One run of the reference: unit vectors e_i of the canaries drawn, summed under noise, scored by <., e_i>.

    With several institutions each adds noise of its own to the same sum, and the auditor sees all of the releases.
    """
    rng = np.random.default_rng(seed)
    coins = rng.random(canaries) < 0.5
    mu = gaussian_mu(epsilon, delta=DELTA)
    releases = [coins.astype(float) + rng.normal(size=canaries) / mu for _ in range(institutions)]
    return bound_epsilon(np.sum(releases, axis=0), coins, delta=DELTA, is_gaussian=True)


@pytest.mark.parametrize("epsilon", [2.0, 3.0, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_on_a_gaussian_reference_the_bound_is_at_least_half_of_the_true_epsilon(epsilon: float, seed: int) -> None:
    found = audit_gaussian(epsilon, canaries=20_000, seed=seed)
    assert epsilon / 2 <= found.best <= epsilon
    assert found.epsilon >= 0.35 * epsilon  # without the assumption that the noise is Gaussian


@pytest.mark.slow
def test_at_epsilon_1_half_of_it_takes_100_000_canaries() -> None:
    assert 0.5 <= audit_gaussian(1.0, canaries=100_000, seed=0).best <= 1.0


def test_the_bound_exceeds_the_true_epsilon_no_more_often_than_its_confidence_allows() -> None:
    bounds = [audit_gaussian(1.0, canaries=500, seed=seed).best for seed in range(40)]
    assert sum(bound > 1.0 for bound in bounds) <= 2  # of 40; 95 % allows 2
    assert max(bounds) > 0.3  # and it is not silent either


def test_on_randomised_response_the_bound_is_close_and_holds() -> None:
    # The worst mechanism of pure epsilon: every coin is told truly with chance e / (1 + e).
    exceeded, bounds = 0, []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        coins = rng.random(2000) < 0.5
        told = np.where(rng.random(2000) < 1 / (1 + math.exp(-1.0)), coins, ~coins)
        found = bound_epsilon(told + rng.random(2000) / 2, coins, delta=1e-9, is_gaussian=False)
        bounds.append(found.epsilon)
        exceeded += found.epsilon > 1.0
    assert exceeded <= 2
    assert np.mean(bounds) > 0.8


@pytest.mark.parametrize(
    ("canaries", "guesses", "correct", "expected"),
    [(1000, 1000, 800, 1.25), (1000, 200, 190, 2.39), (1000, 200, 200, 4.17), (5000, 1000, 1000, 5.67)],
)
def test_bounds_are_those_of_the_paper(canaries: int, guesses: int, correct: int, expected: float) -> None:
    assert steinke_bound(canaries, guesses, correct=correct, delta=1e-5, error=0.05) == pytest.approx(
        expected, abs=0.05
    )


def test_the_chance_equals_a_count_over_all_outcomes() -> None:
    # Four guesses, each right with chance e^eps / (1 + e^eps): three or more right, outcome by outcome.
    p = 1 / (1 + math.exp(-0.7))
    outcomes = product((0, 1), repeat=4)
    counted = sum(math.prod(p if right else 1 - p for right in outcome) for outcome in outcomes if sum(outcome) >= 3)
    assert chance(10, 4, correct=3, epsilon=0.7, delta=0.0) == pytest.approx(counted)
    # With delta: 2 m delta max_i P[3 - i <= W < 3] / i, here i = 1 with P[W = 2], or i = 2 with P[1 <= W < 3] / 2, ...
    exactly = [math.comb(4, k) * p**k * (1 - p) ** (4 - k) for k in range(4)]
    added = max(exactly[2], (exactly[2] + exactly[1]) / 2, sum(exactly[:3]) / 3)
    assert chance(10, 4, correct=3, epsilon=0.7, delta=1e-3) == pytest.approx(counted + 20 * 1e-3 * added)


def test_delta_lowers_the_bound() -> None:
    loose, tight = (steinke_bound(1000, 100, correct=95, delta=delta, error=0.05) for delta in (1e-4, 0.0))
    assert loose < tight


def test_the_analytic_gaussian_is_what_the_accountant_says() -> None:
    # 40 steps of noise multiplier 8.91 on everybody: one Gaussian with mu = sqrt(40) / 8.91.
    exact = gaussian_epsilon(math.sqrt(40) / 8.91, delta=DELTA)
    assert exact == pytest.approx(epsilon_spent([Step(8.91, 1.0, 40)], delta=DELTA), abs=0.002)


def test_scores_that_are_not_numbers_are_refused() -> None:
    with pytest.raises(ConfigError):
        bound_epsilon(np.array([1.0, np.nan]), np.array([True, False]), delta=DELTA, is_gaussian=False)


def test_the_same_company_planted_at_3_institutions() -> None:
    # Each institution spends 3 on its own; a company known to all three loses what the three spend together.
    one = gaussian_mu(3.0, delta=DELTA)
    across = gaussian_epsilon(one * math.sqrt(3), delta=DELTA)
    assert across == pytest.approx(epsilon_spent([Step(1 / one, 1.0, 3)], delta=DELTA), abs=0.002)
    found = audit_gaussian(3.0, canaries=20_000, seed=0, institutions=3)
    assert 3.0 < found.best <= across  # epsilon 3 would be a false claim for this company
