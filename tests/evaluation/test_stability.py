"""How far scores, indicators, grades and vintages move."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.errors import TableError
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.migration import migration, migration_counts
from fedcredit.evaluation.periods import out_of_time
from fedcredit.evaluation.stability import csi, indicator_counts, psi, score_stability, stability
from fedcredit.evaluation.vintages import vintage_counts, vintage_curve, vintage_curves


def scores(seed: int, *, n: int = 4_000, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(-3 + shift, 1.2, n)))
    return GRID.count(p, rng.random(n) < p)


def test_psi_is_the_same_in_both_directions_and_never_negative() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = rng.integers(0, 50, (2, 10)) + 1
        assert psi(one, other) == pytest.approx(psi(other, one))
        assert psi(one, other) >= 0


def test_an_empty_bin_gives_a_finite_psi() -> None:
    assert psi([50, 50, 0, 0], [50, 40, 10, 0]) == pytest.approx(psi([50, 50, 0.5], [50, 40, 10]))


def test_two_samples_of_one_population_stay_below_chance() -> None:
    found = [score_stability(scores(seed), scores(seed + 1_000)) for seed in range(200)]
    assert 0.90 <= np.mean([each.psi <= each.by_chance for each in found]) <= 0.99
    assert {each.verdict for each in found} == {"steady"}
    assert {each.bins for each in found} == {10}


def test_a_population_that_moved_is_told() -> None:
    assert score_stability(scores(1), scores(2, shift=0.5)).verdict == "some change"
    assert score_stability(scores(1), scores(2, shift=1.0)).verdict == "moved"


def test_scores_need_no_outcome() -> None:
    assert score_stability(scores(1).sum(axis=0), scores(2)) == score_stability(scores(1), scores(2))


def test_missing_values_that_grow_are_a_move() -> None:
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 1_000))
    after[:300] = np.nan
    counts = [indicator_counts(values, [-1, 0, 1]) for values in (before, after)]
    assert counts[1][-1] == 300
    assert stability(*counts).verdict == "moved"


@pytest.mark.parametrize("edges", [[], [1.0, 0.0], [0.0, 0.0], [np.nan, 1.0]])
def test_edges_that_do_not_rise_are_refused(edges: list[float]) -> None:
    with pytest.raises(TableError):
        indicator_counts([0.5], edges)


def test_psi_of_nobody_or_of_other_bins_is_refused() -> None:
    for one, other in [([0, 0], [1, 2]), ([1, 2], [1, 2, 3]), ([1, -1], [1, 1]), ([1, np.nan], [1, 1])]:
        with pytest.raises(TableError):
            psi(one, other)


def test_indicators_must_be_the_same() -> None:
    with pytest.raises(TableError, match="tax"):
        csi({"tax": [1, 2]}, {})


def test_a_matrix_in_which_nobody_moved_has_no_bandwidth() -> None:
    found = migration(np.diag([5, 6, 7]))
    assert found is not None
    assert (found.upper, found.lower, found.stayed) == (0.0, 0.0, 1.0)


def test_who_moves_to_the_end_of_the_scale_has_full_bandwidth() -> None:
    found = migration(migration_counts([0, 0, 3], [3, 3, 0], grades=4))
    assert found is not None
    assert (found.upper, found.lower, found.within_one) == (1.0, 1.0, 0.0)
    assert found.shares[0] == (0.0, 0.0, 0.0, 1.0)
    assert found.shares[1] == (0.0, 0.0, 0.0, 0.0)


def test_bandwidths_are_the_ecbs_sums() -> None:
    table = np.random.default_rng(3).integers(0, 20, (5, 5))
    n, up, down, norm_up, norm_down = len(table), 0.0, 0.0, 0.0, 0.0
    for i in range(1, n + 1):
        for j in range(1, n + 1):
            value = float(table[i - 1, j - 1])
            far = max(abs(i - n), abs(i - 1))
            up, norm_up = (up + (j - i) * value, norm_up + far * value) if j > i else (up, norm_up)
            down, norm_down = (down + (i - j) * value, norm_down + far * value) if j < i else (down, norm_down)
    found = migration(table)
    assert found is not None
    assert (found.upper, found.lower) == pytest.approx((up / norm_up, down / norm_down))


@pytest.mark.parametrize(("before", "after"), [([0], [0, 1]), ([0.5], [1.0]), ([-1], [0]), ([0], [6])])
def test_grades_off_the_scale_are_refused(before: list[float], after: list[float]) -> None:
    with pytest.raises(TableError):
        migration_counts(before, after, grades=6)


def test_a_vintage_without_censoring_is_the_plain_share() -> None:
    curve = vintage_curve("2020", vintage_counts([1, 2, 2, 5, 5, 5, 5, 5, 5, 5], [1, 1, 1] + [0] * 7, ages=5))
    assert curve.cumulative == pytest.approx((0.1, 0.3, 0.3, 0.3, 0.3))
    assert curve.at_risk == (10, 9, 7, 7, 7)
    assert all(low <= point <= high for low, point, high in zip(curve.low, curve.cumulative, curve.high, strict=True))


def test_what_defaults_after_the_last_age_has_not_defaulted() -> None:
    assert vintage_counts([7], [1], ages=5).tolist() == [[0, 0, 0, 0, 1], [0] * 5]


def test_vintages_come_in_order() -> None:
    counts = vintage_counts([1, 2], [0, 1], ages=2)
    assert [curve.name for curve in vintage_curves({"2021": counts, "2020": counts})] == ["2020", "2021"]


def test_a_period_in_which_the_model_fails_is_the_worst() -> None:
    rng = np.random.default_rng(4)
    broken = GRID.count(rng.random(3_000) * 0.2, rng.random(3_000) < 0.1)
    found = out_of_time({"2019": scores(1), "2020": scores(2), "2021": broken}, cutoff=0.1)
    worst = found.worst_auc
    assert worst is not None
    assert worst.auc_change is not None
    assert (worst.figures.name, worst.stability.verdict) == ("2021", "moved")
    assert worst.auc_change.high < 0
    steady = found.periods[0].auc_change
    assert steady is not None
    assert steady.low < 0 < steady.high


def test_a_base_too_small_to_show_has_no_comparison() -> None:
    found = out_of_time({"2019": scores(1, n=5), "2020": scores(2), "2021": scores(3)}, base="2019")
    assert found.base is None
    assert found.periods == ()
    assert "2019" in found.hidden
