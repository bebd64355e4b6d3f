"""Counts on the score grid: they add, they are refused when they are none, and what they cost in accuracy."""

from __future__ import annotations

import numpy as np
import pytest

from fedcredit.errors import ConfigError, TableError
from fedcredit.evaluation.agreement import agreement
from fedcredit.evaluation.delong import auc_interval
from fedcredit.evaluation.grid import GRID, ScoreGrid, pooled
from fedcredit.evaluation.metrics import auc, brier, ece, ks, recalibration
from fedcredit.evaluation.separation import auc_of_counts, separation

RNG = np.random.default_rng(6)
LOG_ODDS = RNG.normal(-2.5, 1.2, 20_000)
P = 1 / (1 + np.exp(-LOG_ODDS))
Y = (RNG.random(P.size) < P).astype(int)
COUNTS = GRID.count(P, Y)
BINNED = GRID.pd[GRID.place(P)]


def test_every_company_is_counted_once() -> None:
    assert COUNTS.sum() == Y.size
    assert COUNTS[1].sum() == Y.sum()
    assert COUNTS.dtype == np.int64


def test_certain_scores_share_the_outermost_bins() -> None:
    assert GRID.place([0.0, 1.0]).tolist() == [0, 511]


def test_a_pd_is_known_to_two_per_cent_of_itself() -> None:
    inside = np.abs(LOG_ODDS) < GRID.limit
    assert float(np.abs(BINNED[inside] / P[inside] - 1).max()) < 0.02


def test_figures_of_counts_are_those_of_the_binned_scores() -> None:
    found, sep = agreement(COUNTS), separation(COUNTS)
    assert found is not None
    assert sep is not None
    assert found.slope is not None
    assert found.intercept is not None
    line = recalibration(Y, BINNED)
    assert sep.auc == pytest.approx(auc(Y, BINNED), abs=1e-12)
    assert sep.ks == pytest.approx(ks(Y, BINNED), abs=1e-12)
    assert found.ece == pytest.approx(ece(Y, BINNED), abs=1e-12)
    assert found.brier == pytest.approx(brier(Y, BINNED), abs=1e-12)
    assert found.slope.point == pytest.approx(line.slope, abs=1e-9)
    assert found.intercept.point == pytest.approx(line.intercept, abs=1e-9)


def test_interval_of_the_auc_is_delongs() -> None:
    few = slice(0, 2_000)
    found = separation(GRID.count(P[few], Y[few]))
    assert found is not None
    expected = auc_interval(Y[few], BINNED[few])
    assert (found.auc, found.low, found.high) == pytest.approx(tuple(expected), abs=1e-12)


def test_counting_costs_less_auc_than_it_says() -> None:
    found = separation(COUNTS)
    assert found is not None
    assert abs(found.auc - auc(Y, P)) <= found.bin_error < 1e-2
    assert abs(found.auc - auc(Y, P)) < 1e-4


def test_right_pds_agree() -> None:
    found = agreement(COUNTS)
    assert found is not None
    assert found.slope is not None
    assert found.observed_expected.low < 1 < found.observed_expected.high
    assert found.slope.low < 1 < found.slope.high
    assert found.ece < 0.01
    assert found.brier_skill is not None
    assert found.brier_skill > 0


def test_doubled_pds_do_not_agree() -> None:
    found = agreement(GRID.count(np.clip(2 * P, 0, 1), Y))
    assert found is not None
    assert found.observed_expected.high < 0.6


def test_nobody_and_one_class_have_no_figures() -> None:
    nobody = np.zeros((2, 512), np.int64)
    assert agreement(nobody) is None
    assert separation(nobody) is None
    assert auc_of_counts(nobody) is None
    only_good = agreement(GRID.count([0.1, 0.2], [0, 0]))
    assert only_good is not None
    assert (only_good.slope, only_good.brier_skill, only_good.observed_expected.low) == (None, None, 0.0)


@pytest.mark.parametrize("score", [np.nan, np.inf, -0.1, 1.1])
def test_what_is_no_probability_is_refused(score: float) -> None:
    with pytest.raises(TableError, match="no probability"):
        GRID.count([0.5, score], [0, 1])


@pytest.mark.parametrize("outcome", [[0, 2], [0, np.nan], [0], [[0, 1]]])
def test_outcomes_that_do_not_fit_are_refused(outcome: list[float]) -> None:
    with pytest.raises(TableError):
        GRID.count([0.5, 0.5], outcome)


@pytest.mark.parametrize(
    "counts", [np.zeros((2, 8)), np.full((2, 512), -1), np.full((2, 512), np.nan), np.full((2, 512), "1")]
)
def test_what_is_no_count_is_refused(counts: np.ndarray) -> None:
    with pytest.raises(TableError):
        agreement(counts)


def test_counts_of_different_grids_do_not_add() -> None:
    with pytest.raises(TableError, match="different grids"):
        pooled([COUNTS, ScoreGrid(bins=8).count(P, Y)])


@pytest.mark.parametrize(("bins", "limit"), [(0, 8.0), (1 << 17, 8.0), (8, 0.0), (8, 40.0), (True, 8.0), (8, np.nan)])
def test_a_grid_that_cannot_be_is_refused(bins: int, limit: float) -> None:
    with pytest.raises(ConfigError):
        ScoreGrid(bins=bins, limit=limit)
