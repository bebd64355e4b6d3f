"""Gaps between groups: real ones are told, chance is not, and nobody is shown who is nearly alone."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.evaluation.fairness import Fairness, fairness
from fedcredit.evaluation.grid import GRID
from fedcredit.evaluation.slices import slices


def region(seed: int, *, n: int = 1_500, times: float = 1.0, noise: float = 0.0) -> np.ndarray:
    """A region whose PDs are right, `times` too low, or blurred by `noise`."""
    rng = np.random.default_rng(seed)
    true = rng.normal(-2.5, 1.2, n)
    p = 1 / (1 + np.exp(-(true + noise * rng.normal(size=n))))
    return GRID.count(p, rng.random(n) < np.clip(times / (1 + np.exp(-true)), 0, 1))


def clear(found: Fairness) -> set[str]:
    return {gap.figure for gap in found.gaps if gap.is_clear}


def test_regions_that_are_alike_have_no_clear_gap() -> None:
    alarms = 0
    for start in range(20):
        found = fairness({str(i): region(100 * start + i) for i in range(5)}, by="region", cutoff=0.1)
        alarms += sum(gap.is_clear for gap in found.gaps)
    assert alarms <= 8  # of 80 gaps at 5 % or less: 4 and two standard errors


def test_a_region_whose_pds_are_too_low_has_a_gap_in_observed_over_expected() -> None:
    found = fairness({"north": region(1), "south": region(2), "west": region(3, times=1.7)}, by="region", cutoff=0.1)
    gap = found.gap("observed_expected")
    assert gap is not None
    assert (gap.highest, gap.is_clear) == ("west", True)
    assert "approval_rate" not in clear(found)


def test_a_region_where_the_model_is_blind_has_a_gap_in_auc() -> None:
    found = fairness({"north": region(1), "south": region(2, noise=4.0)}, by="region")
    gap = found.gap("auc")
    assert gap is not None
    assert (gap.lowest, gap.is_clear) == ("south", True)
    assert found.gap("approval_rate") is None


def test_a_group_of_nine_is_not_shown_and_cannot_be_subtracted() -> None:
    counts = {"big": region(1), "middle": region(2, n=40), "tiny": region(3, n=9)}
    found = slices(counts)
    assert found.hidden == ("middle", "tiny")
    assert [each.name for each in found.shown] == ["big"]


def test_two_small_groups_hide_each_other() -> None:
    found = slices({"big": region(1), "a": region(2, n=6), "b": region(3, n=6), "middle": region(4, n=40)})
    assert found.hidden == ("a", "b")


def test_a_group_of_nobody_hides_no_other() -> None:
    found = slices({"big": region(1), "empty": np.zeros((2, GRID.bins), np.int64)})
    assert found.hidden == ("empty",)
    assert [each.name for each in found.shown] == ["big"]


def test_a_group_of_ten_is_shown_without_an_auc() -> None:
    (ten,) = slices({"ten": region(1, n=10)}).shown
    assert (ten.companies, ten.auc) == (10, None)


def test_a_gap_needs_two_groups() -> None:
    assert fairness({"only": region(1)}, by="sector", cutoff=0.1).gaps == ()
    assert fairness({}, by="sector").gaps == ()


def test_the_widest_gap_has_a_wider_interval_among_more_groups() -> None:
    two = {"a": region(1), "b": region(2, times=2.0)}
    more = two | {str(i): region(i + 5, times=1.5) for i in range(6)}
    widths = []
    for counts in (two, more):
        gap = fairness(counts, by="region").gap("bad_rate")
        assert gap is not None
        widths.append(gap.high - gap.low)
    assert widths[1] > widths[0]


def test_the_approval_rate_counts_those_below_the_cutoff() -> None:
    p = np.array([0.01] * 30 + [0.3] * 10)
    (group,) = slices({"all": GRID.count(p, np.zeros(40))}, cutoff=0.1).shown
    assert group.approval_rate is not None
    assert group.approval_rate.point == pytest.approx(0.75)
