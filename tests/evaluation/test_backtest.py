"""Tests of the PD of each grade, by hand, beside scipy, and on scales that are right or wrong."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, fisher_exact
from sklearn.metrics import brier_score_loss

from fedcredit.errors import ConfigError
from fedcredit.evaluation.agreement import agreement
from fedcredit.evaluation.backtest import (
    backtest,
    binomial_test,
    binomial_test_two_sided,
    jeffreys_test,
    jeffreys_test_two_sided,
    z_test,
)
from fedcredit.evaluation.concentration import concentration
from fedcredit.evaluation.goodness import hosmer_lemeshow, spiegelhalter
from fedcredit.evaluation.grades import GradeCounts
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.holm import holm
from fedcredit.evaluation.ordering import fisher_test, ordering
from fedcredit.evaluation.proportions import jeffreys

BOUNDS = [0.002, 0.01, 0.03, 0.08, 0.2]


def sample(seed: int, *, times: float = 1.0, n: int = 6_000) -> np.ndarray:
    """Counts of companies whose true PD is `times` the one that is said."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(-3.2, 1.3, n)))
    return GRID.count(p, rng.random(n) < np.clip(times * p, 0, 1))


def test_binomial_test_is_scipys() -> None:
    for d, n, pd in [(0, 5, 0.1), (3, 100, 0.01), (40, 200, 0.25)]:
        assert binomial_test(d, n, pd) == pytest.approx(binomtest(d, n, pd, alternative="greater").pvalue)


def test_jeffreys_test_answers_with_its_interval() -> None:
    for d, n in [(1, 50), (12, 300), (60, 100)]:
        for end in jeffreys(d, n)[1:]:
            assert jeffreys_test_two_sided(d, n, end) == pytest.approx(0.05)


def test_too_low_and_too_high_a_pd_stand_on_opposite_sides() -> None:
    assert jeffreys_test(30, 100, 0.1) < 1e-6
    assert jeffreys_test(1, 100, 0.1) > 0.999
    assert binomial_test_two_sided(1, 100, 0.1) < 0.01
    assert binomial_test(1, 100, 0.1) > 0.99
    assert z_test(30, 100, 0.1) > 6


def test_right_pds_pass_nineteen_times_of_twenty() -> None:
    passed = [backtest(GradeCounts.from_grid(sample(seed), BOUNDS)).passed for seed in range(200)]
    assert np.mean(passed) >= 0.93  # Holm keeps .95; two standard errors are .03, and fixed seeds do not move


@pytest.mark.parametrize("times", [0.6, 1.6])
def test_pds_off_by_half_fail_in_both_directions(times: float) -> None:
    grades = GradeCounts.from_grid(sample(1, times=times), BOUNDS)
    found = backtest(grades)
    assert not found.passed
    fit = hosmer_lemeshow(grades)
    assert fit is not None
    assert fit.p < 1e-3
    z = spiegelhalter(sample(1, times=times))
    assert z is not None
    assert z.p < 1e-3
    assert (z.z > 0) == (times > 1)


def test_a_one_sided_test_cannot_see_a_pd_that_is_too_high() -> None:
    found = backtest(GradeCounts.from_grid(sample(1, times=0.6), BOUNDS))
    assert all(grade.jeffreys is not None and grade.jeffreys > 0.5 for grade in found.grades[2:])


def test_the_statistics_of_right_pds_have_their_distribution() -> None:
    fits = [hosmer_lemeshow(GradeCounts.from_grid(sample(seed), BOUNDS)) for seed in range(200)]
    zs = [spiegelhalter(sample(seed)) for seed in range(200)]
    assert np.mean([fit.statistic for fit in fits if fit]) == pytest.approx(6, abs=0.6)
    assert np.std([z.z for z in zs if z]) == pytest.approx(1, abs=0.12)


def test_a_grade_with_too_few_companies_is_shown_but_not_tested() -> None:
    found = backtest(GradeCounts(("A", "B"), (9, 200), (9, 20), (0.01, 0.1)), least=10)
    assert found.grades[0].jeffreys is None
    assert found.smallest_p == found.grades[1].jeffreys_two_sided
    assert found.passed


def test_no_grade_with_companies_is_no_pass() -> None:
    found = backtest(GradeCounts(("A",), (0,), (0,), (0.1,)))
    assert (found.smallest_p, found.passed) == (None, False)


def test_holm_counts_only_tests_that_were_made() -> None:
    assert holm([0.02, None, 0.03]) == [0.04, None, 0.04]
    assert holm([]) == []
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_fisher_test_is_scipys() -> None:
    table = [[30, 470], [10, 490]]
    assert fisher_test((10, 500), (30, 500)) == pytest.approx(fisher_exact(table, alternative="greater")[1])


def test_grades_of_a_good_scale_rise_and_are_told_apart() -> None:
    found = ordering(GradeCounts.from_grid(sample(3, n=60_000), BOUNDS))
    assert found.reversals == 0
    assert found.distinct is not None
    assert found.distinct >= 0.8


def test_an_even_scale_has_the_least_concentration_and_one_grade_the_most() -> None:
    even, one = concentration([5] * 10), concentration([50] + [0] * 9)
    assert (even.normalised, even.ecb) == pytest.approx((0, 0), abs=1e-12)
    assert (one.herfindahl, one.normalised, one.ecb) == pytest.approx((1, 1, 1))


def test_concentration_that_has_risen_is_told() -> None:
    risen = concentration([60] + [5] * 18, before=[8] * 19).p
    same = concentration([8] * 19, before=[8] * 19).p
    assert risen is not None
    assert risen < 0.05
    assert same == 1.0


def test_brier_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(500)
    y = rng.random(500) < p
    found = agreement(GRID.count(p, y))
    assert found is not None
    assert found.brier == pytest.approx(brier_score_loss(y, GRID.pd[GRID.place(p)]))


def test_bounds_that_leave_a_grade_without_a_bin_are_refused() -> None:
    for bounds in ([0.1, 0.1], [0.2, 0.1], [0.0, 0.5]):
        with pytest.raises(ConfigError, match="without a bin"):
            GradeCounts.from_grid(sample(0, n=10), bounds)


def test_more_defaults_than_companies_are_refused() -> None:
    with pytest.raises(ConfigError):
        jeffreys_test(3, 2, 0.1)
    with pytest.raises(ConfigError):
        GradeCounts(("A",), (2,), (3,), (0.1,))
    with pytest.raises(ConfigError):
        z_test(1, 2, 1.0)
